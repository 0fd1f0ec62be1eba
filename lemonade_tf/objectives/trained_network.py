"""The input of an expensive objective: a network after training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lemonade_tf.architecture.graph import Graph

if TYPE_CHECKING:
    from lemonade_tf.backends.base import Backend


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, in the process that trained it. All arrays are read-only.

    Attributes:
        graph: The graph, with weights.
        images: The raw validation images, (n, height, width, channels).
        labels: Their class indices, (n,).
        probabilities: The output of the network for them, (n, classes).
        make_model: Returns the network as a Keras model.
        make_file: Writes the network to a file, and returns its path.
        training_images: The raw training images, for calibration.
        backend: The backend of the process, which converts networks to LiteRT.
    """

    graph: Graph
    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    make_model: Callable[[], Any] = field(repr=False)
    make_file: Callable[[], Path] = field(repr=False)
    training_images: np.ndarray = field(repr=False)
    backend: Backend = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("images", "labels", "probabilities", "training_images"):
            view = getattr(self, name).view()
            view.flags.writeable = False  # the worker and other objectives share these arrays
            object.__setattr__(self, name, view)

    @cached_property
    def model(self) -> Any:
        """The keras.Model of its file: stock layers, from raw pixels to probabilities."""
        return self.make_model()

    @cached_property
    def file(self) -> Path:
        """A temporary file of the network in the format of a run (.h5), without its lineage."""
        return self.make_file()
