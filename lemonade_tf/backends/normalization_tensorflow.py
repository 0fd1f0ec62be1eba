"""Ways to normalise the images of a batch on TensorFlow, each with its gradient.

With n pixels, x^ = (x - mean) / sqrt(variance + epsilon) and y = scale * x^ + offset, a gradient g
of y is

    of offset    sum(g)
    of scale     sum(g * x^)
    of x         scale / sqrt(variance + epsilon) * (g - sum(g) / n - x^ * sum(g * x^) / n)

Results differ from Keras's by rounding, most where there are many pixels and few channels: there
Keras's variance is off by 1e-5, and the sums over rows (see `Rows`) by 1e-7. Each is as good as the
other; but where an activation is so near to 0 that its sign differs, gradients after several
blocks differ by 1e-3 and more between any two of them, and from those in float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

_ROW = 256  # values

ops = tf.raw_ops


class Way(ABC):
    """A way to normalise images and to compute the gradient; has no state."""

    @abstractmethod
    def given(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        """Return what both functions need to know of images of a shape."""

    @abstractmethod
    def forward(
        self, images: Any, scale: Any, offset: Any, epsilon: float, share: Any, *given: Any
    ) -> tuple[Any, ...]:
        """Return normalised images, mean, variance, and three tensors for the gradient.

        Args:
            images: (batch, height, width, channels), of unknown shape.
            scale: (channels,).
            offset: (channels,).
            epsilon: As above.
            share: 1 / n.
            *given: As above.
        """

    @abstractmethod
    def backward(
        self,
        gradient: Any,
        images: Any,
        scale: Any,
        epsilon: float,
        share: Any,
        kept: tuple[Any, Any, Any],
        *given: Any,
    ) -> tuple[Any, Any, Any]:
        """Return the gradients of images, scale and offset.

        Args:
            gradient: Of the normalised images.
            kept: The three tensors of `forward`; all else is as there.
        """


class Kernel(Way):
    """By TensorFlow's one kernel.

    The best on a GPU, and on a CPU for channels that fill its vectors; for other numbers of
    channels the kernel of a CPU is slower than plain operations.
    """

    def given(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        return ()

    def forward(self, images, scale, offset, epsilon, share):
        nothing = tf.zeros(0)
        outputs, mean, variance, *kept = ops.FusedBatchNormV3(
            x=images, scale=scale, offset=offset, mean=nothing, variance=nothing, epsilon=epsilon
        )
        # The kernel returns the unbiased variance, and Keras averages the biased one.
        return outputs, mean, variance * (1 - share), *kept

    def backward(self, gradient, images, scale, epsilon, share, kept):
        spaces = {f"reserve_space_{i}": tensor for i, tensor in enumerate(kept, 1)}
        return ops.FusedBatchNormGradV3(
            y_backprop=gradient, x=images, scale=scale, epsilon=epsilon, **spaces
        )[:3]


class Channels(Way):
    """By plain operations over channels."""

    def given(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        return ()

    def forward(self, images, scale, offset, epsilon, share):
        mean = ops.BiasAddGrad(out_backprop=images) * share
        centred = images - mean
        variance = ops.BiasAddGrad(out_backprop=tf.square(centred)) * share
        inverse = tf.math.rsqrt(variance + epsilon)
        factor = inverse * scale
        return centred * factor + offset, mean, variance, centred, inverse, factor

    def backward(self, gradient, images, scale, epsilon, share, kept):
        centred, inverse, factor = kept
        total = ops.BiasAddGrad(out_backprop=gradient)
        along = ops.BiasAddGrad(out_backprop=gradient * centred) * inverse
        slope = along * inverse * share
        return (gradient - centred * slope - total * share) * factor, along, total


class Rows(Way):
    """By plain operations over rows of several pixels each, for few channels.

    Operations that broadcast over a short last axis are slow. What sums over pixels, and what
    repeats channels along a row, is a product of matrices.
    """

    def given(self, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        """Return the shape as rows, the matrix that repeats channels, and one that sums rows."""
        batch, height, width, channels = shape
        pixels = height * width
        of_row = (n for n in range(1, pixels + 1) if pixels % n == 0)
        in_row = next(n for n in of_row if n * channels >= _ROW or n == pixels)
        num_rows = batch * pixels // in_row
        return (
            np.int32([num_rows, in_row * channels]),
            np.tile(np.eye(channels, dtype=np.float32), (1, in_row)),
            np.ones((1, num_rows), np.float32),
        )

    def forward(self, images, scale, offset, epsilon, share, shape, repeat, ones):
        rows = tf.reshape(images, shape)
        mean = self._sum(rows, repeat, ones) * share
        centred = rows - mean @ repeat
        variance = self._sum(tf.square(centred), repeat, ones) * share
        inverse = tf.math.rsqrt(variance + epsilon)
        factor = (inverse * scale) @ repeat
        outputs = tf.reshape(centred * factor + offset[None] @ repeat, tf.shape(images))
        return outputs, mean[0], variance[0], centred, inverse, factor

    def backward(self, gradient, images, scale, epsilon, share, kept, shape, repeat, ones):
        centred, inverse, factor = kept
        rows = tf.reshape(gradient, shape)
        total = self._sum(rows, repeat, ones)
        along = self._sum(rows * centred, repeat, ones) * inverse
        slope = along * inverse * share
        of_rows = (rows - centred * (slope @ repeat) - (total * share) @ repeat) * factor
        return tf.reshape(of_rows, tf.shape(gradient)), along[0], total[0]

    def _sum(self, rows: Any, repeat: Any, ones: Any) -> Any:
        """Return the sums over pixels: (1, channels)."""
        return tf.matmul(ones @ rows, repeat, transpose_b=True)
