"""Weights in closed form: what brings a layer, on what it reads now, nearest to what it put out.

With x the windows that a layer reads, as rows, and y what it ought to put out, a kernel K that it
has already becomes K + D, where

    D = argmin |x (K + D) - y|^2 + r |D|^2,        r = a share in RIDGES of the mean square of x

so what the images do not determine stays as it is. The share is the first for which the kernel does
not become much larger: where what the layer reads is nearly the same in all channels, the nearest
kernel is the difference of large numbers, and at the learning rate that the parent was trained at
such a child diverges. Where the layer has a bias, or a batch norm
follows whose mean can move instead, x and y are taken less their means.

A separable convolution with depthwise kernel d and pointwise kernel p is the kernel
K[w, i, o] = sum_m d[w, i, m] p[i, m, o]. Replacing a convolution it starts from the singular value
decomposition weighted by the data: of the square root of the second moments of channel i's windows
times K[:, i]. From there d and p are fitted in turn, each in closed form with the other held.

The second moments of x and y are all that is needed of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import solve

from lemonade_tf.architecture.layers import Conv2D, Dense, Layer, SeparableConv2D
from lemonade_tf.operators.kernels import separate

RIDGES = (1e-2, 1e-1, 3e-1)
MOST_GROWTH = 2.0  # of the norm of a kernel, so that the next share is not tried
# Of x, 9 x 512: some ten seconds. Beyond, only the centre of the window is fitted. A separable
# convolution, which takes several fits, is left as it is beyond half of that.
MOST_COLUMNS = 4608
_SWEEPS = 3
_ROWS = 4096  # at a time

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Moments:
    """Second moments of windows and of what is put out.

    Attributes:
        windows: (columns, columns), x^T x / rows.
        both: (columns, filters), x^T y / rows.
        window_mean: (columns,).
        mean: (filters,), of y.
    """

    windows: np.ndarray
    both: np.ndarray
    window_mean: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, *, centred: bool) -> Moments:
        """Return the moments of rows x (rows, columns) and y (rows, filters)."""
        x_mean, y_mean = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
        if not centred:
            x_mean, y_mean = np.zeros_like(x_mean), np.zeros_like(y_mean)
        windows, both = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], y.shape[1]))
        for start in range(0, len(x), _ROWS):
            rows = x[start : start + _ROWS] - x_mean.astype(np.float32)
            windows += rows.T @ rows
            both += rows.T @ (y[start : start + _ROWS] - y_mean.astype(np.float32))
        return cls(windows / len(x), both / len(x), x_mean, y_mean)


def nearest_change(moments: Moments, share: float) -> np.ndarray:
    """Return D (columns, filters), of moments with what K leaves over as y.

    Args:
        moments: Of x, and of y less what the kernel K makes of x.
        share: Of the mean square of x.
    """
    return _solve(moments.windows, moments.both, share)


def nearest_factors(
    moments: Moments, depthwise: np.ndarray, pointwise: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return both kernels of a separable convolution, fitted in turn.

    Args:
        moments: Columns are (window, channel).
        depthwise: (window, channels, multiplier).
        pointwise: (channels, multiplier, filters).
        share: Of the mean square of what is multiplied.
    """
    window, channels, multiplier = depthwise.shape
    shape = (window, channels, window, channels)
    gram, both = moments.windows.reshape(shape), moments.both.reshape(window, channels, -1)
    for _ in range(_SWEEPS):
        d = depthwise
        inner = np.einsum("wim,wivj,vjn->imjn", d, gram, d, optimize=True)
        inner = inner.reshape(channels * multiplier, -1)
        target = np.einsum("wim,wio->imo", d, both, optimize=True).reshape(len(inner), -1)
        p = pointwise.reshape(len(inner), -1)
        pointwise = (p + _solve(inner, target - inner @ p, share)).reshape(pointwise.shape)
        products = np.einsum("imo,jno->imjn", pointwise, pointwise, optimize=True)
        inner = np.einsum("wivj,imjn->wimvjn", gram, products, optimize=True)
        inner = inner.reshape(d.size, d.size)
        target = np.einsum("wio,imo->wim", both, pointwise, optimize=True).ravel()
        step = _solve(inner, target - inner @ d.ravel(), share)
        depthwise = d + step.reshape(d.shape)
    return depthwise, pointwise


def _solve(matrix: np.ndarray, right: np.ndarray, share: float) -> np.ndarray:
    ridge = share * np.trace(matrix) / len(matrix) + 1e-12  # not 0 even where all of x is
    return solve(matrix + ridge * np.eye(len(matrix)), right, assume_a="pos")


def _first_small(fit: Callable[[float], Any], size: Callable[[Any], float], before: float) -> Any:
    """Return the first fit that is not much larger than what was there before, or the last."""
    for share in RIDGES:
        found = fit(share)
        if size(found) <= MOST_GROWTH * before:
            break
    return found


# --- A layer -----------------------------------------------------------------------------------


