"""Fit the weights of a convolution or a dense layer to desired outputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from lemonade_tf.architecture.layers import (
    Conv2D,
    Conv2DTranspose,
    Dense,
    Layer,
    SeparableConv2D,
)
from lemonade_tf.inheritance.least_squares import (
    Moments,
    fit_kernel_change,
    fit_separable_kernels,
    fit_within_growth,
)
from lemonade_tf.operators.kernels import full_kernel, separate, with_kernel

# The values in a window, 9 x 512, at which a fit takes some ten seconds. For larger windows only
# the center is fitted. A separable convolution needs several fits, and is left unchanged if its
# window is larger than half of that.
MAX_COLUMNS = 4608

Weights = Mapping[str, np.ndarray]


def fit_layer(
    layer: Layer,
    weights: Weights,
    replaced: np.ndarray | None,
    windows: np.ndarray,
    outputs: np.ndarray,
    filters: np.ndarray,
    *,
    free_mean: bool,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Fit the weights of a layer to desired outputs.

    Args:
        layer: A convolution, transposed or separable convolution, or dense layer.
        weights: Its current weights.
        replaced: The full kernel (height, width, in, out) that a separable convolution replaces;
            None for any other layer.
        windows: Its inputs, (rows, height, width, in).
        outputs: The desired outputs of `filters`, (rows, len(filters)).
        filters: The indices of the filters to fit.
        free_mean: Whether the mean of the output may differ from the desired one, though the layer
            has no bias.

    Returns:
        The new weights, and the mean (len(filters),) to add to the output of the layer; 0 if the
        layer has a bias, or if its mean is not free.
    """
    centered = free_mean or "bias" in weights
    missing_mean = np.zeros(len(filters))
    if isinstance(layer, SeparableConv2D) and 2 * windows[0].size > MAX_COLUMNS:
        return dict(weights), missing_mean
    if isinstance(layer, SeparableConv2D):
        new, mean = _fit_separable(weights, replaced, windows, outputs, filters, centered)
    else:
        new, mean = _fit_kernel(layer, weights, windows, outputs, filters, centered)
    if "bias" in weights:
        new["bias"] = weights["bias"].copy()
        new["bias"][filters] = mean
    else:
        missing_mean = mean
    new = {key: value.astype(np.float32) for key, value in {**weights, **new}.items()}
    return new, missing_mean


def _fit_kernel(
    layer: Layer,
    weights: Weights,
    windows: np.ndarray,
    outputs: np.ndarray,
    filters: np.ndarray,
    centered: bool,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the kernel of a convolution or dense layer, and the bias of the fitted filters."""
    kernel, bias = weights["kernel"].astype(np.float64), np.zeros(len(filters))
    if isinstance(layer, Dense):
        kernel = kernel[None, None]
    elif isinstance(layer, Conv2DTranspose):
        kernel = full_kernel(layer, {"kernel": kernel})
    groups = layer.groups if isinstance(layer, Conv2D) else 1
    height, width, channels, num_filters = kernel.shape
    part = _fitted_positions(height, width, channels)
    # The filters of a group have the same inputs, so they share one set of moments.
    for group in range(groups):
        here = filters * groups // num_filters == group
        inputs = windows[..., group * channels : (group + 1) * channels]
        current = kernel[..., filters[here]].reshape(-1, here.sum()).astype(np.float32)
        residuals = outputs[:, here] - inputs.reshape(len(inputs), -1) @ current
        x = inputs[(slice(None), *part)].reshape(len(inputs), -1)
        moments = Moments.of(x, residuals, centered=centered)
        where = (*part, slice(None), filters[here])
        old = kernel[where].reshape(x.shape[1], -1)
        change = fit_within_growth(
            partial(fit_kernel_change, moments),
            partial(_norm_of_sum, old),
            np.zeros_like(old),
        )
        kernel[where] += change.reshape(kernel[where].shape)
        bias[here] = moments.y_mean - moments.x_mean @ change
    if isinstance(layer, Dense | Conv2DTranspose):
        return with_kernel(layer, {}, kernel), bias
    return {"kernel": kernel}, bias


def _norm_of_sum(kernel: np.ndarray, change: np.ndarray) -> float:
    return float(np.linalg.norm(kernel + change))


def _fitted_positions(height: int, width: int, channels: int) -> tuple[slice, slice]:
    """Return the positions of a window to fit: all, or the center of a large one."""
    if height * width * channels <= MAX_COLUMNS:
        return slice(None), slice(None)
    return slice(height // 2, height // 2 + 1), slice(width // 2, width // 2 + 1)


def _fit_separable(
    weights: Weights,
    replaced: np.ndarray | None,
    windows: np.ndarray,
    outputs: np.ndarray,
    filters: np.ndarray,
    centered: bool,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return both kernels of a separable convolution, and the bias of the fitted filters."""
    rows, height, width, channels = windows.shape
    moments = Moments.of(windows.reshape(rows, -1), outputs, centered=centered)
    if replaced is not None:
        # Start from the factors closest to the replaced kernel on this data: the singular value
        # decomposition, per input channel i, of G_i^(1/2) K[:, i], where G_i are the second
        # moments of the windows of channel i.
        gram = moments.gram.reshape(height * width, channels, height * width, channels)
        per_channel = np.einsum("wivi->iwv", gram)
        weights = separate(replaced, weights["depthwise_kernel"].shape[3], per_channel)
    depthwise = weights["depthwise_kernel"].astype(np.float64)
    multiplier = depthwise.shape[3]
    pointwise = weights["pointwise_kernel"].astype(np.float64).reshape(channels, multiplier, -1)
    start = (depthwise.reshape(-1, channels, multiplier), pointwise[..., filters])
    d, p = fit_within_growth(
        partial(fit_separable_kernels, moments, *start),
        lambda kernels: float(np.linalg.norm(_product(*kernels))),
        start,
    )
    pointwise[..., filters] = p
    bias = moments.y_mean - moments.x_mean @ _product(d, p)
    return {
        "depthwise_kernel": d.reshape(depthwise.shape),
        "pointwise_kernel": pointwise.reshape(1, 1, channels * multiplier, -1),
    }, bias


def _product(depthwise: np.ndarray, pointwise: np.ndarray) -> np.ndarray:
    """Return the full kernel (columns, filters) of a separable convolution."""
    product = np.einsum("wim,imo->wio", depthwise, pointwise)
    return product.reshape(-1, pointwise.shape[-1])
