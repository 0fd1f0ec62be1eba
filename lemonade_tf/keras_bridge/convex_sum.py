"""The convex sum (1 - lambda) x + lambda y (equation 8) as a Keras layer with trainable lambda.

Only models for training contain this layer. In saved files, two Rescaling layers and an Add replace
it, which compute the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="lemonade_tf")
class UnitInterval(keras.constraints.Constraint):
    """Moves a weight back into [0, 1]: by reflection at 0, and to 1 if it is larger.

    A projection to 0 would keep it there as long as its gradient points below 0, and at 0 nothing
    in the skip has a gradient: a 1x1 convolution that adapts the channels would never learn.
    """

    def __call__(self, w: Any) -> Any:
        """Return the weight in [0, 1]."""
        return keras.ops.minimum(keras.ops.abs(w), 1.0)


@keras.saving.register_keras_serializable(package="lemonade_tf")
class ConvexSum(keras.layers.Layer):
    """(1 - lambda) x + lambda y for its inputs [x, y].

    lambda is a weight that starts at exactly 0. It has a constraint: each training step moves it
    back into [0, 1], because the sum would not stay convex otherwise. The sum is computed
    in float32 even if the inputs are bfloat16, where 1 - 0.001 is 1.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lambda_initializer = keras.initializers.Zeros()

    def build(self, input_shape: Sequence[Any]) -> None:
        """Create lambda, a scalar weight."""
        self.share = self.add_weight(
            shape=(),
            initializer=self.lambda_initializer,
            name="lambda",
            trainable=True,
            constraint=UnitInterval(),
            autocast=False,
        )

    def call(self, inputs: Sequence[Any]) -> Any:
        """Return the sum."""
        wide: list[Any] = [keras.ops.cast(each, self.variable_dtype) for each in inputs]
        x, y = wide
        return keras.ops.cast((1 - self.share) * x + self.share * y, self.compute_dtype)

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Any:
        """Return the shape of both inputs."""
        return input_shape[0]
