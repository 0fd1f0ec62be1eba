"""What an expensive objective is given: a network that was just trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that was just trained, in the process where it was.

    Attributes:
        graph: Its graph, with its weights.
        images: The validation images, (n, height, width, channels), raw. Like all arrays here, they
            are read-only.
        labels: Their classes, (n,).
        probabilities: What the network says of them, (n, classes); computed once, the error is
            from these, too.
        make_model: Returns the network as a Keras model.
        make_file: Writes the network as a file, and returns its path.
        training_images: The training images, raw, for what has to be calibrated.
    """

    graph: Graph
    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    make_model: Callable[[], Any] = field(repr=False)
    make_file: Callable[[], Path] = field(repr=False)
    training_images: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("images", "labels", "probabilities", "training_images"):
            if getattr(self, name) is not None:
                view = getattr(self, name).view()
                view.flags.writeable = False  # others go on with them
                object.__setattr__(self, name, view)

    @cached_property
    def model(self) -> Any:
        """The keras.Model of its file: stock layers, raw pixels in, probabilities out."""
        return self.make_model()

    @cached_property
    def file(self) -> Path:
        """A file with the network, as the run keeps it (.h5), but for its lineage.

        It is gone when the objectives were measured.
        """
        return self.make_file()
