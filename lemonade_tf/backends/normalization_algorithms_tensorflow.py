"""Algorithms that normalize the images of a batch on TensorFlow, each with its gradient.

With n pixels (of all images), x^ = (x - mean) / sqrt(variance + epsilon) and
y = scale * x^ + offset, a gradient g of y gives

    offset    sum(g)
    scale     sum(g * x^)
    x         scale / sqrt(variance + epsilon) * (g - sum(g) / n - x^ * sum(g * x^) / n)

Results differ from those of Keras by rounding, most with many pixels and few channels: there the
variance of Keras is off by 1e-5, and the sums of `RowProducts` by 1e-7. Neither is more correct for
training; but where an activation is so close to 0 that its sign differs, the gradients after
several blocks differ by 1e-3 and more between any two algorithms, and from those in float64.

Images and their gradients may be bfloat16. Everything else is float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

_ROW = 256  # values per row of `RowProducts`, at least

ops = tf.raw_ops


class Algorithm(ABC):
    """Normalizes images and computes the gradient; stateless."""

    @abstractmethod
    def constants(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        """Return what `forward` and `backward` need to know about images of a shape."""

    @abstractmethod
    def forward(
        self, images: Any, scale: Any, offset: Any, epsilon: float, share: Any, *constants: Any
    ) -> tuple[Any, ...]:
        """Return normalized images, mean, variance, and three tensors saved for the gradient.

        Args:
            images: (batch, height, width, channels), of unknown shape.
            scale: (channels,).
            offset: (channels,).
            epsilon: As above.
            share: 1 / n, the weight of a pixel in a mean.
            *constants: What `constants` returned.
        """

    @abstractmethod
    def backward(
        self,
        gradient: Any,
        images: Any,
        scale: Any,
        epsilon: float,
        share: Any,
        saved: tuple[Any, Any, Any],
        *constants: Any,
    ) -> tuple[Any, Any, Any]:
        """Return the gradients of images, scale and offset.

        Args:
            gradient: The gradient of the normalized images.
            images: The images, as in `forward`.
            scale: As in `forward`.
            epsilon: As in `forward`.
            share: As in `forward`.
            saved: The three tensors that `forward` saved.
            *constants: As in `forward`.
        """


class FusedKernel(Algorithm):
    """Normalizes with TensorFlow's single kernel.

    It is the fastest on a GPU, and on a CPU for numbers of channels that fill its vector
    registers. For other numbers the CPU kernel is slower than plain operations.
    """

    def constants(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        return ()

    def forward(self, images, scale, offset, epsilon, share, *constants):
        unused = tf.zeros(0)
        outputs, mean, variance, *saved = ops.FusedBatchNormV3(
            x=images, scale=scale, offset=offset, mean=unused, variance=unused, epsilon=epsilon
        )
        # The kernel returns the unbiased variance; Keras averages the biased one.
        return outputs, mean, variance * (1 - share), *saved

    def backward(self, gradient, images, scale, epsilon, share, saved, *constants):
        spaces = {f"reserve_space_{i}": tensor for i, tensor in enumerate(saved, 1)}
        return ops.FusedBatchNormGradV3(
            y_backprop=gradient, x=images, scale=scale, epsilon=epsilon, **spaces
        )[:3]


class ChannelSums(Algorithm):
    """Normalizes with plain operations that broadcast over channels."""

    def constants(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        return ()

    def forward(self, images, scale, offset, epsilon, share, *constants):
        dtype, images = images.dtype, tf.cast(images, tf.float32)
        # BiasAddGrad sums over all axes but the channels, faster than a general reduction.
        mean = ops.BiasAddGrad(out_backprop=images) * share
        centered = images - mean
        variance = ops.BiasAddGrad(out_backprop=tf.square(centered)) * share
        inverse = tf.math.rsqrt(variance + epsilon)
        factor = inverse * scale
        outputs = tf.cast(centered * factor + offset, dtype)
        return outputs, mean, variance, centered, inverse, factor

    def backward(self, gradient, images, scale, epsilon, share, saved, *constants):
        centered, inverse, factor = saved
        gradient = tf.cast(gradient, tf.float32)
        of_offset = ops.BiasAddGrad(out_backprop=gradient)
        of_scale = ops.BiasAddGrad(out_backprop=gradient * centered) * inverse
        slope = of_scale * inverse * share  # so that centered * slope is x^ * sum(g * x^) / n
        of_images = (gradient - centered * slope - of_offset * share) * factor
        return tf.cast(of_images, images.dtype), of_scale, of_offset


class RowProducts(Algorithm):
    """Normalizes with plain operations over rows of several pixels each, for few channels.

    Operations that broadcast over a short last axis are slow. So several pixels form a row of at
    least `_ROW` values; sums over pixels, and channels repeated along a row, are matrix products.
    """

    def constants(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        """Return the shape as rows, the matrix that repeats channels, and one that sums rows."""
        batch, height, width, channels = shape
        pixels = height * width
        divisors = (n for n in range(1, pixels + 1) if pixels % n == 0)
        per_row = next(n for n in divisors if n * channels >= _ROW or n == pixels)
        num_rows = batch * pixels // per_row
        return (
            np.array([num_rows, per_row * channels], np.int32),
            np.tile(np.eye(channels, dtype=np.float32), (1, per_row)),
            np.ones((1, num_rows), np.float32),
        )

    def forward(self, images, scale, offset, epsilon, share, *constants):
        shape, repeat, ones = constants
        rows = tf.cast(tf.reshape(images, shape), tf.float32)
        mean = self._sum(rows, repeat, ones) * share
        centered = rows - mean @ repeat
        variance = self._sum(tf.square(centered), repeat, ones) * share
        inverse = tf.math.rsqrt(variance + epsilon)
        factor = (inverse * scale) @ repeat
        outputs = tf.reshape(centered * factor + offset[None] @ repeat, tf.shape(images))
        outputs = tf.cast(outputs, images.dtype)
        return outputs, mean[0], variance[0], centered, inverse, factor

    def backward(self, gradient, images, scale, epsilon, share, saved, *constants):
        shape, repeat, ones = constants
        centered, inverse, factor = saved
        rows = tf.cast(tf.reshape(gradient, shape), tf.float32)
        of_offset = self._sum(rows, repeat, ones)
        of_scale = self._sum(rows * centered, repeat, ones) * inverse
        slope = of_scale * inverse * share  # as in `ChannelSums`, then repeated along rows
        of_rows = (rows - centered * (slope @ repeat) - (of_offset * share) @ repeat) * factor
        of_images = tf.cast(tf.reshape(of_rows, tf.shape(gradient)), images.dtype)
        return of_images, of_scale[0], of_offset[0]

    def _sum(self, rows: Any, repeat: Any, ones: Any) -> Any:
        """Return the sums over pixels: (1, channels)."""
        return tf.matmul(ones @ rows, repeat, transpose_b=True)
