"""The inputs of an objective's `prepare`: facts about a search before it starts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture import Graph


@dataclass(frozen=True)
class PrepareContext:
    """A search that is about to start.

    Attributes:
        graphs: The initial networks, without weights.
        images: The raw training images, (n, height, width, channels).
        num_classes: The number of classes.
        space: The name of the search space.
        threads: CPU threads per worker.
        seed: The random seed of the search.
    """

    graphs: tuple[Graph, ...]
    images: np.ndarray
    num_classes: int
    space: str
    threads: int
    seed: int
