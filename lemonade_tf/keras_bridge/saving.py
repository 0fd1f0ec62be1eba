"""Writing the file of a network: a Keras HDF5 model of stock layers that contains the exact graph.

`keras.models.load_model` opens the file without this package. The model takes raw pixels, because
the network starts with the rescaling of its training images. The file has no optimizer state, which
would double its size. For its other content see `files`, which reads it.

The file is created in memory and then written in one piece, because HDF5 raises other exceptions
than OSError on a full disk, or crashes.
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
from h5py import h5f  # pyright: ignore[reportAttributeAccessIssue] (compiled, without stubs)

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.text import to_json
from lemonade_tf.keras_bridge.files import DATASET, load_graph
from lemonade_tf.keras_bridge.graph_to_model import to_keras
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults
from lemonade_tf.store.atomic import write_atomic


@keras_defaults()
def save_model(graph: Graph, path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Write a graph with weights to a file, atomically.

    Args:
        graph: The network.
        path: The file, with the suffix .h5; an existing file is replaced.
        record: Plain values to store with it: objectives, lineage.

    Raises:
        GraphError: If the graph has no weights.
        ValueError: If the file has another suffix.
        OSError: If the file cannot be written; an existing file remains.
    """
    if not graph.has_weights:
        raise GraphError(
            "the graph has no weights; draw some with initial_weights(graph, rng=...)."
        )
    if Path(path).suffix != ".h5":
        raise ValueError(
            f"{path} has the suffix {Path(path).suffix!r}; expected '.h5', a Keras HDF5 file."
        )
    content = json.dumps({"architecture": to_json(graph), "record": dict(record)})
    with _InMemory() as file:
        with _without_known_warnings():
            to_keras(graph, layer_per_node=True).save(file, include_optimizer=False)
        of_keras = _bytes_of(file)
    with h5py.File(h5f.open_file_image(of_keras, h5f.FILE_IMAGE_OPEN_RW)) as file:
        file.create_dataset(DATASET, data=content, dtype=h5py.string_dtype())
        finished = _bytes_of(file)
    write_atomic(path, finished)


def load_model(path: str | os.PathLike[str], *, learnable: bool = False) -> keras.Model:
    """Load the Keras model in a file.

    Args:
        path: A file that `save_model` wrote.
        learnable: Whether lambda of convex sums is a trainable weight (see `to_keras`).

    Raises:
        FileError: If the file cannot be read.
    """
    return to_keras(load_graph(path), learnable=learnable)


class _InMemory(h5py.File):
    """An HDF5 file in memory; HDF5 requires a name that no other open file has."""

    def __init__(self) -> None:
        super().__init__(f"{uuid4()}.h5", "w", driver="core", backing_store=False)

    def __str__(self) -> str:
        return self.filename  # Keras chooses the format by its suffix


def _bytes_of(file: h5py.File) -> bytes:
    """Return the bytes that a file in memory would have on disk."""
    file.flush()
    return file.id.get_file_image()


@contextmanager
def _without_known_warnings() -> Iterator[None]:
    """Silence Keras's warning about the HDF5 format, and NumPy's about `__array__` in Keras."""
    logger = logging.getLogger("absl")
    logger.addFilter(_is_unexpected)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            yield
    finally:
        logger.removeFilter(_is_unexpected)


def _is_unexpected(entry: logging.LogRecord) -> bool:
    return "as an HDF5 file" not in entry.getMessage()
