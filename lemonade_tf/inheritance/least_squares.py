"""Fit the kernel of a layer in closed form: ridge regression towards the kernel that it has.

Let the rows of x be the windows that a layer takes as input, and those of y its desired output. A
kernel K becomes K + D, where D minimizes

    mean over rows |x (K + D) - y|^2 + r |D|^2

Setting the gradient to zero gives a linear system in the second moments of the data:

    (G + r I) D = C,        G = x^T x / rows,    C = x^T (y - x K) / rows

The ridge r is a fraction of the mean square of x, so directions that the images do not determine
keep their weights. The ridge is the first of `RIDGES` with which the norm of the kernel does not
grow much; if there is none, the kernel stays as it is. Without this limit, highly correlated inputs
give a kernel of large numbers that cancel out, and a child with such a kernel diverges at the
learning rate that the parent was trained with.

If the layer has a bias, or a batch normalization follows whose mean can absorb it, x and y are
centered first.

A depthwise-separable convolution with depthwise kernel d and pointwise kernel p computes the kernel

    K[w, i, o] = sum over m of d[w, i, m] p[i, m, o]

(w: position in the window, i: input channel, m: multiplier, o: filter), which is linear in each of
d and p. So both are fitted in turn, with the other fixed (alternating least squares).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve

RIDGES = (1e-2, 1e-1, 3e-1)
MAX_GROWTH = 2.0  # of the norm of a kernel
_SWEEPS = 3
_CHUNK = 4096  # rows


@dataclass(frozen=True)
class Moments:
    """Second moments of inputs x and desired outputs y, in float64.

    Attributes:
        gram: x^T x / rows, (columns, columns).
        cross: x^T y / rows, (columns, filters).
        x_mean: The mean of x, (columns,); 0 unless the moments are centered.
        y_mean: The mean of y, (filters,); 0 unless the moments are centered.
    """

    gram: np.ndarray
    cross: np.ndarray
    x_mean: np.ndarray
    y_mean: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, *, centered: bool) -> Moments:
        """Compute the moments of x (rows, columns) and y (rows, filters).

        Args:
            x: Inputs, float32.
            y: Desired outputs, float32.
            centered: Whether to subtract the means first.
        """
        x_mean, y_mean = x.mean(0, dtype=np.float64), y.mean(0, dtype=np.float64)
        if not centered:
            x_mean, y_mean = np.zeros_like(x_mean), np.zeros_like(y_mean)
        gram, cross = np.zeros((x.shape[1], x.shape[1])), np.zeros((x.shape[1], y.shape[1]))
        # Products in float32, sums of chunks in float64: fast, and accurate enough for many rows.
        for start in range(0, len(x), _CHUNK):
            rows = x[start : start + _CHUNK] - x_mean.astype(np.float32)
            gram += rows.T @ rows
            cross += rows.T @ (y[start : start + _CHUNK] - y_mean.astype(np.float32))
        return cls(gram / len(x), cross / len(x), x_mean, y_mean)


def fit_kernel_change(moments: Moments, ridge: float) -> np.ndarray:
    """Return D (columns, filters), the change of a kernel K.

    Args:
        moments: Of the inputs x and the residuals y - x K.
        ridge: The ridge, relative to the mean square of x.
    """
    return _solve(moments.gram, moments.cross, ridge)


def fit_separable_kernels(
    moments: Moments, depthwise: np.ndarray, pointwise: np.ndarray, ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit both kernels of a separable convolution by alternating least squares.

    Args:
        moments: Of the inputs, whose columns are (window, channel), and the desired outputs.
        depthwise: The kernel to start from, (window, channels, multiplier).
        pointwise: The kernel to start from, (channels, multiplier, filters).
        ridge: The ridge, relative to the mean square of the inputs of each fit.
    """
    window, channels, multiplier = depthwise.shape
    gram = moments.gram.reshape(window, channels, window, channels)
    cross = moments.cross.reshape(window, channels, -1)
    for _ in range(_SWEEPS):
        # Given d, the inputs of the pointwise kernel are z[i, m] = sum_w x[w, i] d[w, i, m]. Their
        # second moments follow from those of x.
        d, p = depthwise, pointwise.reshape(channels * multiplier, -1)
        z_gram = np.einsum("wim,wivj,vjn->imjn", d, gram, d, optimize=True)
        z_gram = z_gram.reshape(len(p), len(p))
        z_cross = np.einsum("wim,wio->imo", d, cross, optimize=True).reshape(p.shape)
        step = _solve(z_gram, z_cross - z_gram @ p, ridge)
        pointwise = (p + step).reshape(pointwise.shape)
        # Given p, the output o has the derivative x[w, i] p[i, m, o] with respect to d[w, i, m].
        # Summed over o, products of derivatives are products of gram and p p^T.
        products = np.einsum("imo,jno->imjn", pointwise, pointwise, optimize=True)
        d_gram = np.einsum("wivj,imjn->wimvjn", gram, products, optimize=True)
        d_gram = d_gram.reshape(d.size, d.size)
        d_cross = np.einsum("wio,imo->wim", cross, pointwise, optimize=True).ravel()
        step = _solve(d_gram, d_cross - d_gram @ d.ravel(), ridge)
        depthwise = d + step.reshape(d.shape)
    return depthwise, pointwise


def _solve(gram: np.ndarray, cross: np.ndarray, ridge: float) -> np.ndarray:
    absolute = ridge * np.trace(gram) / len(gram) + 1e-12  # positive even if all inputs are 0
    return solve(gram + absolute * np.eye(len(gram)), cross, assume_a="pos")


def fit_within_growth(
    fit: Callable[[float], Any], norm: Callable[[Any], float], unchanged: Any
) -> Any:
    """Return the fit with the smallest of `RIDGES` that keeps the norm of the kernel small.

    Args:
        fit: Fits with a relative ridge.
        norm: Returns the norm of the kernel of a fit.
        unchanged: What a fit that changes nothing is; returned if no ridge keeps the norm small.
    """
    for ridge in RIDGES:
        found = fit(ridge)
        if norm(found) <= MAX_GROWTH * norm(unchanged):
            return found
    return unchanged
