"""Batch normalization that is fast to trace and fast to compute, for training on TensorFlow.

Keras 3 builds a batch normalization from about sixty operations, including the gradient. Each costs
a fraction of a millisecond when a network is traced, and many of them a pass over the images in
every step. Here a batch normalization adds two operations to a network: calls of functions that are
traced once per process for all shapes. In training, one of three algorithms computes it (see
`normalization_algorithms_tensorflow`), or with replicas on several devices, that of
`synchronized_normalization_tensorflow`.

The gradient is written out for `tf.gradients`, not with `tf.custom_gradient`, which keeps every
network registered until the process ends. The variables are those of Keras's layer, as saved files
contain them.

Images may be bfloat16, and then so are the normalized images; statistics, scale and offset are
float32.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache, partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.backends.normalization_algorithms_tensorflow import (
    Algorithm,
    ChannelSums,
    FusedKernel,
    RowProducts,
)
from lemonade_tf.backends.replicas_tensorflow import num_replicas
from lemonade_tf.backends.shared_functions_tensorflow import shared_function
from lemonade_tf.backends.synchronized_normalization_tensorflow import normalize_over_replicas

_SMALLEST_EPSILON = 1.001e-5  # the fused kernel silently replaces a smaller epsilon by this one
_DTYPES = (tf.float32, tf.bfloat16)
_VECTOR = 4  # channels that the fused kernel's vector registers hold on a CPU
_FEW = 32  # below so many channels, rows of several pixels are faster
# One object each, as functions are traced and cached per algorithm.
_FUSED_KERNEL, _CHANNEL_SUMS, _ROW_PRODUCTS = FusedKernel(), ChannelSums(), RowProducts()

ops = tf.raw_ops  # the public operations spend half their time on conversions and checks


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """A keras.layers.BatchNormalization of images with few operations in the traced graph.

    Training requires batches of known shape, and gradients by `tf.gradients`. Inference calls
    Keras's function and has no gradient. Keras's layer handles everything else: eager execution,
    and a frozen layer in training, which gradients pass through.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize images by the moving statistics, or in training by those of the batch."""
        if _is_supported(inputs):
            # A frozen layer (`trainable` is False) normalizes by its moving statistics, also when
            # `training` is True; Keras's layer does so with a gradient.
            if not training and inputs.dtype == tf.float32:
                return self._infer(inputs)
            if training and self.trainable and None not in inputs.shape:
                return self._train(inputs)
        return super().call(inputs, training=training, mask=mask)

    def _infer(self, inputs: Any) -> Any:
        averages = (_read(self.moving_mean), _read(self.moving_variance))
        [outputs] = ops.PartitionedCall(
            args=[inputs, *averages, *self._scale_and_offset(inputs)],
            Tout=[tf.float32],
            f=_inference(self.epsilon),
        )
        outputs.set_shape(inputs.shape)
        return outputs

    def _train(self, inputs: Any) -> Any:
        normalize = normalize_over_replicas
        if num_replicas() == 1:
            normalize = partial(_normalize, self._algorithm(inputs.shape[-1]))
        return normalize(
            inputs,
            *self._scale_and_offset(inputs),
            (_handle(self.moving_mean), _handle(self.moving_variance)),
            momentum=self.momentum,
            epsilon=self.epsilon,
        )

    def _scale_and_offset(self, inputs: Any) -> tuple[Any, Any]:
        channels = inputs.shape[-1]
        return (
            _read(self.gamma) if self.scale else tf.ones(channels),
            _read(self.beta) if self.center else tf.zeros(channels),
        )

    def _algorithm(self, channels: int) -> Algorithm:
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
        if self.epsilon >= _SMALLEST_EPSILON and (on_gpu or channels % _VECTOR == 0):
            return _FUSED_KERNEL
        # On a GPU, matrix products are less exact (TF32).
        return _ROW_PRODUCTS if channels < _FEW and not on_gpu else _CHANNEL_SUMS


def _is_supported(inputs: Any) -> bool:
    """Return whether inputs are images of a supported dtype in a graph that is being traced."""
    return not tf.executing_eagerly() and len(inputs.shape) == 4 and inputs.dtype in _DTYPES


def _handle(variable: Any) -> tf.Tensor:
    """Return the resource of a Keras variable, which is None before the layer is built."""
    return variable.value.handle


def _read(variable: Any) -> tf.Tensor:
    return ops.ReadVariableOp(resource=_handle(variable), dtype=tf.float32)


# --- Calls in the graph of a network -------------------------------------------------------------

_GRADIENT = "lemonade_tf.FusedBatchNormalization"
_SHAPE: Any = None  # of any rank
_FLOAT, _HANDLE = tf.TensorSpec(_SHAPE, tf.float32), tf.TensorSpec((), tf.resource)


def _normalize(
    algorithm: Algorithm,
    images: Any,
    scale: Any,
    offset: Any,
    averages: tuple[Any, Any],
    *,
    momentum: float,
    epsilon: float,
) -> Any:
    """Return normalized images with the gradient of `algorithm`, and update the averages."""
    graph = tf.compat.v1.get_default_graph()
    share = _constant(np.float32(images.shape[-1] / images.shape.num_elements()))
    constants = [_constant(array) for array in algorithm.constants(tuple(images.shape))]
    dtypes = tuple(tensor.dtype for tensor in constants)
    forward, backward = _functions(algorithm, epsilon, images.dtype, dtypes)
    rate = _constant(np.float32(1 - momentum))
    outputs, *saved = ops.StatefulPartitionedCall(
        args=[images, scale, offset, *averages, rate, share, *constants],
        Tout=[images.dtype] + [tf.float32] * 3,
        f=forward,
    )
    outputs.set_shape(images.shape)
    # The gradient is defined for an identity node, which has as inputs everything it is for. What
    # `_gradient` needs besides the inputs travels in a collection under the identity's name.
    with graph.gradient_override_map({"IdentityN": _GRADIENT}):
        outputs, *_ = ops.IdentityN(input=[outputs, images, scale, offset])
    graph.add_to_collection((_GRADIENT, outputs.op.name), (backward, (share, *saved, *constants)))
    return outputs


@tf.RegisterGradient(_GRADIENT)
def _gradient(op: tf.Operation, gradient: Any, *_unused: Any) -> tuple[Any, ...]:
    [(backward, rest)] = op.graph.get_collection((_GRADIENT, op.name))
    _, images, scale, _ = op.inputs
    gradients = ops.PartitionedCall(
        args=[gradient, images, scale, *rest], Tout=[images.dtype] + [tf.float32] * 2, f=backward
    )
    for of_input, forward_input in zip(gradients, op.inputs[1:], strict=True):
        of_input.set_shape(forward_input.shape)
    return None, *gradients


@cache
def _inference(epsilon: float) -> Any:
    """Trace Keras's normalization by moving statistics once, for images of any shape."""

    def infer(images, mean, variance, scale, offset):
        return keras.ops.batch_normalization(
            images, mean, variance, axis=-1, offset=offset, scale=scale, epsilon=epsilon
        )

    vector = tf.TensorSpec([None], tf.float32)
    return shared_function(infer, [tf.TensorSpec([None] * 4, tf.float32), *[vector] * 4])


