"""Reading the file of a network, with h5py alone.

The file is a Keras HDF5 model of stock layers. Beside what Keras writes it has a dataset
"lemonade_tf": a JSON text with the architecture (lambda of convex sums in full precision) and
the record of how the network came to be. (A dataset, because attributes of HDF5 end at 64 KB.)
So a search goes on from files without loading TensorFlow.
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
Path = str | PathLike[str]


class FileError(LemonadeError, ValueError):
    """A file cannot be read as a network of this package."""


def load_graph(path: Path) -> Graph:
    """Return the graph in a file, with its weights.

    Raises:
        FileError: There is no such file, it is not an HDF5 file, `save_model` did not write it,
            or a part of it is missing.
    """
    with _open(path) as file:
        content = _content(file, path)
        weights = {name: _layer_weights(group) for name, group in file["model_weights"].items()}
    try:
        return from_json(content["architecture"], weights)
    except GraphError as error:
        raise FileError(f"{fspath(path)} holds a broken network: {error}") from error


def load_record(path: Path) -> dict[str, Any]:
    """Return the record in a file: objectives and lineage, as `save_model` was given them.

    Raises:
        FileError: As `load_graph`.
    """
    with _open(path) as file:
        return _content(file, path)["record"]


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise FileError(f"there is no file {fspath(path)}.") from None
    except OSError as error:
        raise FileError(f"{fspath(path)} cannot be read as an HDF5 file: {error}") from None


def _content(file: h5py.File, path: Path) -> dict[str, Any]:
    if DATASET not in file or "model_weights" not in file:
        raise FileError(
            f"{fspath(path)} was not written by lemonade_tf: it has no dataset {DATASET!r}."
            " If it is a Keras model, from_keras(keras.models.load_model(path)) makes a graph of"
            " it."
        )
    try:
        return json.loads(file[DATASET].asstr()[()])
    except (ValueError, TypeError) as error:
        raise FileError(
            f"{fspath(path)}: its dataset {DATASET!r} cannot be understood: {error}."
        ) from None


def _layer_weights(group: h5py.Group) -> dict[str, np.ndarray]:
    """Return the weights in the group of a layer; Keras nests them in a group of its name."""
    weights = {}
    for path in group.attrs.get("weight_names", ()):
        array = np.array(group[path][()], np.float32)  # Normalization has an integer too
        array.flags.writeable = False
        weights[str(path).rpartition("/")[2]] = array
    return weights
