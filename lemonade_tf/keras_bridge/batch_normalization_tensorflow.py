"""Batch normalization that is quickly traced and quickly computed, for training on TensorFlow.

Keras 3 puts a batch normalization together from some sixty operations, gradient included. Each
costs a fraction of a millisecond when a network is traced, and many a pass over the images in every
step. Here a network has two operations for each batch normalization: calls of functions that are
traced once in a process, whatever the shapes. In training there are three kinds (see `_Way`).

With n pixels, x^ = (x - mean) / sqrt(variance + epsilon) and y = scale * x^ + offset, a gradient g
of y is

    of offset    sum(g)
    of scale     sum(g * x^)
    of x         scale / sqrt(variance + epsilon) * (g - sum(g) / n - x^ * sum(g * x^) / n)

which is written out, for `tf.gradients`. (Not with `tf.custom_gradient`: it registers each network
for ever.) The variables are those of Keras's layer, which the saved file holds.

Results differ from Keras's by rounding, most where there are many pixels and few channels: there
Keras's variance is off by 1e-5, and the sums over rows (see `_Rows`) by 1e-7. In ten blocks of 13
to 49 channels on 64 images of 32x32, Keras's gradient in float32 is 5e-3 from that in float64, as
some activations change sign, and this one 2e-6.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_SMALLEST_EPSILON = 1.001e-5  # the kernel silently uses this one instead of a smaller one
_VECTOR = 4  # channels
_FEW = 32  # channels
_ROW = 256  # values

ops = tf.raw_ops  # without the conversions and checks of the others, which take half their time


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization of images, from few operations in the graph of a network.

    Training is for batches whose shape is known, and for gradients by `tf.gradients`; inference is
    Keras's own function, without a gradient. All else is left to Keras's layer: what is not in a
    graph, and a layer that is frozen in training, through which gradients go.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalised images; in training, by the batch's own statistics."""
        if not tf.executing_eagerly() and len(inputs.shape) == 4:
            if not training:
                return self._infer(inputs)
            if self.trainable and None not in inputs.shape:
                return self._train(inputs)
        return super().call(inputs, training=training, mask=mask)

    def _infer(self, inputs: Any) -> Any:
        averages = (_read(self.moving_mean.value), _read(self.moving_variance.value))
        [outputs] = ops.PartitionedCall(
            args=[inputs, *averages, *self._scale_and_offset(inputs)],
            Tout=[tf.float32],
            f=_inference(self.epsilon),
        )
        outputs.set_shape(inputs.shape)
        return outputs

    def _train(self, inputs: Any) -> Any:
        return _normalised(
            self._way(inputs.shape[-1]),
            inputs,
            *self._scale_and_offset(inputs),
            (self.moving_mean.value.handle, self.moving_variance.value.handle),
            momentum=self.momentum,
            epsilon=self.epsilon,
        )

    def _scale_and_offset(self, inputs: Any) -> tuple[Any, Any]:
        channels = inputs.shape[-1]
        return (
            _read(self.gamma.value) if self.scale else tf.ones(channels),
            _read(self.beta.value) if self.center else tf.zeros(channels),
        )

    def _way(self, channels: int) -> _Way:
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
        if self.epsilon >= _SMALLEST_EPSILON and (on_gpu or channels % _VECTOR == 0):
            return _KERNEL
        return _ROWS if channels < _FEW else _CHANNELS


def _read(variable: tf.Variable) -> tf.Tensor:
    return ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


# --- Ways to do it -------------------------------------------------------------------------------


class _Way(ABC):
    """A way to normalise images and to compute the gradient; has no state."""

    @abstractmethod
    def given(self, shape: tuple[int, ...]) -> tuple[tf.Tensor, ...]:
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


class _Kernel(_Way):
    """By TensorFlow's one kernel.

    The best on a GPU, and on a CPU for channels that fill its vectors; for other numbers of
    channels the kernel of a CPU is slower than plain operations.
    """

    def given(self, shape: tuple[int, ...]) -> tuple[tf.Tensor, ...]:
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


class _Channels(_Way):
    """By plain operations over channels."""

    def given(self, shape: tuple[int, ...]) -> tuple[tf.Tensor, ...]:
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


