"""Shake-Shake and ScheduledDropPath as Keras layers, in models for training only.

At inference, `ShakeShake` is Keras's Average and `DropPath` the identity. Their random numbers come
from generators that count the steps, as those of dropout do: a resumed training draws the same
numbers, and so does one whose images arrive in parts. (XLA draws others than TensorFlow does
without it.) Both compute in float32 even if the inputs are bfloat16. See
`architecture.branches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class ShakeShake(keras.layers.Average):
    """In training, random convex combinations of two branches, others in the backward pass.

    Without a gradient of its own, as TensorFlow keeps custom gradients, and what they refer to,
    until the process ends: the term that turns beta into alpha has no gradient.

    Args:
        seed: Random seed; None for a random one.
        **kwargs: Those of every layer.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Sequence[Any], training: bool | None = False) -> Any:
        """Return the combination: of one alpha and one beta per image."""
        if not training:
            return super().call(inputs)
        wide: list[Any] = [ops.cast(each, self.variable_dtype) for each in inputs]
        first, second = wide
        shape = (2, ops.shape(first)[0], *(1 for _ in first.shape[1:]))  # pyright: ignore[reportOptionalSubscript] (no shape is None)
        shares: Any = keras.random.uniform(shape, seed=self.seed_generator)
        alpha, beta = shares[0], shares[1]
        difference = first - second
        mixed = second + beta * difference
        mixed += ops.stop_gradient((alpha - beta) * difference)
        return ops.cast(mixed, self.compute_dtype)

    def compute_output_spec(self, inputs: Any, training: bool | None = False) -> Any:
        """Return the form of the output, which the base does without `training`."""
        return super().compute_output_spec(inputs)


class DropPath(keras.layers.Layer):
    """In training, zeros in place of an input, for some images; the others grow to compensate.

    Step t of T has the probability `rate` * t / T.

    Args:
        rate: The probability after the last step, in [0, 1).
        num_steps: The number T of training steps.
        seed: Random seed; None for a random one.
        **kwargs: Those of every layer.
    """

    def __init__(self, rate: float, num_steps: int, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate, self.num_steps = rate, num_steps
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        """Return the input, or zeros."""
        if not training:
            return inputs
        # The state of the generator is its seed and the number of its draws: one per step.
        state: Any = self.seed_generator.state.value * 1
        step: Any = ops.cast(state[1], "float32")
        progress: Any = ops.minimum(step / max(self.num_steps, 1), 1.0)
        kept = 1.0 - self.rate * progress
        shape = (ops.shape(inputs)[0], *(1 for _ in inputs.shape[1:]))  # pyright: ignore[reportOptionalSubscript] (no shape is None)
        is_kept = keras.random.uniform(shape, seed=self.seed_generator) < kept
        factor = ops.cast(is_kept, "float32") / kept
        return ops.cast(ops.cast(inputs, "float32") * factor, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the input."""
        return input_shape