@cache
def _functions(
    algorithm: Algorithm, epsilon: float, images_dtype: tf.DType, dtypes: tuple[tf.DType, ...]
) -> tuple[Any, Any]:
    """Trace forward and backward function of an algorithm once, for images of any shape."""

    def forward(images, scale, offset, mean_handle, variance_handle, rate, share, *constants):
        outputs, mean, variance, *saved = algorithm.forward(
            images, scale, offset, epsilon, share, *constants
        )
        for handle, value in ((mean_handle, mean), (variance_handle, variance)):
            before = ops.ReadVariableOp(resource=handle, dtype=tf.float32)
            # before - rate * (before - value), the exponential moving average, in one kernel
            ops.ResourceApplyGradientDescent(var=handle, alpha=rate, delta=before - value)
        return outputs, *saved

    def backward(gradient, images, scale, share, first, second, third, *constants):
        saved = (first, second, third)
        return algorithm.backward(gradient, images, scale, epsilon, share, saved, *constants)

    images, *specs = [tf.TensorSpec(_SHAPE, dtype) for dtype in (images_dtype, *dtypes)]
    return (
        shared_function(forward, [images] + [_FLOAT] * 2 + [_HANDLE] * 2 + [_FLOAT] * 2 + specs),
        shared_function(backward, [images] * 2 + [_FLOAT] * 5 + specs),
    )


def _constant(value: Any) -> tf.Tensor:
    """Return a constant of the graph being traced; equal constants are one node."""
    key: Hashable = (_GRADIENT, value.dtype.str, value.shape, value.tobytes())
    constants = tf.compat.v1.get_default_graph().get_collection_ref(key)
    if not constants:
        constants.append(tf.constant(value))
    return constants[0]
