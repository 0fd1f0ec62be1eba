"""Batch normalization that is quickly traced and quickly computed, for training on TensorFlow.

Keras 3 puts a batch normalization together from some sixty operations, gradient included. Each
costs a fraction of a millisecond when a network is traced, and many a pass over the images in every
step. Here a network has two operations for each batch normalization: calls of functions that are
traced once in a process, whatever the shapes. In training there are three kinds (see
`normalization_tensorflow`).

The gradient is written out, for `tf.gradients`. (Not with `tf.custom_gradient`: it registers each
network for ever.) The variables are those of Keras's layer, which the saved file holds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.backends.normalization_tensorflow import Channels, Kernel, Rows, Way

_SMALLEST_EPSILON = 1.001e-5  # the kernel silently uses this one instead of a smaller one
_VECTOR = 4  # channels
_FEW = 32  # channels
_KERNEL, _CHANNELS, _ROWS = Kernel(), Channels(), Rows()

ops = tf.raw_ops  # without the conversions and checks of the others, which take half their time


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization of images, from few operations in the graph of a network.

    Training is for batches whose shape is known, and for gradients by `tf.gradients`; inference is
    Keras's own function, without a gradient. All else is left to Keras's layer: what is not in a
    graph, and a layer that is frozen in training, through which gradients go.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalised images; in training, by the batch's own statistics."""
        if _suits(inputs):
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

    def _way(self, channels: int) -> Way:
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
        if self.epsilon >= _SMALLEST_EPSILON and (on_gpu or channels % _VECTOR == 0):
            return _KERNEL
        # The products of matrices in `Rows` are less exact on a GPU (TF32).
        return _ROWS if channels < _FEW and not on_gpu else _CHANNELS


def _suits(inputs: Any) -> bool:
    """Return whether inputs are images in float32, in a graph."""
    return not tf.executing_eagerly() and len(inputs.shape) == 4 and inputs.dtype == tf.float32


def _read(variable: tf.Variable) -> tf.Tensor:
    return ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)


# --- Calls in the graph of a network -------------------------------------------------------------

_GRADIENT = "lemonade_tf.FusedBatchNormalization"
_FLOAT, _HANDLE = tf.TensorSpec(None, tf.float32), tf.TensorSpec((), tf.resource)


def _normalised(
    way: Way,
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
    given = [_constant(array) for array in way.given(tuple(images.shape))]
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
def _functions(way: Way, epsilon: float, given: tuple[tf.DType, ...]) -> tuple[Any, Any]:
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
