"""The compiled training loop on TensorFlow.

An epoch is one call: a loop on the device that gathers the images of each step by their indices,
so that no step returns to Python. No Keras optimizer is used: its distributed gradient sum
registers every model with TensorFlow until the process ends. One kernel per variable updates it
together with its momentum,

    m <- momentum * m - learning_rate * g        w <- w + momentum * m - learning_rate * g

which is Nesterov momentum as Sutskever et al. (2013) and Keras write it. Plain momentum adds m to
w.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.backends.base import Precision, Trainer
from lemonade_tf.backends.batch_transform import BatchTransform
from lemonade_tf.backends.compilation import CompilationCosts
from lemonade_tf.backends.precision_tensorflow import training_precision


class TensorFlowTrainer(Trainer):
    """Trains a model; see `Backend.trainer`.

    Args:
        model: See `Backend.trainer`.
        momentum: See `Backend.trainer`.
        weight_decay: See `Backend.trainer`.
        transform: See `Backend.trainer`.
        jit_compile: Whether XLA compiles the epoch. On a GPU, compiling then takes seconds, and
            steps are several times faster. A loss that is not finite does not end an epoch early.
        costs: Learns from the seconds of compiling and of steps.
        precision: See `Backend.trainer`.
        nesterov: See `Backend.trainer`.
    """

    def __init__(
        self,
        model: keras.Model,
        momentum: float,
        weight_decay: float,
        transform: BatchTransform,
        *,
        jit_compile: bool = False,
        costs: CompilationCosts | None = None,
        precision: Precision = "float32",
        nesterov: bool = True,
    ) -> None:
        self._model, self._transform = model, transform
        self._momentum, self._weight_decay = momentum, weight_decay
        self._nesterov = nesterov
        self.jit_compile = jit_compile
        self._costs = CompilationCosts() if costs is None else costs
        self._precision: Precision = precision
        weights = model.trainable_variables
        self._variables = [weight.value for weight in weights]
        self._decays = [weight_decay > 0 and w.name.endswith("kernel") for w in weights]
        self._constraints = [weight.constraint for weight in weights]
        self._momenta = [tf.Variable(tf.zeros_like(v)) for v in self._variables]
        self._programs: dict[bool, Any] = {}

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
        inputs = _on_device(images, targets, indices, learning_rates, draws, num_steps=0)
        with training_precision(self._model, self._precision):
            self._program(inputs, whole=True)(*inputs)  # XLA compiles at the first call
        self.seconds_compiling = time.perf_counter() - start
        self._costs.add_compiling(self.jit_compile, self.seconds_compiling)

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
        if not self._programs:
            self.compile(images, targets, indices, learning_rates, draws)
        start = time.perf_counter()
        inputs = _on_device(images, targets, indices, learning_rates, draws, num_steps, total)
        with training_precision(self._model, self._precision):
            program = self._program(inputs, whole=num_steps == len(indices))
            total = float(program(*inputs))
        if isfinite(total):  # else the epoch may have ended early
            seconds = time.perf_counter() - start
            self._costs.add_steps(self._model, self.jit_compile, num_steps, seconds)
        return total

    def state(self) -> dict[str, np.ndarray]:
        """Copy what steps change."""
        return {name: variable.numpy().copy() for name, variable in self._changing().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state` returned."""
        changing = self._changing()
        check_state(state, changing)
        for name, variable in changing.items():
            variable.assign(state[name])

    def _changing(self) -> dict[str, tf.Variable]:
        # Named by position: Keras numbers the generators of dropout across all models of a process.
        variables = [variable.value for variable in self._model.variables]
        named = {f"variable_{i}": variable for i, variable in enumerate(variables)}
        return named | {f"momentum_{i}": variable for i, variable in enumerate(self._momenta)}

    def _program(self, inputs: tuple[Any, ...], whole: bool) -> Any:
        """Return the traced epoch; with XLA, there is one for whole epochs and one for parts."""
        fixed_length = whole and self.jit_compile
        if fixed_length not in self._programs:
            function = tf.function(
                partial(self._trace_epoch, fixed_length),
                autograph=False,
                jit_compile=True if self.jit_compile else None,  # None: the default of TensorFlow
            )
            self._programs[fixed_length] = function.get_concrete_function(*inputs)
        return self._programs[fixed_length]

    def _trace_epoch(
        self,
        fixed_length: bool,
        images: tf.Tensor | tf.Variable,
        targets: tf.Tensor,
        indices: tf.Tensor,
        learning_rates: tf.Tensor,
        draws: Mapping[str, tf.Tensor],
        num_steps: tf.Tensor,
        total: tf.Tensor,
    ) -> tf.Tensor:
        self.num_traces += 1

        whole: Any = indices.shape[0]

        def has_next(step: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
            # XLA launches the steps of a loop of known length ahead of the GPU; otherwise it waits
            # for each step to know whether there is another.
            return step < whole if fixed_length else (step < num_steps) & tf.math.is_finite(total)

        def take_step(step: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            batch = tf.gather(indices, step)
            of_step = {name: tf.gather(values, step) for name, values in draws.items()}
            inputs, labels = self._transform.apply(
                gather_batch(images, batch), tf.gather(targets, batch), of_step
            )
            loss = self._step(inputs, labels, tf.gather(learning_rates, step))
            return step + 1, total + loss

        def take_steps() -> tf.Tensor:
            # One iteration at a time: each step reads the weights that the previous step wrote.
            _, last = tf.while_loop(
                has_next, take_step, (tf.constant(0), total), parallel_iterations=1
            )
            return last

        return tf.cond(num_steps > 0, take_steps, lambda: total) if fixed_length else take_steps()

    def _step(self, images: tf.Tensor, targets: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        loss = cross_entropy(targets, self._model(images, training=True))
        gradients = tf.gradients(
            loss, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        apply_gradients(
            gradients,
            self._variables,
            self._momenta,
            self._decays,
            self._constraints,
            rate=rate,
            momentum=self._momentum,
            nesterov=self._nesterov,
            weight_decay=self._weight_decay,
        )
        return loss


def _on_device(
    images: Any,
    targets: Any,
    indices: np.ndarray,
    learning_rates: np.ndarray,
    draws: Mapping[str, np.ndarray],
    num_steps: int,
    total: float = 0.0,
) -> tuple[Any, ...]:
    """Return the inputs of the compiled epoch."""
    tensors = {name: tf.constant(values) for name, values in draws.items()}
    steps = tf.constant(num_steps, tf.int32)
    rates, losses = tf.constant(learning_rates), tf.constant(total, tf.float32)
    return images, targets, tf.constant(indices), rates, tensors, steps, losses


def gather_batch(images: Any, batch: tf.Tensor) -> Any:
    """Gather a batch of the images, or of each of the model's inputs, as float32."""
    if isinstance(images, list | tuple):
        return [gather_batch(part, batch) for part in images]
    return tf.cast(tf.gather(images, batch), tf.float32)


def apply_gradients(
    gradients: Sequence[Any],
    variables: Sequence[tf.Variable],
    momenta: Sequence[tf.Variable],
    decays: Sequence[bool],
    constraints: Sequence[Callable[[Any], Any] | None],
    *,
    rate: Any,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None:
    """Update variables and their momenta by gradients, with one kernel per variable.

    Args:
        gradients: One per variable.
        variables: The weights.
        momenta: Their momenta.
        decays: Whether each weight decays.
        constraints: The constraint of each weight in Keras, if it has one, applied after the step.
        rate: Scalar learning rate.
        momentum: See `Backend.trainer`.
        nesterov: See `Backend.trainer`.
        weight_decay: See `Backend.trainer`.
    """
    constant_momentum, constant_decay = tf.constant(momentum), tf.constant(weight_decay)
    for variable, accumulator, gradient, has_decay, constraint in zip(
        variables, momenta, gradients, decays, constraints, strict=True
    ):
        if has_decay:
            gradient = tf.raw_ops.AddV2(x=gradient, y=tf.raw_ops.Mul(x=constant_decay, y=variable))
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=accumulator.handle,
            lr=rate,
            grad=gradient,
            momentum=constant_momentum,
            use_nesterov=nesterov,
        )
        if constraint is not None:
            variable.assign(constraint(variable))


def check_state(state: Mapping[str, np.ndarray], variables: Mapping[str, tf.Variable]) -> None:
    """Check that a state has an array per variable, of its shape.

    Raises:
        ValueError: If it is the state of a different model.
    """
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    found = {name: array.shape for name, array in state.items()}
    for name in {**expected, **found}:
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"{name} has shape {found.get(name)} in the state but {expected.get(name)} in"
                " the model; expected a state of this model."
            )


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy of integer classes or of probabilities."""
    if targets.shape.rank == 1:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    else:
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses)
