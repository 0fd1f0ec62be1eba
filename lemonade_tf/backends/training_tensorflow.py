"""The compiled training loop on TensorFlow.

An epoch is one call: a loop on the device, which gathers the images of each step by their
indices, so Python takes no part in a step. No Keras optimizer: its distributed gradient sum
registers every model it ever trained with TensorFlow, for the life of the process. One kernel a
variable updates it together with its momentum,

    m <- momentum * m - learning_rate * g        w <- w + momentum * m - learning_rate * g

which is Nesterov's momentum as Sutskever et al. (2013) and Keras write it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.backends.base import Backend, Forward, Inputs, Trainer
from lemonade_tf.training.batch_transform import BatchTransform
from lemonade_tf.training.settings import TrainingSettings

# In lower case. cuDNN, cuBLAS and XLA tell of it by errors of various types.
_SIGNS_OF_FULL_MEMORY = (
    "out of memory",
    "out_of_memory",
    "resource_exhausted",
    "alloc_failed",
    "failed to allocate",
    "dst tensor is not initialized",
)


class TensorFlow(Backend):
    """Runs on TensorFlow."""

    def place(self, array: np.ndarray) -> tf.Tensor | tf.Variable:
        """Return an array as a tensor; bytes as a variable, of which alone a GPU gathers them."""
        return (
            tf.Variable(array, trainable=False) if array.dtype == np.uint8 else tf.constant(array)
        )

    def trainer(
        self, model: keras.Model, settings: TrainingSettings, preparation: BatchTransform
    ) -> Trainer:
        """Return a trainer of the weights that are trainable now."""
        return TensorFlowTrainer(model, settings, preparation)

    def forward(self, model: keras.Model) -> Forward:
        """Return the compiled model, in inference."""
        return TensorFlowForward(model)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether an exception says that the memory of host or device does not suffice."""
        if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
            return True
        text = str(error).lower()
        return isinstance(error, tf.errors.OpError) and any(
            s in text for s in _SIGNS_OF_FULL_MEMORY
        )


class TensorFlowTrainer(Trainer):
    """Trains a model; see `Trainer`."""

    def __init__(
        self, model: keras.Model, settings: TrainingSettings, preparation: BatchTransform
    ) -> None:
        self._model, self._settings, self._preparation = model, settings, preparation
        weights = model.trainable_variables
        self._variables = [weight.value for weight in weights]
        decays = settings.weight_decay > 0
        self._decays = [decays and w.name.endswith("kernel") for w in weights]
        self._momenta = [tf.Variable(tf.zeros_like(v)) for v in self._variables]
        self._epoch: Any = None

    def run_epoch(
        self,
        images: Any,
        targets: Any,
        indices: np.ndarray,
        learning_rates: np.ndarray,
        draws: Mapping[str, np.ndarray],
    ) -> float:
        """Take a step for each row of `indices`."""
        on_device = {name: tf.constant(values) for name, values in draws.items()}
        given = (images, targets, tf.constant(indices), tf.constant(learning_rates), on_device)
        if self._epoch is None:
            start = time.perf_counter()
            epoch = tf.function(self._trace_epoch, autograph=False)
            self._epoch = epoch.get_concrete_function(*given)
            self.seconds_compiling = time.perf_counter() - start
        return float(self._epoch(*given)) / len(indices)

    def state(self) -> dict[str, np.ndarray]:
        """Return copies of what steps change."""
        return {name: variable.numpy().copy() for name, variable in self._changing().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to what `state` returned."""
        changing = self._changing()
        expected = {name: tuple(variable.shape) for name, variable in changing.items()}
        given = {name: array.shape for name, array in state.items()}
        for name in {**expected, **given}:
            if given.get(name) != expected.get(name):
                raise ValueError(
                    f"{name} has the shape {given.get(name)} in the state, and"
                    f" {expected.get(name)} in the model; expected a state of this model."
                )
        for name, variable in changing.items():
            variable.assign(state[name])

    def _changing(self) -> dict[str, tf.Variable]:
        # By number: Keras numbers the generators of dropout through all models of a process.
        variables = [variable.value for variable in self._model.variables]
        named = {f"variable_{i}": variable for i, variable in enumerate(variables)}
        return named | {f"momentum_{i}": variable for i, variable in enumerate(self._momenta)}

    def _trace_epoch(
        self,
        images: tf.Tensor | tf.Variable,
        targets: tf.Tensor,
        indices: tf.Tensor,
        learning_rates: tf.Tensor,
        draws: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        self.num_traces += 1

        def go_on(step: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
            return (step < indices.shape[0]) & tf.math.is_finite(total)

        def take_step(step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch = tf.gather(indices, step)
            of_step = {name: tf.gather(values, step) for name, values in draws.items()}
            inputs, labels = self._preparation.prepare(
                _taken(images, batch), tf.gather(targets, batch), of_step
            )
            loss = self._step(inputs, labels, tf.gather(learning_rates, step))
            return step + 1, total + loss

        _, total = tf.while_loop(
            go_on, take_step, (tf.constant(0), tf.constant(0.0)), parallel_iterations=1
        )
        return total

    def _step(self, images: tf.Tensor, targets: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        loss = cross_entropy(targets, self._model(images, training=True))
        gradients = tf.gradients(
            loss, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        rest = tf.constant(self._settings.momentum)
        weight_decay = tf.constant(self._settings.weight_decay)
        for variable, momentum, gradient, decays in zip(
            self._variables, self._momenta, gradients, self._decays, strict=True
        ):
            if decays:
                gradient = tf.raw_ops.AddV2(
                    x=gradient, y=tf.raw_ops.Mul(x=weight_decay, y=variable)
                )
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=variable.handle,
                accum=momentum.handle,
                lr=rate,
                grad=gradient,
                momentum=rest,
                use_nesterov=True,
            )
        return loss


class TensorFlowForward(Forward):
    """A model in inference; see `Forward`."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._traced: dict[Any, Any] = {}

    def probabilities(self, images: Inputs) -> np.ndarray:
        """Return the softmax of what the model puts out."""
        return self._run(tf.nn.softmax, images).numpy()

    def outputs(self, images: Inputs) -> list[np.ndarray]:
        """Return what a model of one or several outputs puts out."""
        return [tensor.numpy() for tensor in self._run(tf.nest.flatten, images)]

    def _run(self, finish: Callable[[Any], Any], images: Inputs) -> Any:
        if finish not in self._traced:
            specs = tf.nest.map_structure(
                lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), images
            )
            function = tf.function(partial(self._trace, finish), autograph=False)
            self._traced[finish] = function.get_concrete_function(specs)
        return self._traced[finish](tf.nest.map_structure(tf.constant, images))

    def _trace(self, finish: Callable[[Any], Any], images: Any) -> Any:
        self.num_traces += 1
        inputs = tf.nest.map_structure(lambda tensor: tf.cast(tensor, tf.float32), images)
        return finish(self._model(inputs, training=False))


def _taken(images: Any, batch: tf.Tensor) -> Any:
    """Return those of the images, or of each of what a model reads instead, as float32."""
    if isinstance(images, list | tuple):
        return [_taken(part, batch) for part in images]
    return tf.cast(tf.gather(images, batch), tf.float32)


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy of integer classes or of probabilities."""
    if targets.shape.rank == 1:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    else:
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses)
