"""Train every network on extra data sets.

Networks evolve on the first data set. On an extra one, the same architecture has its own rescaling
and number of classes, so it follows from the graph for the first, and its children are made by the
same operators at the same sites. All images have one size, but the number of classes may decide
whether an operator applies: adding a narrow layer before the logits may save parameters with 100
classes and add some with 10. A child is proposed only if its operators apply on all data sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Rescaling
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.names import ERROR_PREFIX
from lemonade_tf.operators import SiteError, replay
from lemonade_tf.search_spaces.adaptation import adapt_network


@dataclass(frozen=True)
class ExtraDataset:
    """Hold a data set other than the first.

    Attributes:
        name: Its name in objectives and files.
        dataset: Its images.
        rescaling: The first layer of networks for it.
    """

    name: str
    dataset: Dataset
    rescaling: Rescaling

    @property
    def error(self) -> str:
        """The name of the objective that is the error on it."""
        return f"{ERROR_PREFIX}{self.name}"

    @property
    def test_error(self) -> str:
        """The column of front.csv with the test error on it."""
        return f"test_{self.error}"

    def adapt(self, graph: Graph) -> Graph:
        """Return a network for the first data set as it is for this one; shapes only."""
        data = self.dataset
        return adapt_network(graph, data.input_shape, data.num_classes, self.rescaling)

    def allows(self, parent: Graph, operators: Iterable[Mapping[str, Any]]) -> bool:
        """Return whether operators apply to a parent, given as for the first data set."""
        try:
            replay(self.adapt(parent), operators, rng=np.random.default_rng(0))
        except SiteError:
            return False
        return True


def extra_datasets(datasets: Mapping[str, Dataset]) -> tuple[ExtraDataset, ...]:
    """Return the extra data sets of a mapping from names to images."""
    return tuple(ExtraDataset(name, data, data.rescaling()) for name, data in datasets.items())
