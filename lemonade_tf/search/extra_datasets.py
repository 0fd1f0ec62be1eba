"""The data sets after the first, as the driver of a search sees them.

Networks evolve on the first data set. That of the same architecture for another one has another
rescaling of the pixels and another number of classes, and is found from the first's graph; so its
children are made by the same operators, at the same sites. Images are of one size everywhere, but
the number of classes may decide whether an operator applies: without a narrow layer before the
logits, a network of 10 classes may have fewer parameters, one of 100 more. A child is proposed only
if its operators apply on all data sets.
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
class FurtherData:
    """A data set after the first.

    Attributes:
        name: What it is called.
        dataset: Its images.
        rescaling: What they go through first.
    """

    name: str
    dataset: Dataset
    rescaling: Rescaling

    @property
    def error(self) -> str:
        """What the error on it is called."""
        return f"{ERROR_PREFIX}{self.name}"

    @property
    def test_error(self) -> str:
        """What the test error on it is called."""
        return f"test_{self.error}"

    def graph(self, first: Graph) -> Graph:
        """Return the shapes of the network for it, of those for the first data set."""
        data = self.dataset
        return adapt_network(first, data.input_shape, data.num_classes, self.rescaling)

    def allows(self, parent: Graph, operators: Iterable[Mapping[str, Any]]) -> bool:
        """Whether operators apply to its parent's network, whose shapes are the first's."""
        try:
            replay(self.graph(parent), operators, rng=np.random.default_rng(0))
        except SiteError:
            return False
        return True


def further_data(datasets: Mapping[str, Dataset]) -> tuple[FurtherData, ...]:
    """Return the data sets after the first, of data sets by what they are called."""
    return tuple(FurtherData(name, data, data.rescaling()) for name, data in datasets.items())
