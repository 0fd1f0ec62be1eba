"""The convex sum as a Keras layer: (1 - lambda) x + lambda y (equation 8), lambda learnable.

Only models that are trained hold this layer. A saved file has two Rescaling layers and an Add in
its place, which compute the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="lemonade_tf")
class ConvexSum(keras.layers.Layer):
    """(1 - lambda) x + lambda y for its inputs [x, y].

    lambda starts at exactly 0, is a plain weight, and may leave [0, 1].
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lambda_initializer = keras.initializers.Zeros()

    def build(self, input_shape: Sequence[Any]) -> None:
        """Make lambda, a scalar."""
        self.share = self.add_weight(
            shape=(), initializer=self.lambda_initializer, name="lambda", trainable=True
        )

    def call(self, inputs: Sequence[Any]) -> Any:
        """Return the sum."""
        x, y = inputs
        return (1 - self.share) * x + self.share * y

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Any:
        """Return the shape of either input."""
        return input_shape[0]
