"""Sample positions of the output of a layer, and extract the windows of its input there.

A fit does not need all windows of all images: some multiple of the number of unknowns per filter
suffices.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import Dense, arguments

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
    columns = int(np.prod(_window(graph[name].layer))) * graph.input_shapes(name)[0][-1]
    rows = min(max(_MIN_ROWS, _ROWS_PER_COLUMN * columns), _MAX_VALUES // columns)
    chosen = np.sort(rng.permutation(total)[:rows]) if total > rows else np.arange(total)
    return np.unravel_index(chosen, shape)


def _window(layer: Any) -> tuple[int, int]:
    return (1, 1) if isinstance(layer, Dense) else layer.kernel_size


def extract_windows(layer: Any, values: np.ndarray, positions: Positions) -> np.ndarray:
    """Return the windows from which a layer computes its output at some positions.

    Args:
        layer: A convolution, separable convolution or dense layer.
        values: The input of the layer, (images, height, width, in), or (images, in) if dense.
        positions: Positions of the output.

    Returns:
        The windows, (rows, height, width, in).
    """
    if isinstance(layer, Dense):
        return values[positions][:, None, None]
    given = arguments(layer)
    (height, width), (down, right) = given["kernel_size"], given["strides"]
    if given["padding"] == "same":
        pads = [
            _padding(n, k, s)
            for n, k, s in zip(values.shape[1:3], (height, width), (down, right), strict=True)
        ]
        values = np.pad(values, [(0, 0), *pads, (0, 0)])
    image, y, x = positions
    windows = np.empty((len(image), height, width, values.shape[-1]), values.dtype)
    for row in range(height):
        for column in range(width):
            windows[:, row, column] = values[image, y * down + row, x * right + column]
    return windows


def _padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return the number of zeros that "same" padding inserts before and after."""
    total = max(0, (-(-size // stride) - 1) * stride + window - size)
    return total // 2, total - total // 2
