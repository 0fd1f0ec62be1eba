"""Batch normalization from few operations, for training on TensorFlow.

Keras 3 puts a batch normalization together from some sixty operations. TensorFlow has one kernel
that does it all, which takes steps in half the time on a GPU, and on a CPU for channels that fill
its vectors; for other numbers of channels the kernel of a CPU is slower than ten plain operations,
and those are used. Either way a network is traced faster than with Keras's layer.

The variables are those of Keras's layer, which the saved file holds.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

_SMALLEST_EPSILON = 1.001e-5  # the kernel silently uses this one instead of a smaller one
_VECTOR = 4  # channels


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization, with training on images done by few operations.

    Inference is left to Keras's layer, so its results are those of the saved file.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalised images; in training, by the batch's own statistics."""
        if not (training and self.trainable and len(inputs.shape) == 4):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = self.gamma.value if self.scale else tf.ones(channels)
        offset = self.beta.value if self.center else tf.zeros(channels)
        normalise = self._by_kernel if self._suits_kernel(channels) else self._by_operations
        outputs, mean, variance = normalise(inputs, scale, offset)
        self._average(self.moving_mean.value, mean)
        self._average(self.moving_variance.value, variance)
        return outputs

    def _suits_kernel(self, channels: int) -> bool:
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
        return self.epsilon >= _SMALLEST_EPSILON and (on_gpu or channels % _VECTOR == 0)

    def _by_kernel(self, inputs: Any, scale: Any, offset: Any) -> tuple[Any, Any, Any]:
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, scale, offset, epsilon=self.epsilon, is_training=True
        )
        # The kernel returns the unbiased variance, and Keras averages the biased one.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
        return outputs, mean, variance * (count - 1) / count

    def _by_operations(self, inputs: Any, scale: Any, offset: Any) -> tuple[Any, Any, Any]:
        mean = tf.reduce_mean(inputs, axis=(0, 1, 2))
        centred = inputs - mean
        variance = tf.reduce_mean(tf.square(centred), axis=(0, 1, 2))
        outputs = centred * (scale * tf.math.rsqrt(variance + self.epsilon)) + offset
        return outputs, mean, variance

    def _average(self, variable: tf.Variable, value: tf.Tensor) -> None:
        kept = variable * self.momentum + value * (1.0 - self.momentum)
        variable.assign(kept, read_value=False)
