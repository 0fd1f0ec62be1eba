"""Reading the file of a network with h5py alone, without Keras.

The file is a Keras HDF5 model of stock layers. In addition to what Keras writes, it has a dataset
"lemonade_tf": JSON with the architecture (and lambda of convex sums in full precision) and with the
record of the network's lineage. (A dataset, because HDF5 limits attributes to 64 KB.) So the driver
of a search reads files without loading TensorFlow.
"""

from __future__ import annotations

import json
from os import PathLike, fspath
from typing import Any

import h5py
import numpy as np

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.text import from_json
from lemonade_tf.errors import LemonadeError

DATASET = "lemonade_tf"
_WEIGHTS = "model_weights"
Path = str | PathLike[str]


class FileError(LemonadeError, ValueError):
    """A file cannot be read as a network of this package."""


def load_graph(path: Path) -> Graph:
    """Load the graph in a file, with its weights.

    Raises:
        FileError: If the file does not exist, is not an HDF5 file, was not written by
            `save_model`, or lacks a part.
    """
    with _open(path) as file:
        content = _content(file, path)
        layers: Any = file[_WEIGHTS]
        weights = {name: _layer_weights(group) for name, group in layers.items()}
    try:
        return from_json(content["architecture"], weights)
    except GraphError as error:
        raise FileError(f"{fspath(path)} contains a broken network: {error}") from error


def load_record(path: Path) -> dict[str, Any]:
    """Load the record in a file: objectives and lineage, as `save_model` received them.

    Raises:
        FileError: As for `load_graph`.
    """
    with _open(path) as file:
        return _content(file, path)["record"]


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise FileError(f"{fspath(path)} does not exist.") from None
    except OSError as error:
        raise FileError(f"{fspath(path)} cannot be read as an HDF5 file: {error}") from None


def _content(file: h5py.File, path: Path) -> dict[str, Any]:
    if DATASET not in file or _WEIGHTS not in file:
        raise FileError(
            f"{fspath(path)} was not written by lemonade_tf: it has no dataset {DATASET!r}. If it"
            " is a Keras model, convert it with from_keras(keras.models.load_model(path))."
        )
    dataset: Any = file[DATASET]
    try:
        return json.loads(dataset.asstr()[()])
    except (ValueError, TypeError) as error:
        raise FileError(
            f"{fspath(path)} cannot be read: its dataset {DATASET!r} is not JSON: {error}."
        ) from None


def _layer_weights(group: Any) -> dict[str, np.ndarray]:
    """Return the weights in the group of a layer; Keras nests them in a group of the same name."""
    weights = {}
    for path in group.attrs.get("weight_names", ()):
        array = np.array(group[path][()], np.float32)  # Normalization also has an integer
        array.flags.writeable = False
        weights[str(path).rpartition("/")[2]] = array
    return weights
