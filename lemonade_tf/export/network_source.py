"""The network to export, and the images of its run on which exported files are compared.

It is a network of the run by its id, one that `retrain` trained ("retrained/ID"), or any .h5 or
.keras file of a model for the same images and classes. A file that this package did not write may
come from a stranger; another process opens it (see `workers.model_conversion`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.errors import quoted
from lemonade_tf.export.formats import ExportError
from lemonade_tf.export.output_comparison import Images, some_images
from lemonade_tf.export.writing import Content
from lemonade_tf.keras_bridge.files import FileError, ForeignFileError, load_graph
from lemonade_tf.objectives.int8_error import NUM_CALIBRATION_IMAGES
from lemonade_tf.retraining.first_dataset import cache_dir_of, checked_dataset
from lemonade_tf.runs import Run
from lemonade_tf.search.initial_models import convert_model

MAX_IMAGES = 10_000  # to compare on
_SUFFIXES = (".h5", ".keras")


@contextmanager
def opened(
    run: Run, name: str, cache_dir: str | os.PathLike[str] | None = None
) -> Iterator[tuple[Content, Images, Dataset]]:
    """Yield a network, the images to compare on, and the data set that they are from.

    Args:
        run: The run.
        name: The network.
        cache_dir: The folder for converted images; by default that of the search.

    Raises:
        ExportError: If there is no such network, or it is not one for the images of the run.
        FileError: If its file cannot be read.
        RetrainError: If the data set of the run cannot be read.
        StoreError: If it has changed.
    """
    cache_dir = cache_dir_of(run, cache_dir)
    with ArrayFiles(cache_dir) as files:
        path = find_network(run, name)
        dataset = checked_dataset(run, files, cache_dir)
        graph = _read(path, dataset)
        _check_shapes(path, graph, dataset)
        rows = np.arange(min(NUM_CALIBRATION_IMAGES, len(dataset.x_train)))
        class_names = tuple(dataset.class_names or ())
        yield (
            Content(path.stem, graph, class_names, np.asarray(dataset.x_train[rows], np.float32)),
            _images(dataset),
            dataset,
        )


def find_network(run: Run, name: str) -> Path:
    """Return the file of a network: an id, "retrained/ID", or a path.

    Raises:
        ExportError: If there is no such file.
        StoreError: If there is no network of this id.
    """
    inside = run.store.path / f"{name}.h5"
    if inside.parent != run.store.path and inside.is_file():
        return inside
    if name.endswith(_SUFFIXES) or os.sep in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise ExportError(
                f"{name} is not a file; expected the id of a network, retrained/ID, or a .h5 or"
                " .keras file."
            )
        return path
    return run.store.find_model(name)


def _read(path: Path, dataset: Dataset) -> Graph:
    """Read the network in a file; that of another program is converted by another process."""
    if path.suffix == ".h5":
        with suppress(ForeignFileError):
            return load_graph(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "converted.h5"
        try:
            convert_model(path, target, dataset)
        except FileError as error:
            raise ExportError(f"{path} cannot be exported: {quoted(error).rstrip('.')}.") from error
        return load_graph(target)


def _check_shapes(path: Path, graph: Graph, dataset: Dataset) -> None:
    shapes = graph.shapes()
    found = (shapes[graph.input], shapes[graph.output])
    expected = (dataset.input_shape, (dataset.num_classes,))
    if found != expected:
        raise ExportError(
            f"{path} is a network from {found[0]} to {found[1]}; expected {expected[0]} to"
            f" {expected[1]}, the images and classes of the run, on which it is compared."
        )


def _images(dataset: Dataset) -> Images:
    images, labels, part = dataset.x_test, dataset.y_test, "test"
    if images is None or labels is None or not len(images):
        images, labels, part = dataset.x_validation, dataset.y_validation, "validation"
    return some_images(images, labels, part, MAX_IMAGES)
