"""What an objective can find out from before a search: its initial networks and its images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lemonade_tf.architecture import Graph


@dataclass(frozen=True)
class PrepareContext:
    """A search that is about to begin, as an objective's `prepare` is given it.

    Attributes:
        graphs: The initial networks, shapes only.
        images: The training images, (n, height, width, channels), raw.
        num_classes: How many classes they have.
        space: The name of the search space.
        threads: CPU threads of a worker.
        seed: Of the search.
    """

    graphs: tuple[Graph, ...]
    images: np.ndarray
    num_classes: int
    space: str
    threads: int
    seed: int
