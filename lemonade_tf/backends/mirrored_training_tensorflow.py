"""The compiled training loop on several devices.

As on one device, an epoch is one call, and its loop stays in TensorFlow. In each step, every
replica gathers and transforms the whole batch with the same random numbers, and trains on its part
of the result: mixup finds its partners, and together the parts are the batch of a single device.
The gradients are summed over the replicas, and each replica updates its copy of the weights by the
sums. No Keras optimizer is used, as on one device.

Dropout draws other masks on each replica; otherwise, training differs from that on one device by
rounding only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.backends.base import Precision, Trainer
from lemonade_tf.backends.batch_transform import BatchTransform
from lemonade_tf.backends.precision_tensorflow import training_precision
from lemonade_tf.backends.replicas_tensorflow import Replicas, sum_over_replicas
from lemonade_tf.backends.training_tensorflow import (
    apply_gradients,
    check_state,
    cross_entropy,
    gather_batch,
)


class MirroredTrainer(Trainer):
    """Trains a model that was built in the scope of a strategy; see `Backend.trainer`.

    Args:
        model: See `Backend.trainer`.
        momentum: See `Backend.trainer`.
        weight_decay: See `Backend.trainer`.
        transform: See `Backend.trainer`.
        replicas: The replicas of this process.
        precision: See `Backend.trainer`.
        nesterov: See `Backend.trainer`.
    """

    def __init__(
        self,
        model: keras.Model,
        momentum: float,
        weight_decay: float,
        transform: BatchTransform,
        replicas: Replicas,
        *,
        precision: Precision = "float32",
        nesterov: bool = True,
    ) -> None:
        self._model, self._transform, self._replicas = model, transform, replicas
        self._momentum, self._weight_decay = momentum, weight_decay
        self._nesterov = nesterov
        self._precision: Precision = precision
        weights = model.trainable_variables
        self._decays = [weight_decay > 0 and w.name.endswith("kernel") for w in weights]
        self._constraints = [weight.constraint for weight in weights]
        # Lists of variables, one per device.
        self._variables = self._copies(weights)
        self._all_variables = self._copies(model.variables)
        self._momenta = replicas.on_each_device(
            lambda: [tf.Variable(tf.zeros(weight.shape)) for weight in weights]
        )
        self._epoch: Any = None
        self._vary_dropout()

    def compile(
        self,
        images: Any,
        targets: Any,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
    ) -> None:
        """Trace and compile the epoch; see `Trainer.compile`."""
        start = time.perf_counter()
        inputs = self._inputs(images, targets, indices, learning_rates, draws, num_steps=0)
        epoch = tf.function(self._trace_epoch, autograph=False)
        with training_precision(self._model, self._precision):
            self._epoch = epoch.get_concrete_function(*inputs)
        self.seconds_compiling = time.perf_counter() - start

    def run_steps(
        self,
        images: Any,
        targets: Any,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
        num_steps: int,
        total: float,
    ) -> float:
        """Take one step per row of `indices`; see `Trainer.run_steps`."""
        if not self._epoch:
            self.compile(images, targets, indices, learning_rates, draws)
        inputs = self._inputs(images, targets, indices, learning_rates, draws, num_steps, total)
        with training_precision(self._model, self._precision):
            return float(self._epoch(*inputs))

    def state(self) -> dict[str, np.ndarray]:
        """Copy what steps change."""
        return {name: copies[0].numpy().copy() for name, copies in self._changing().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        changing = self._changing()
        check_state(state, {name: copies[0] for name, copies in changing.items()})
        for name, copies in changing.items():
            for copy in copies:
                copy.assign(state[name])
        self._vary_dropout()

    def _copies(self, variables: list[Any]) -> list[list[tf.Variable]]:
        """Return the copies of Keras variables, one list per device."""
        copies = [self._replicas.copies(variable.value) for variable in variables]
        return [[of[i] for of in copies] for i in range(len(self._replicas.devices))]

    def _changing(self) -> dict[str, tuple[tf.Variable, ...]]:
        # The names are those of `TensorFlowTrainer`.
        variables = zip(*self._all_variables, strict=True)
        named = {f"variable_{i}": copies for i, copies in enumerate(variables)}
        momenta = zip(*self._momenta, strict=True)
        return named | {f"momentum_{i}": copies for i, copies in enumerate(momenta)}

    def _vary_dropout(self) -> None:
        """Give the generators of dropout, equal so far, another seed on each replica but one."""
        for i, variables in enumerate(self._all_variables):
            for variable in variables:
                if variable.dtype.is_integer:  # seed and counter
                    variable.assign_add(tf.constant([self._replicas.first + i, 0], variable.dtype))

    # --- The epoch ---

    def _inputs(
        self,
        images: Any,
        targets: Any,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
        num_steps: int,
        total: float = 0.0,
    ) -> tuple[Any, ...]:
        """Return the inputs of the compiled epoch: lists with a value per device, and scalars."""

        def tables() -> tuple[Any, ...]:
            tensors = {name: tf.constant(values) for name, values in draws.items()}
            return tf.constant(indices), tf.constant(learning_rates), tensors

        several = isinstance(images, list)
        copies = (
            list(zip(*(each.copies for each in images), strict=True)) if several else images.copies
        )
        return (
            list(copies),
            list(targets.copies),
            self._replicas.on_each_device(tables),
            tf.constant(num_steps, tf.int32),
            tf.constant(total, tf.float32),
        )

    def _trace_epoch(
        self,
        images: list[Any],
        targets: list[Any],
        tables: list[tuple[tf.Tensor, tf.Tensor, Mapping[str, tf.Tensor]]],
        num_steps: tf.Tensor,
        total: tf.Tensor,
    ) -> tf.Tensor:
        self.num_traces += 1

        def has_next(step: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
            return (step < num_steps) & tf.math.is_finite(total)

        def take_step(step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            def on_device(i: int) -> tf.Tensor:
                indices, rates, draws = tables[i]
                batch = tf.gather(indices, step)
                of_step = {name: tf.gather(values, step) for name, values in draws.items()}
                inputs, labels = self._transform.apply(
                    gather_batch(images[i], batch), tf.gather(targets[i], batch), of_step
                )
                return self._step(i, inputs, labels, tf.gather(rates, step))

            return step + 1, total + self._replicas.run(on_device)

        _, total = tf.while_loop(
            has_next, take_step, (tf.constant(0), total), parallel_iterations=1
        )
        return total

    def _step(self, i: int, images: Any, targets: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """Trace the step on a device, and return the loss of the whole batch."""
        batch_size: Any = targets.shape[0]
        part = self._replicas.part(i, batch_size)
        images, targets = tf.nest.map_structure(lambda values: values[part], (images, targets))
        # The mean over the whole batch is the sum of these.
        share = (part.stop - part.start) / batch_size
        loss = cross_entropy(targets, self._model(images, training=True)) * share
        gradients = tf.gradients(
            loss, self._variables[i], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        loss, *gradients = sum_over_replicas([loss, *gradients])
        apply_gradients(
            gradients,
            self._variables[i],
            self._momenta[i],
            self._decays,
            self._constraints,
            rate=rate,
            momentum=self._momentum,
            nesterov=self._nesterov,
            weight_decay=self._weight_decay,
        )
        return loss
