"""Batch normalization in one kernel, for training on TensorFlow.

Keras 3 puts a batch normalization together from some sixty operations; TensorFlow has one that
does it all. Networks with it are traced faster and, where its kernel is good, take steps in half
the time: on a GPU, and on a CPU for channels that fill its vectors. For other numbers of channels
the kernel of a CPU is up to twice as slow as Keras's operations, and those are used.

The variables are those of Keras's layer, which the saved file holds.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

_SMALLEST_EPSILON = 1.001e-5  # the kernel silently uses this one instead of a smaller one
_VECTOR = 4  # channels


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization, with training on images done by one kernel.

    Inference is left to Keras's layer, so its results are those of the saved file.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalised images; in training, by the batch's own statistics."""
        if not (training and self.trainable and self._fits(inputs)):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            scale=self.gamma.value if self.scale else tf.ones(channels),
            offset=self.beta.value if self.center else tf.zeros(channels),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel returns the unbiased variance, and Keras averages the biased one.
        count = tf.cast(tf.size(inputs) // channels, variance.dtype)
        self._average(self.moving_mean.value, mean)
        self._average(self.moving_variance.value, variance * (count - 1) / count)
        return outputs

    def _fits(self, inputs: Any) -> bool:
        return (
            len(inputs.shape) == 4
            and self.epsilon >= _SMALLEST_EPSILON
            and (inputs.shape[-1] % _VECTOR == 0 or bool(tf.config.list_physical_devices("GPU")))
        )

    def _average(self, variable: tf.Variable, value: tf.Tensor) -> None:
        kept = variable * self.momentum + value * (1.0 - self.momentum)
        variable.assign(kept, read_value=False)
