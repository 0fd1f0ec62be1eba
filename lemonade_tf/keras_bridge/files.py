"""Reading the file of a network with h5py alone, without Keras.

The file is a Keras HDF5 model of stock layers. In addition to what Keras writes, it has a dataset
"lemonade_tf": JSON with the architecture (and lambda of convex sums in full precision) and with the
record of the network's lineage. (A dataset, because HDF5 limits attributes to 64 KB.) So the driver
of a search reads files without loading TensorFlow.

A file may come from a stranger. The architecture is read first; it states which weights of which
shapes follow, and nothing else is read. `plain_hdf5` refuses everything that is not in the file
itself, and more values than the file has bytes for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path as FilePath
from typing import Any

import h5py
import numpy as np

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.text import from_json
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.keras_bridge.plain_hdf5 import Budget, PlainError, member, read_text
from lemonade_tf.safe_json import read_json

DATASET = "lemonade_tf"
_WEIGHTS = "model_weights"
_EXACT = "lambda"  # the weight that the architecture contains
Path = str | PathLike[str]


class FileError(LemonadeError, ValueError):
    """A file cannot be read as a network of this package."""


class ForeignFileError(FileError):
    """An HDF5 file was written by another program, such as Keras."""


def load_graph(path: Path) -> Graph:
    """Load the graph in a file, with its weights.

    Raises:
        FileError: If the file does not exist, is not an HDF5 file, was not written by
            `save_model`, lacks a part, or refers to other files.
    """
    with _opened(path) as file:
        architecture = _content(file, path)["architecture"]
        try:
            shapes = from_json(architecture)
            weights = _weights(file, shapes, FilePath(path).stat().st_size)
            return from_json(architecture, weights)
        except (GraphError, PlainError) as error:
            raise FileError(f"{fspath(path)} contains a broken network: {quoted(error)}") from error


def load_architecture(path: Path) -> Graph:
    """Load the graph in a file without its weights, which takes a few milliseconds.

    Raises:
        FileError: As for `load_graph`.
    """
    with _opened(path) as file:
        architecture = _content(file, path)["architecture"]
    try:
        return from_json(architecture)
    except GraphError as error:
        raise FileError(f"{fspath(path)} contains a broken network: {quoted(error)}") from error


def load_record(path: Path) -> dict[str, Any]:
    """Load the record in a file: objectives and lineage, as `save_model` received them.

    Raises:
        FileError: As for `load_graph`.
    """
    with _opened(path) as file:
        return _content(file, path)["record"]


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a file, and raise what HDF5 raises for a damaged one as a FileError."""
    name = fspath(path)
    if not FilePath(path).is_file():
        problem = "is not a file" if FilePath(path).exists() else "does not exist"
        raise FileError(f"{name} {problem}; expected the .h5 file of a network.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileError:
        raise
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, MemoryError) as error:
        raise FileError(f"{name} cannot be read as an HDF5 file: {quoted(error)}") from None


def _content(file: h5py.File, path: Path) -> dict[str, Any]:
    if not all(file.id.links.exists(name.encode()) for name in (DATASET, _WEIGHTS)):
        raise ForeignFileError(
            f"{fspath(path)} was not written by lemonade_tf: it has no dataset {DATASET!r}. If it"
            " is a Keras model, convert it with from_keras(keras.models.load_model(path))."
        )
    try:
        content = read_json(read_text(member(file, DATASET), path))
    except PlainError as error:
        raise FileError(f"{fspath(path)} cannot be read: {quoted(error)}") from None
    except ValueError as error:
        raise FileError(
            f"{fspath(path)} cannot be read: its dataset {DATASET!r} is not JSON: {quoted(error)}."
        ) from None
    for key, kind in (("architecture", str), ("record", dict)):
        if not isinstance(content, dict) or not isinstance(content.get(key), kind):
            raise FileError(
                f"{fspath(path)} cannot be read: its dataset {DATASET!r} has no {key}; expected a"
                " file that lemonade_tf wrote."
            )
    return content


def _weights(
    file: h5py.File, shapes: Graph, num_bytes: int
) -> Mapping[str, Mapping[str, np.ndarray]]:
    """Read the weights of an architecture, by node; Keras nests them in two groups of its name.

    Raises:
        PlainError: If one is missing, or is not stored in the file as plain numbers of its shape.
    """
    layers, budget = member(file, _WEIGHTS), Budget(num_bytes)
    weights = {}
    for node in shapes:
        expected = {n: s for n, s in shapes.weight_shapes(node).items() if n != _EXACT}
        if expected:
            group = member(member(layers, node), node)
            weights[node] = {
                name: budget.read(member(group, name), shape) for name, shape in expected.items()
            }
    return weights