def fitted(
    layer: Layer,
    weights: Weights,
    before: np.ndarray | None,
    windows: np.ndarray,
    outputs: np.ndarray,
    columns: np.ndarray,
    *,
    free_mean: bool,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the weights with which a layer puts out what it ought to, and what is missing to it.

    Args:
        layer: A convolution, separable convolution or dense layer.
        weights: Its weights so far.
        before: The full kernel (height, width, in, out) that a separable convolution replaces;
            None for any other.
        windows: (rows, height, width, in), what it reads.
        outputs: (rows, filters of `columns`), what it ought to put out.
        columns: Which of its filters those are.
        free_mean: Whether the mean of what it puts out is free though it has no bias.

    Returns:
        The weights; and (columns,) what, added to what the layer then puts out, makes its mean
        right: 0 if it has a bias, or if its mean is not free.
    """
    centred = free_mean or "bias" in weights
    missing = np.zeros(len(columns))
    if isinstance(layer, SeparableConv2D) and 2 * windows[0].size > MOST_COLUMNS:
        return dict(weights), missing
    if isinstance(layer, SeparableConv2D):
        new, mean = _separable(weights, before, windows, outputs, columns, centred)
    else:
        groups = layer.groups if isinstance(layer, Conv2D) else 1
        new, mean = _plain(layer, weights, windows, outputs, columns, centred, groups)
    if "bias" in weights:
        new["bias"] = weights["bias"].copy()
        new["bias"][columns] = mean
    else:
        missing = mean
    return {key: value.astype(np.float32) for key, value in {**weights, **new}.items()}, missing


def _plain(
    layer: Layer,
    weights: Weights,
    windows: np.ndarray,
    outputs: np.ndarray,
    columns: np.ndarray,
    centred: bool,
    groups: int,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the kernel of a convolution, block by block, and the bias that its columns want."""
    kernel, bias = weights["kernel"].astype(np.float64), np.zeros(len(columns))
    if isinstance(layer, Dense):
        kernel = kernel[None, None]
    height, width, channels, filters = kernel.shape
    part = _window_that_is_fitted(height, width, channels)
    for group in range(groups):
        here = columns * groups // filters == group
        own = windows[..., group * channels : (group + 1) * channels]
        where = (*part, slice(None), columns[here])
        wanted = kernel[..., columns[here]].reshape(-1, here.sum()).astype(np.float32)
        rest = outputs[:, here] - own.reshape(len(own), -1) @ wanted
        x = own[(slice(None), *part)].reshape(len(own), -1)
        moments, old = Moments.of(x, rest, centred=centred), kernel[where].reshape(x.shape[1], -1)
        change = _first_small(
            partial(nearest_change, moments), partial(_norm_of_sum, old), np.linalg.norm(old)
        )
        kernel[where] += change.reshape(kernel[where].shape)
        bias[here] = moments.mean - moments.window_mean @ change
    return {"kernel": kernel[0, 0] if isinstance(layer, Dense) else kernel}, bias


def _norm_of_sum(kernel: np.ndarray, change: np.ndarray) -> float:
    return float(np.linalg.norm(kernel + change))


def _window_that_is_fitted(height: int, width: int, channels: int) -> tuple[slice, slice]:
    if height * width * channels <= MOST_COLUMNS:
        return slice(None), slice(None)
    return slice(height // 2, height // 2 + 1), slice(width // 2, width // 2 + 1)


def _separable(
    weights: Weights,
    before: np.ndarray | None,
    windows: np.ndarray,
    outputs: np.ndarray,
    columns: np.ndarray,
    centred: bool,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return both kernels of a separable convolution, and the bias that its columns want."""
    rows, height, width, channels = windows.shape
    x = windows.reshape(rows, -1)
    moments = Moments.of(x, outputs, centred=centred)
    if before is not None:
        blocks = moments.windows.reshape(height * width, channels, height * width, channels)
        own = np.einsum("wivi->iwv", blocks)
        weights = separate(before, weights["depthwise_kernel"].shape[3], own)
    depthwise = weights["depthwise_kernel"].astype(np.float64)
    multiplier = depthwise.shape[3]
    pointwise = weights["pointwise_kernel"].astype(np.float64).reshape(channels, multiplier, -1)
    start = (depthwise.reshape(-1, channels, multiplier), pointwise[..., columns])
    d, p = _first_small(
        partial(nearest_factors, moments, *start),
        lambda found: np.linalg.norm(_product(*found)),
        np.linalg.norm(_product(*start)),
    )
    pointwise[..., columns] = p
    mean = moments.mean - moments.window_mean @ _product(d, p)
    return {
        "depthwise_kernel": d.reshape(depthwise.shape),
        "pointwise_kernel": pointwise.reshape(1, 1, channels * multiplier, -1),
    }, mean


def _product(depthwise: np.ndarray, pointwise: np.ndarray) -> np.ndarray:
    """Return the kernel (columns, filters) of a separable convolution."""
    product = np.einsum("wim,imo->wio", depthwise, pointwise)
    return product.reshape(-1, pointwise.shape[-1])
