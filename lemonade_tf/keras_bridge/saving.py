"""Writing the file of a network: a Keras HDF5 model of stock layers, and the exact graph in it.

`keras.models.load_model` opens the file without this package. It takes raw pixels, because the
network begins with the rescaling of its training images. There is no optimizer state in it, which
would double its size. What else it holds: see `files`, which reads it.

The file is made in memory and then written at once. On a disk that is full, HDF5 raises what is no
OSError, or crashes.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import keras
from h5py import h5f

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.text import to_json
from lemonade_tf.keras_bridge.files import DATASET, load_graph
from lemonade_tf.keras_bridge.graph_to_model import to_keras
from lemonade_tf.store.atomic import write_atomic


def save_model(graph: Graph, path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Write a weighted graph to a file, which appears whole or not at all.

    Args:
        graph: The network.
        path: The file, whose name ends in .h5; one that exists is replaced.
        record: Plain values to keep with it: objectives, lineage.

    Raises:
        GraphError: The graph has no weights.
        ValueError: The name ends otherwise.
        OSError: The file cannot be written; one that was there stays.
    """
    if not graph.has_weights:
        raise GraphError("the graph has no weights; initial_weights(graph, rng=...) draws some.")
    if Path(path).suffix != ".h5":
        raise ValueError(f"{path} is to be a Keras HDF5 file; expected a name that ends in .h5.")
    content = json.dumps({"architecture": to_json(graph), "record": dict(record)})
    with _InMemory() as file:
        with _without_known_warnings():
            to_keras(graph).save(file, include_optimizer=False)
        of_keras = _bytes_of(file)
    with h5py.File(h5f.open_file_image(of_keras, h5f.FILE_IMAGE_OPEN_RW)) as file:
        file.create_dataset(DATASET, data=content, dtype=h5py.string_dtype())
        finished = _bytes_of(file)
    write_atomic(path, finished)


def load_model(path: str | os.PathLike[str], *, learnable: bool = False) -> keras.Model:
    """Return the Keras model in a file.

    Args:
        path: A file that `save_model` wrote.
        learnable: Whether lambda of convex sums is a weight, to train on (see `to_keras`).

    Raises:
        FileError: The file cannot be read.
    """
    return to_keras(load_graph(path), learnable=learnable)


class _InMemory(h5py.File):
    """A file without a disk; nothing else that is open in this process may have its name."""

    def __init__(self) -> None:
        super().__init__(f"{uuid4()}.h5", "w", driver="core", backing_store=False)

    def __str__(self) -> str:
        return self.filename  # Keras chooses the format by how this ends


def _bytes_of(file: h5py.File) -> bytes:
    """Return what a file in memory would be on the disk."""
    file.flush()
    return file.id.get_file_image()


@contextmanager
def _without_known_warnings() -> Iterator[None]:
    """Silence that Keras calls HDF5 legacy, and NumPy's remark on how Keras makes arrays."""
    logger = logging.getLogger("absl")
    logger.addFilter(_is_other_news)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            yield
    finally:
        logger.removeFilter(_is_other_news)


def _is_other_news(entry: logging.LogRecord) -> bool:
    return "as an HDF5 file" not in entry.getMessage()
