"""Sample positions of the output of a layer, and extract the windows of its input there.

A fit does not need all windows of all images: some multiple of the number of unknowns per filter
suffices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import Conv2DTranspose, Dense, arguments
from lemonade_tf.architecture.windows import dilated_window

_ROWS_PER_COLUMN = 10  # windows per value in a window
_MIN_ROWS = 4096
_MAX_VALUES = 2**26  # in all windows of a fit: 256 MB in float32

Positions = tuple[np.ndarray, ...]  # indices into (images, height, width)


def sample_positions(
    graph: Graph, name: str, num_images: int, rng: np.random.Generator
) -> Positions:
    """Draw positions of the output of a node: indices into its axes without the channels."""
    shape = (num_images, *graph.shapes()[name][:-1])
    total = int(np.prod(shape))
    layer: Any = graph[name].layer
    columns = int(np.prod(_window(layer))) * graph.input_shapes(name)[0][-1]
    wanted = max(_MIN_ROWS, _ROWS_PER_COLUMN * columns)
    if isinstance(layer, Conv2DTranspose):  # most values in its windows are zeros
        wanted *= int(np.prod(layer.strides))
    rows = min(wanted, _MAX_VALUES // columns)
    chosen = np.sort(rng.permutation(total)[:rows]) if total > rows else np.arange(total)
    return np.unravel_index(chosen, shape)


def _window(layer: Any) -> tuple[int, int]:
    return (1, 1) if isinstance(layer, Dense) else layer.kernel_size


def extract_windows(layer: Any, values: np.ndarray, positions: Positions) -> np.ndarray:
    """Return the windows from which a layer computes its output at some positions.

    Args:
        layer: A convolution, transposed or separable convolution, or dense layer.
        values: The input of the layer, (images, height, width, in), or (images, in) if dense.
        positions: Positions of the output.

    Returns:
        The windows, (rows, height, width, in), to multiply by the full kernel (see
        `operators.kernels`).
    """
    if isinstance(layer, Dense):
        return values[positions][:, None, None]
    given = arguments(layer)
    (height, width), (down, right) = given["kernel_size"], given["strides"]
    if isinstance(layer, Conv2DTranspose):
        values, (down, right) = _stretched(layer, values), (1, 1)
    elif given["padding"] == "same":
        sides = zip(values.shape[1:3], dilated_window(layer), (down, right), strict=True)
        pads = [_padding(n, k, s) for n, k, s in sides]
        values = np.pad(values, [(0, 0), *pads, (0, 0)])
    image, y, x = positions
    below, beside = given["dilation_rate"]
    windows = np.empty((len(image), height, width, values.shape[-1]), values.dtype)
    for row in range(height):
        for column in range(width):
            at = y * down + row * below, x * right + column * beside
            windows[:, row, column] = values[(image, *at)]
    return windows


def _stretched(layer: Conv2DTranspose, values: np.ndarray) -> np.ndarray:
    """Return the image of which a transposed convolution is a convolution with stride 1.

    It has strides - 1 zeros between the pixels of the input, and zeros around them.
    """
    window, output = dilated_window(layer), layer.output_shape(values.shape[1:])[:2]
    stretched = [(n - 1) * s + 1 for n, s in zip(values.shape[1:3], layer.strides, strict=True)]
    pads = []
    for size, width, out in zip(stretched, window, output, strict=True):
        cropped = max(0, size + width - 1 - out) // 2 if layer.padding == "same" else 0
        before = width - 1 - cropped
        pads.append((before, out + width - 1 - size - before))
    image = np.zeros((len(values), *stretched, values.shape[-1]), values.dtype)
    image[:, :: layer.strides[0], :: layer.strides[1]] = values
    return np.pad(image, [(0, 0), *pads, (0, 0)])


def _padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return the number of zeros that "same" padding inserts before and after."""
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2
