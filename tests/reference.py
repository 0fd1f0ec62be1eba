"""An independent witness: the forward pass of a graph in NumPy, float64 by default."""

import math
from functools import singledispatch

import numpy as np
from scipy.special import expit

from lemonade_tf.architecture import layers as L


def forward(graph, images, *, until=None, training=False):
    """Return the values of all nodes (or those `until` needs) for images (n, h, w, c), float64.

    With training=True, batch norm uses the statistics of the batch.
    """
    values = {}
    for name in graph.topological_order():
        node = graph[name]
        if isinstance(node.layer, L.Input):
            values[name] = np.asarray(images, np.float64)
            continue
        weights = {k: np.asarray(v, np.float64) for k, v in node.weights.items()}
        inputs = [values[i] for i in node.inputs]
        if training and isinstance(node.layer, L.BatchNormalization):
            axes = tuple(range(inputs[0].ndim - 1))
            weights["moving_mean"] = inputs[0].mean(axes)
            weights["moving_variance"] = inputs[0].var(axes)
        values[name] = _apply(node.layer, weights, *inputs)
        if name == until:
            break
    return values


def logits(graph, images):
    """Return what goes into the final softmax."""
    (before,) = graph[graph.output].inputs
    return forward(graph, images)[before]


def relative_difference(first, second, images):
    """Return how far apart the logits of two graphs are, relative to the largest of the first."""
    expected = logits(first, images)
    return np.abs(logits(second, images) - expected).max() / np.abs(expected).max()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@singledispatch
def _apply(layer, weights, *inputs):
    raise NotImplementedError(type(layer).__name__)


def _windows(x, window, strides, padding, fill):
    """Return (n, out h, out w, window h, window w, c)."""
    pads = []
    for size, k, s in zip(x.shape[1:3], window, strides, strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0) if padding == "same" else 0
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))
    return view[:, :: strides[0], :: strides[1]].transpose(0, 1, 2, 4, 5, 3)


def _bias(y, weights):
    return y + weights["bias"] if "bias" in weights else y


@_apply.register
def _(layer: L.Rescaling, weights, x):
    return x * np.asarray(layer.scale) + np.asarray(layer.offset)


@_apply.register
def _(layer: L.Normalization, weights, x):
    mean = weights.get("mean", np.asarray(layer.mean, np.float64))
    variance = weights.get("variance", np.asarray(layer.variance, np.float64))
    return (x - mean) / np.maximum(np.sqrt(variance), 1e-7)


@_apply.register
def _(layer: L.Conv2D, weights, x):
    view = _windows(x, layer.kernel_size, layer.strides, layer.padding, 0)
    blocks = zip(
        np.split(view, layer.groups, -1),
        np.split(weights["kernel"], layer.groups, -1),
        strict=True,
    )
    y = np.concatenate([np.tensordot(part, kernel, 3) for part, kernel in blocks], -1)
    return _bias(y, weights)


def _depthwise(layer, kernel, x):
    view = _windows(x, layer.kernel_size, layer.strides, layer.padding, 0)
    y = np.einsum("nhwabc,abcm->nhwcm", view, kernel, optimize=True)
    return y.reshape(*y.shape[:3], -1)


@_apply.register
def _(layer: L.DepthwiseConv2D, weights, x):
    return _bias(_depthwise(layer, weights["kernel"], x), weights)


@_apply.register
def _(layer: L.SeparableConv2D, weights, x):
    y = _depthwise(layer, weights["depthwise_kernel"], x)
    return _bias(y @ weights["pointwise_kernel"][0, 0], weights)


@_apply.register
def _(layer: L.BatchNormalization, weights, x):
    y = (x - weights["moving_mean"]) / np.sqrt(weights["moving_variance"] + layer.epsilon)
    return y * weights.get("gamma", 1.0) + weights.get("beta", 0.0)


@_apply.register
def _(layer: L.ReLU, weights, x):
    return np.clip(x, 0, layer.max_value)


@_apply.register
def _(layer: L.Activation, weights, x):
    return {
        "softmax": softmax,
        "relu": lambda v: np.maximum(v, 0),
        "relu6": lambda v: np.clip(v, 0, 6),
        "linear": lambda v: v,
        "tanh": np.tanh,
        "sigmoid": expit,
        "silu": lambda v: v * expit(v),
        "hard_sigmoid": lambda v: np.clip(v / 6 + 0.5, 0, 1),
        "hard_silu": lambda v: v * np.clip(v / 6 + 0.5, 0, 1),
    }[layer.activation](x)


@_apply.register
def _(layer: L.MaxPooling2D, weights, x):
    return _windows(x, layer.pool_size, layer.strides, layer.padding, -np.inf).max((3, 4))


@_apply.register
def _(layer: L.AveragePooling2D, weights, x):
    args = (layer.pool_size, layer.strides, layer.padding, 0)
    return _windows(x, *args).sum((3, 4)) / _windows(np.ones_like(x), *args).sum((3, 4))


@_apply.register
def _(layer: L.GlobalAveragePooling2D, weights, x):
    return x.mean((1, 2), keepdims=layer.keepdims)


@_apply.register
def _(layer: L.ZeroPadding2D, weights, x):
    return np.pad(x, [(0, 0), *layer.padding, (0, 0)])


@_apply.register
def _(layer: L.Cropping2D, weights, x):
    (top, bottom), (left, right) = layer.cropping
    return x[:, top : x.shape[1] - bottom, left : x.shape[2] - right]


@_apply.register
def _(layer: L.Reshape, weights, x):
    return x.reshape(len(x), *layer.target_shape)


@_apply.register
def _(layer: L.Flatten, weights, x):
    return x.reshape(len(x), -1)


@_apply.register
def _(layer: L.Dropout, weights, x):
    return x


@_apply.register
def _(layer: L.Dense, weights, x):
    return _bias(x @ weights["kernel"], weights)


@_apply.register
def _(layer: L.Add, weights, *inputs):
    return sum(inputs)


@_apply.register
def _(layer: L.Multiply, weights, *inputs):
    return math.prod(inputs)


@_apply.register
def _(layer: L.ConvexSum, weights, x, y):
    return (1 - weights["lambda"]) * x + weights["lambda"] * y


@_apply.register
def _(layer: L.Concatenate, weights, *inputs):
    return np.concatenate(inputs, axis=-1)