class _Rows(_Way):
    """By plain operations over rows of several pixels each, for few channels.

    Operations that broadcast over a short last axis are slow. What sums over pixels, and what
    repeats channels along a row, is a product of matrices.
    """

    def given(self, shape: tuple[int, ...]) -> tuple[tf.Tensor, ...]:
        """Return the shape as rows, the matrix that repeats channels, and one that sums rows."""
        batch, height, width, channels = shape
        pixels = height * width
        of_row = (n for n in range(1, pixels + 1) if pixels % n == 0)
        in_row = next(n for n in of_row if n * channels >= _ROW or n == pixels)
        num_rows = batch * pixels // in_row
        return (
            _constant(np.int32([num_rows, in_row * channels])),
            _constant(np.tile(np.eye(channels, dtype=np.float32), (1, in_row))),
            _constant(np.ones((1, num_rows), np.float32)),
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


_KERNEL, _CHANNELS, _ROWS = _Kernel(), _Channels(), _Rows()

# --- Calls in the graph of a network -------------------------------------------------------------

_GRADIENT = "lemonade_tf.FusedBatchNormalization"
_FLOAT, _HANDLE = tf.TensorSpec(None, tf.float32), tf.TensorSpec((), tf.resource)


def _normalised(
    way: _Way,
    images: Any,
    scale: Any,
    offset: Any,
    averages: tuple[Any, Any],
    *,
    momentum: float,
    epsilon: float,
) -> Any:
    """Return normalised images, whose gradient is that of `way`, and move the averages."""
    graph = tf.compat.v1.get_default_graph()
    share = _constant(np.float32(images.shape[-1] / images.shape.num_elements()))
    given = way.given(tuple(images.shape))
    forward, backward = _functions(way, epsilon, tuple(tensor.dtype for tensor in given))
    rate = _constant(np.float32(1 - momentum))
    outputs, *kept = ops.StatefulPartitionedCall(
        args=[images, scale, offset, *averages, rate, share, *given],
        Tout=[tf.float32] * 4,
        f=forward,
    )
    outputs.set_shape(images.shape)
    with graph.gradient_override_map({"IdentityN": _GRADIENT}):
        outputs, *_ = ops.IdentityN(input=[outputs, images, scale, offset])
    graph.add_to_collection((_GRADIENT, outputs.op.name), (backward, (share, *kept, *given)))
    return outputs


@tf.RegisterGradient(_GRADIENT)
def _gradient(op: tf.Operation, gradient: Any, *_: Any) -> tuple[Any, ...]:
    [(backward, rest)] = op.graph.get_collection((_GRADIENT, op.name))
    _, images, scale, _ = op.inputs
    gradients = ops.PartitionedCall(
        args=[gradient, images, scale, *rest], Tout=[tf.float32] * 3, f=backward
    )
    for of_input, given in zip(gradients, op.inputs[1:], strict=True):
        of_input.set_shape(given.shape)
    return None, *gradients


@cache
def _inference(epsilon: float) -> Any:
    """Return Keras's normalization by given statistics, traced once for images of any shape."""

    def infer(images, mean, variance, scale, offset):
        return keras.ops.batch_normalization(
            images, mean, variance, axis=-1, offset=offset, scale=scale, epsilon=epsilon
        )

    vector = tf.TensorSpec([None], tf.float32)
    with tf.init_scope():
        return _traced(infer, [tf.TensorSpec([None] * 4, tf.float32), *[vector] * 4])


@cache
def _functions(way: _Way, epsilon: float, given: tuple[tf.DType, ...]) -> tuple[Any, Any]:
    """Return both functions of a way, traced once for images of any shape."""

    def forward(images, scale, offset, mean_handle, variance_handle, rate, share, *given):
        outputs, mean, variance, *kept = way.forward(images, scale, offset, epsilon, share, *given)
        for handle, value in ((mean_handle, mean), (variance_handle, variance)):
            before = ops.ReadVariableOp(resource=handle, dtype=tf.float32)
            ops.ResourceApplyGradientDescent(var=handle, alpha=rate, delta=before - value)
        return outputs, *kept

    def backward(gradient, images, scale, share, first, second, third, *given):
        kept = (first, second, third)
        return way.backward(gradient, images, scale, epsilon, share, kept, *given)

    specs = [tf.TensorSpec(None, dtype) for dtype in given]
    with tf.init_scope():  # or the functions would hold the network that came first
        return (
            _traced(forward, [_FLOAT] * 3 + [_HANDLE] * 2 + [_FLOAT] * 2 + specs),
            _traced(backward, [_FLOAT] * 7 + specs),
        )


def _traced(function: Callable[..., Any], signature: list[tf.TensorSpec]) -> Any:
    # Not inlined, each is compiled once for a network instead of once for each of its calls.
    attributes = {"_noinline": True}
    traced = tf.function(function, autograph=False, experimental_attributes=attributes)
    return traced.get_concrete_function(*signature)


def _constant(value: np.ndarray | np.generic) -> tf.Tensor:
    """Return a constant, which a graph has only once."""
    key: Hashable = (_GRADIENT, value.dtype.str, value.shape, value.tobytes())
    constants = tf.compat.v1.get_default_graph().get_collection_ref(key)
    if not constants:
        constants.append(tf.constant(value))
    return constants[0]
