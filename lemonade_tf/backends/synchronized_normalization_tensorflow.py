"""Batch normalization by the statistics of a batch whose parts are on several replicas.

If replica i has n_i pixels, whose mean is m_i and whose squared deviations from it sum to s_i,

    n = sum(n_i)
    mean = sum(n_i * m_i) / n
    variance = sum(s_i + n_i * (m_i - mean)^2) / n

(Chan et al., 1979), without the cancellation of a mean of squares minus a squared mean. So the
result differs from that on one device by rounding only. Per layer, replicas exchange their moments
in the forward pass, and in the backward pass the sums over pixels in the gradient of the images
(see `normalization_algorithms_tensorflow`). The gradients of scale and offset are those of the
replica's own pixels: the trainer sums all gradients of weights.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from lemonade_tf.backends.replicas_tensorflow import (
    num_replicas,
    replica_number,
    sum_over_replicas,
)
from lemonade_tf.backends.shared_functions_tensorflow import shared_function

_GRADIENT = "lemonade_tf.SynchronizedBatchNormalization"
_SHAPE: Any = None  # of any rank
_FLOAT, _HANDLE = tf.TensorSpec(_SHAPE, tf.float32), tf.TensorSpec((), tf.resource)

ops = tf.raw_ops


def normalize_over_replicas(
    images: Any,
    scale: Any,
    offset: Any,
    averages: tuple[Any, Any],
    *,
    momentum: float,
    epsilon: float,
) -> Any:
    """Return normalized images with a gradient, and update the averages; in a replica.

    Args:
        images: (batch, height, width, channels), the replica's part of the batch; float32 or
            bfloat16, normalized in float32.
        scale: (channels,).
        offset: (channels,).
        averages: Handles of the moving mean and variance.
        momentum: Of the moving averages.
        epsilon: Added to the variance.
    """
    graph = tf.compat.v1.get_default_graph()
    num_pixels = np.float32(images.shape.num_elements() // images.shape[-1])
    [row] = ops.PartitionedCall(
        args=[images, tf.constant(num_pixels)], Tout=[tf.float32], f=_moments_function(images.dtype)
    )
    # Each replica adds its row to zeros, so the sums are the rows of all replicas, exactly.
    above = replica_number()
    below = num_replicas() - above - 1
    [rows] = sum_over_replicas([tf.pad(row[None], [[above, below], [0, 0]])])
    outputs, *saved = ops.StatefulPartitionedCall(
        args=[images, scale, offset, rows, *averages, tf.constant(np.float32(1 - momentum))],
        Tout=[images.dtype] + [tf.float32] * 3,
        f=_forward_function(epsilon, images.dtype),
    )
    outputs.set_shape(images.shape)
    # As in `batch_normalization_tensorflow`, an identity node has the gradient.
    with graph.gradient_override_map({"IdentityN": _GRADIENT}):
        outputs, *_ = ops.IdentityN(input=[outputs, images, scale, offset])
    graph.add_to_collection((_GRADIENT, outputs.op.name), saved)
    return outputs


@tf.RegisterGradient(_GRADIENT)
def _gradient(op: tf.Operation, gradient: Any, *_unused: Any) -> tuple[Any, ...]:
    [saved] = op.graph.get_collection((_GRADIENT, op.name))
    _, images, scale, offset = op.inputs
    centered, inverse, _ = saved
    sums, backward = _backward_functions(images.dtype)
    own = ops.PartitionedCall(args=[gradient, centered, inverse], Tout=[tf.float32] * 2, f=sums)
    for tensor in own:
        tensor.set_shape(offset.shape)
    [of_images] = ops.PartitionedCall(
        args=[gradient, scale, *saved, *sum_over_replicas(own)], Tout=[images.dtype], f=backward
    )
    of_images.set_shape(images.shape)
    return None, of_images, *own


@cache
def _moments_function(dtype: tf.DType) -> Any:
    """Trace the moments of a replica: (2 * channels + 1,), as a row."""

    def moments(images, num_pixels):
        images = tf.cast(images, tf.float32)
        # BiasAddGrad sums over all axes but the channels, faster than a general reduction.
        mean = ops.BiasAddGrad(out_backprop=images) / num_pixels
        squares = ops.BiasAddGrad(out_backprop=tf.square(images - mean))
        return tf.concat([mean, squares, num_pixels[None]], 0)

    return shared_function(moments, [_images(dtype), _FLOAT])


@cache
def _forward_function(epsilon: float, dtype: tf.DType) -> Any:
    """Trace the normalization by the moments of all replicas, and the update of the averages."""

    def forward(images, scale, offset, rows, mean_handle, variance_handle, rate):
        channels = tf.size(scale)
        means, squares, counts = rows[:, :channels], rows[:, channels:-1], rows[:, -1:]
        share = 1 / tf.reduce_sum(counts)
        mean = tf.reduce_sum(means * counts, 0) * share
        variance = tf.reduce_sum(squares + counts * tf.square(means - mean), 0) * share
        inverse = tf.math.rsqrt(variance + epsilon)
        for handle, value in ((mean_handle, mean), (variance_handle, variance)):
            before = ops.ReadVariableOp(resource=handle, dtype=tf.float32)
            ops.ResourceApplyGradientDescent(var=handle, alpha=rate, delta=before - value)
        centered = tf.cast(images, tf.float32) - mean
        outputs = tf.cast(centered * (inverse * scale) + offset, images.dtype)
        return outputs, centered, inverse, share

    return shared_function(forward, [_images(dtype)] + [_FLOAT] * 3 + [_HANDLE] * 2 + [_FLOAT])


@cache
def _backward_functions(dtype: tf.DType) -> tuple[Any, Any]:
    """Trace the sums over pixels in the gradient, and the gradient of the images."""

    def sums(gradient, centered, inverse):
        gradient = tf.cast(gradient, tf.float32)
        of_scale = ops.BiasAddGrad(out_backprop=gradient * centered) * inverse
        return of_scale, ops.BiasAddGrad(out_backprop=gradient)

    def backward(gradient, scale, centered, inverse, share, of_scale, of_offset):
        slope = of_scale * inverse * share
        floats = tf.cast(gradient, tf.float32)
        of_images = (floats - centered * slope - of_offset * share) * (inverse * scale)
        return tf.cast(of_images, gradient.dtype)

    images = _images(dtype)
    return (
        shared_function(sums, [images] + [_FLOAT] * 2),
        shared_function(backward, [images] + [_FLOAT] * 6),
    )


def _images(dtype: tf.DType) -> tf.TensorSpec:
    return tf.TensorSpec(_SHAPE, dtype)
