"""An independent witness: the forward pass of a graph in NumPy, float64 by default."""

import math
from functools import reduce, singledispatch

import numpy as np
from scipy.special import expit
from scipy.stats import norm

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


def _windows(x, window, strides, padding, fill, dilation=(1, 1)):
    """Return (n, out h, out w, window h, window w, c)."""
    pads = []
    window = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    for size, k, s in zip(x.shape[1:3], window, strides, strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0) if padding == "same" else 0
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))
    view = view[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


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
    view = _windows(x, layer.kernel_size, layer.strides, layer.padding, 0, layer.dilation_rate)
    blocks = zip(
        np.split(view, layer.groups, -1),
        np.split(weights["kernel"], layer.groups, -1),
        strict=True,
    )
    y = np.concatenate([np.tensordot(part, kernel, 3) for part, kernel in blocks], -1)
    return _bias(y, weights)


def _depthwise(layer, kernel, x):
    view = _windows(x, layer.kernel_size, layer.strides, layer.padding, 0, layer.dilation_rate)
    y = np.einsum("nhwabc,abcm->nhwcm", view, kernel, optimize=True)
    return y.reshape(*y.shape[:3], -1)


@_apply.register
def _(layer: L.Conv2DTranspose, weights, x):
    # Every pixel adds its kernel to the output, at strides times its place; then "same" crops.
    height, width, filters = layer.output_shape(x.shape[1:])
    rows, columns = x.shape[1:3]
    (down, right), (below, beside) = layer.strides, layer.dilation_rate
    total = [(n - 1) * s for n, s in zip((rows, columns), layer.strides, strict=True)]
    window = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    sides = [max(t + w, out) for t, w, out in zip(total, window, (height, width), strict=True)]
    y = np.zeros((len(x), *sides, filters))
    for row in range(layer.kernel_size[0]):
        for column in range(layer.kernel_size[1]):
            top, left = row * below, column * beside
            part = np.s_[:, top : top + total[0] + 1 : down, left : left + total[1] + 1 : right]
            y[part] += x @ weights["kernel"][row, column].T
    top, left = (
        max(t + w - out, 0) // 2 if layer.padding == "same" else 0
        for t, w, out in zip(total, window, (height, width), strict=True)
    )
    return _bias(y[:, top : top + height, left : left + width], weights)


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


def _scaled(y, weights):
    return y * weights.get("gamma", 1.0) + weights.get("beta", 0.0)


@_apply.register
def _(layer: L.LayerNormalization, weights, x):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return _scaled((x - mean) / np.sqrt(variance + layer.epsilon), weights)


@_apply.register
def _(layer: L.GroupNormalization, weights, x):
    groups = x.shape[-1] if layer.groups == -1 else layer.groups
    y = x.reshape(*x.shape[:-1], groups, -1)
    axes = (*range(1, x.ndim - 1), x.ndim)
    mean, variance = y.mean(axes, keepdims=True), y.var(axes, keepdims=True)
    return _scaled(((y - mean) / np.sqrt(variance + layer.epsilon)).reshape(x.shape), weights)


@_apply.register
def _(layer: L.LayerScale, weights, x):
    return x * weights["gamma"]


@_apply.register
def _(layer: L.ReLU, weights, x):
    below = layer.negative_slope * (x - layer.threshold)
    return np.minimum(np.where(x >= layer.threshold, x, below), layer.max_value or np.inf)


@_apply.register
def _(layer: L.LeakyReLU, weights, x):
    return np.where(x >= 0, x, layer.negative_slope * x)


@_apply.register
def _(layer: L.PReLU, weights, x):
    return np.where(x >= 0, x, weights["alpha"] * x)


def _elu(x, alpha=1.0):
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0)))


@_apply.register
def _(layer: L.ELU, weights, x):
    return _elu(x, layer.alpha)


def _softplus(x):
    return np.logaddexp(x, 0)


