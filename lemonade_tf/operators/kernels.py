"""Kernels of convolutions: expanded to full kernels, composed, and factored.

A separable convolution with depthwise kernel d and pointwise kernel p is the convolution with

    kernel[h, w, i, o] = sum_k d[h, w, i, k] p[i, k, o].

Conversely, for each input channel i the best approximation of rank m of the matrix
kernel[(h, w), i, o], in the least-squares sense, are the first m terms of its singular value
decomposition (Eckart-Young). With data, the error is weighted by the second moments M of the
channel's windows, and the matrix to decompose is sqrt(M) times the kernel's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lemonade_tf.architecture.layers import (
    Conv2D,
    Conv2DTranspose,
    Dense,
    Layer,
    SeparableConv2D,
    arguments,
)


def full_kernel(layer: Layer, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the full kernel (height, width, in, out) of a convolution or a dense layer.

    That of a transposed convolution is for its input with strides - 1 zeros between the pixels: of
    this, it is the convolution with the kernel turned by 180 degrees.
    """
    if isinstance(layer, Dense):
        return weights["kernel"][None, None]
    if isinstance(layer, Conv2DTranspose):
        return _turned(weights["kernel"])
    if isinstance(layer, Conv2D):
        return _ungrouped(weights["kernel"], layer.groups)
    depthwise = weights["depthwise_kernel"]
    channels, multiplier = depthwise.shape[2:]
    pointwise = weights["pointwise_kernel"].reshape(channels, multiplier, -1)
    return np.einsum("hwik,iko->hwio", depthwise, pointwise, optimize=True)


def _turned(kernel: np.ndarray) -> np.ndarray:
    """Turn a kernel by 180 degrees, with its last two axes exchanged."""
    return kernel[::-1, ::-1].swapaxes(-1, -2)


def _ungrouped(kernel: np.ndarray, groups: int) -> np.ndarray:
    """Return the kernel of a grouped convolution as block-diagonal: zeros between the groups."""
    if groups == 1:
        return kernel
    *window, channels, filters = kernel.shape
    full = np.zeros((*window, groups, channels, filters), kernel.dtype)
    for number in range(groups):
        block = slice(number * filters // groups, (number + 1) * filters // groups)
        full[:, :, number, :, block] = kernel[..., block]
    return full.reshape(*window, groups * channels, filters)


def with_kernel(
    layer: Layer, weights: Mapping[str, np.ndarray], kernel: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the weights of a layer with a new full kernel, factored for a separable convolution.

    Args:
        layer: A convolution that is not grouped, or a dense layer.
        weights: Its weights.
        kernel: (height, width, in, out).
    """
    if isinstance(layer, Dense):
        return {**weights, "kernel": kernel[0, 0].astype(np.float32)}
    if isinstance(layer, Conv2DTranspose):
        return {**weights, "kernel": _turned(kernel).astype(np.float32)}
    if not isinstance(layer, SeparableConv2D):
        return {**weights, "kernel": kernel.astype(np.float32)}
    return {**weights, **separate(kernel, layer.depth_multiplier)}


def separate(
    kernel: np.ndarray, depth_multiplier: int = 1, moments: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the depthwise and pointwise kernels closest to a kernel (height, width, in, out).

    Args:
        kernel: The full kernel.
        depth_multiplier: The number of terms per input channel.
        moments: (in, height * width, height * width), the second moments of the windows of each
            input channel in data; the output then differs least on that data. By default, all
            positions of the kernel count alike.

    Returns:
        depthwise_kernel and pointwise_kernel, in Keras's layouts, float32.
    """
    height, width, channels, filters = kernel.shape
    matrices = kernel.transpose(2, 0, 1, 3).reshape(channels, height * width, filters)
    # On data the error is |sqrt(M) (K - D P)|, for the kernel K and its factors D and P. The first
    # terms of the decomposition of sqrt(M) K minimize it; their left factor is sqrt(M) D.
    root, inverse = _roots(moments, channels, height * width)
    left, values, right = np.linalg.svd(root @ matrices.astype(np.float64), full_matrices=False)
    rank = min(depth_multiplier, values.shape[1])
    share = np.sqrt(values[:, :rank])  # each factor gets the root of the singular value
    depthwise = np.zeros((height * width, channels, depth_multiplier), np.float32)
    pointwise = np.zeros((channels, depth_multiplier, filters), np.float32)
    columns = inverse @ (left[:, :, :rank] * share[:, None])
    depthwise[:, :, :rank] = columns.transpose(1, 0, 2)
    pointwise[:, :rank] = right[:, :rank] * share[:, :, None]
    return {
        "depthwise_kernel": depthwise.reshape(height, width, channels, depth_multiplier),
        "pointwise_kernel": pointwise.reshape(1, 1, channels * depth_multiplier, filters),
    }


def _roots(moments: np.ndarray | None, channels: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the square root of each channel's moments, and its inverse.

    Both are by eigendecomposition, V diag(r) V^T and V diag(1 / r) V^T. Eigenvalues below a
    thousandth of their mean are raised to it: the data says little about these directions, and
    their inverse would be huge.
    """
    if moments is None:
        identity = np.broadcast_to(np.eye(size), (channels, size, size))
        return identity, identity
    values, vectors = np.linalg.eigh(moments)
    least = 1e-3 * values.mean(axis=1, keepdims=True) + 1e-12
    roots = np.sqrt(np.maximum(values, least))[:, None]
    transposed = vectors.transpose(0, 2, 1)
    return (vectors * roots) @ transposed, (vectors / roots) @ transposed


def compose(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the kernel that convolves with `first` and then `second`, cropped to `second`'s size.

    The composition is a sum over the positions of `first`: each contributes `second`, with its
    channels mapped, shifted by the position's distance from the center.

    Args:
        first: (height, width, in, middle), odd sizes.
        second: (height, width, middle, out).

    Returns:
        (height, width, in, out), of the size of `second`, float32.
    """
    height, width = second.shape[:2]
    top, left = first.shape[0] // 2, first.shape[1] // 2
    composed = np.zeros((height, width, first.shape[2], second.shape[3]), np.float32)
    for row in range(first.shape[0]):
        for column in range(first.shape[1]):
            part = np.einsum("im,hwmo->hwio", first[row, column], second, optimize=True)
            (to_row, from_row), (to_column, from_column) = (
                _shifted(height, row - top),
                _shifted(width, column - left),
            )
            composed[to_row, to_column] += part[from_row, from_column]
    return composed


def _shifted(size: int, by: int) -> tuple[slice, slice]:
    """Return the target and the origin of the values that stay when a row of them is shifted."""
    by = max(-size, min(size, by))  # a kernel may be larger than the row: then nothing remains
    return slice(max(by, 0), size + min(by, 0)), slice(max(-by, 0), size - max(by, 0))


def is_contiguous(layer: Layer) -> bool:
    """Return whether the positions of a full kernel are neighboring pixels of the input."""
    if isinstance(layer, Dense):
        return True
    given = arguments(layer)
    is_stretched = isinstance(layer, Conv2DTranspose) and given["strides"] != (1, 1)
    return given["dilation_rate"] == (1, 1) and not is_stretched


def same_window(layer: Layer) -> bool:
    """Return whether a convolution keeps the resolution: stride 1, odd window, 'same' padding.

    A window of a single pixel needs no padding.
    """
    given = arguments(layer)
    return (
        given["strides"] == (1, 1)
        and (given["padding"] == "same" or given["kernel_size"] == (1, 1))
        and all(size % 2 for size in given["kernel_size"])
    )
