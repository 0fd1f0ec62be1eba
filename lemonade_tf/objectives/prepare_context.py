"""The inputs of an objective's `prepare`: facts about a search before it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lemonade_tf.architecture.graph import Graph
    from lemonade_tf.latency.runtime import Runtime
    from lemonade_tf.latency.table import LatencyTable


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
        measure_table: Measures a latency table of networks from the search space in a runtime.
    """

    graphs: tuple[Graph, ...]
    images: np.ndarray
    num_classes: int
    space: str
    threads: int
    seed: int
    measure_table: Callable[[Runtime], LatencyTable] = field(repr=False)