ACTIVATIONS = {
    "celu": _elu,
    "elu": _elu,
    "exponential": np.exp,
    "gelu": lambda v: v * norm.cdf(v),
    "hard_shrink": lambda v: np.where(np.abs(v) > 0.5, v, 0),
    "hard_sigmoid": lambda v: np.clip(v / 6 + 0.5, 0, 1),
    "hard_silu": lambda v: v * np.clip(v / 6 + 0.5, 0, 1),
    "hard_tanh": lambda v: np.clip(v, -1, 1),
    "leaky_relu": lambda v: np.where(v >= 0, v, 0.2 * v),
    "linear": lambda v: v,
    "log_sigmoid": lambda v: -_softplus(-v),
    "log_softmax": lambda v: v - np.logaddexp.reduce(v, -1, keepdims=True),
    "mish": lambda v: v * np.tanh(_softplus(v)),
    "relu": lambda v: np.maximum(v, 0),
    "relu6": lambda v: np.clip(v, 0, 6),
    "selu": lambda v: 1.0507009873554805 * _elu(v, 1.6732632423543772),
    "sigmoid": expit,
    "silu": lambda v: v * expit(v),
    "soft_shrink": lambda v: np.sign(v) * np.maximum(np.abs(v) - 0.5, 0),
    "softmax": softmax,
    "softplus": _softplus,
    "softsign": lambda v: v / (1 + np.abs(v)),
    "sparse_plus": lambda v: np.where(v <= -1, 0, np.where(v < 1, (v + 1) ** 2 / 4, v)),
    "sparse_sigmoid": lambda v: np.clip((v + 1) / 2, 0, 1),
    "squareplus": lambda v: (v + np.sqrt(v**2 + 4)) / 2,
    "tanh": np.tanh,
    "tanh_shrink": lambda v: v - np.tanh(v),
}


@_apply.register
def _(layer: L.Activation, weights, x):
    return ACTIVATIONS[layer.activation](x)


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
def _(layer: L.GlobalMaxPooling2D, weights, x):
    return x.max((1, 2), keepdims=layer.keepdims)


def _resized(x, axis, size, interpolation):
    """Return x with another number of rows or columns; pixels are squares, as in TensorFlow 2."""
    old = x.shape[axis]
    centers = (np.arange(size) + 0.5) * old / size
    if interpolation == "nearest":
        return np.take(x, np.floor(centers).astype(int), axis)
    at = np.clip(centers - 0.5, 0, old - 1)
    first = np.floor(at).astype(int)
    share = (at - first).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    second = np.minimum(first + 1, old - 1)
    return (1 - share) * np.take(x, first, axis) + share * np.take(x, second, axis)


@_apply.register
def _(layer: L.UpSampling2D, weights, x):
    height, width, _ = layer.output_shape(x.shape[1:])
    return _resized(_resized(x, 1, height, layer.interpolation), 2, width, layer.interpolation)


@_apply.register
def _(layer: L.Resizing, weights, x):
    rows = _resized(x, 1, layer.height, layer.interpolation)
    return _resized(rows, 2, layer.width, layer.interpolation)


@_apply.register
def _(layer: L.Permute, weights, x):
    return x.transpose(0, *layer.dims)


@_apply.register
def _(layer: L.ChannelSlice, weights, x):
    return x[..., layer.start : layer.stop]


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


@_apply.register(L.Dropout)
@_apply.register(L.TrainingOnly)
def _(layer, weights, x):
    return x


@_apply.register
def _(layer: L.Dense, weights, x):
    return _bias(x @ weights["kernel"], weights)


@_apply.register
def _(layer: L.Add, weights, *inputs):
    return sum(inputs)


@_apply.register
def _(layer: L.Subtract, weights, x, y):
    return x - y


@_apply.register
def _(layer: L.Multiply, weights, *inputs):
    return math.prod(inputs)


@_apply.register
def _(layer: L.Average, weights, *inputs):
    return sum(inputs) / len(inputs)


@_apply.register
def _(layer: L.Maximum, weights, *inputs):
    return reduce(np.maximum, inputs)


@_apply.register
def _(layer: L.Minimum, weights, *inputs):
    return reduce(np.minimum, inputs)


@_apply.register
def _(layer: L.ConvexSum, weights, x, y):
    return (1 - weights["lambda"]) * x + weights["lambda"] * y


@_apply.register
def _(layer: L.Concatenate, weights, *inputs):
    return np.concatenate(inputs, axis=-1)
