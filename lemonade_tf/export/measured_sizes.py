"""The true sizes of the int8 networks of a front, beside those that the search predicted.

A search predicts `int8_bytes` and `int8_arena` from the graph. Here each network is quantized, and
LiteRT Micro runs it where the package tflite-micro is installed. Random images calibrate: the sizes
do not depend on the ranges of activations. A network takes about a second. `front --measure` stores
nothing; the workers of a search measure its final front and record the sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.export.checking import folded
from lemonade_tf.export.formats import INT8
from lemonade_tf.export.micro import has_micro, measure_arena
from lemonade_tf.export.writing import Content, lite_content
from lemonade_tf.keras_bridge.files import load_graph
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults
from lemonade_tf.objectives.int8_size import int8_arena, int8_bytes
from lemonade_tf.runs import Run

_NUM_IMAGES = 2


@dataclass(frozen=True)
class Int8Size:
    """The size of a network in int8.

    Attributes:
        id: The network.
        predicted_bytes: The predicted size of its .tflite file.
        predicted_arena: The predicted bytes of its arena in LiteRT Micro.
        num_bytes: The size of the file; None if it failed.
        arena: The bytes of the arena; None if it failed, or tflite-micro is not installed.
        failure: Why a value is missing, in one line; None if none is.
    """

    id: str
    predicted_bytes: float
    predicted_arena: float
    num_bytes: int | None = None
    arena: int | None = None
    failure: str | None = None


def measure_sizes(run: Run, ids: Iterable[str]) -> Iterator[Int8Size]:
    """Yield the true int8 sizes of networks of a run, one after the other.

    Raises:
        FileError: If the file of a network cannot be read.
        StoreError: If there is none.
    """
    for name in ids:
        yield _measured(name, load_graph(run.store.find_model(name)))


def file_sizes(path: str) -> dict[str, Any]:
    """Return the true int8 sizes of the network in a file: the fields of `Int8Size`.

    Raises:
        FileError: If it cannot be read.
    """
    return asdict(_measured(Path(path).stem, load_graph(path)))


def _measured(name: str, graph: Graph) -> Int8Size:
    shape = (_NUM_IMAGES, *graph.shapes()[graph.input])
    images = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    num_bytes = arena = failure = None
    try:
        with keras_defaults():
            content = lite_content(folded(Content(name, graph, (), images)), INT8)
        num_bytes = len(content)
        arena = measure_arena(content) if has_micro() else None
    except LemonadeError as error:
        failure = quoted(error)
    return Int8Size(name, int8_bytes(graph), int8_arena(graph), num_bytes, arena, failure)
