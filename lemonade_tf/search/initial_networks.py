"""The initial networks of a search: those of its space, or the front of a previous run.

The networks of a previous run are adapted to the new data: its image shape, rescaling and number
of classes. Like children, they inherit every weight whose shape is unchanged; new weights (a last
layer for other classes, a first one for other channels) are random. Then they are trained like
initial networks, even if the data is the same: their errors were measured in another run. (The
paper starts from trivial networks only.)

Networks over a limit are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import TypeVar

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.cells import CellError
from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.keras_bridge import FileError, load_graph
from lemonade_tf.objectives.limits import Limit, exceeded, smallest_values
from lemonade_tf.runs import read_run
from lemonade_tf.search.warm_start import WarmStartNetwork
from lemonade_tf.search_spaces import CELLS, NETWORKS, SearchSpace
from lemonade_tf.search_spaces.adaptation import adapt_cell_network, adapt_network
from lemonade_tf.store import describe_file

_logger = logging.getLogger(__name__)
T = TypeVar("T")


def search_space(config: SearchConfig) -> SearchSpace:
    """Return the search space of the settings."""
    space: SearchSpace = NETWORKS
    if config.space == CELLS.name:
        space = replace(CELLS, filters=config.filters, cells_per_block=config.cells_per_block)
    return space.with_width_multiple(config.width_multiple)


def initial_graphs(
    space: SearchSpace, dataset: Dataset, warm_start: Sequence[WarmStartNetwork]
) -> tuple[Graph, ...]:
    """Return the initial networks, those of a previous run if there are any; shapes only."""
    if warm_start:
        return tuple(network.graph for network in warm_start)
    graphs = space.initial_graphs(
        dataset.input_shape, dataset.num_classes, rescaling=dataset.rescaling()
    )
    return tuple(graph.copy(weights=False) for graph in graphs)


def warm_start_networks(config: SearchConfig, dataset: Dataset) -> tuple[WarmStartNetwork, ...]:
    """Adapt the networks of the front of `initial_run` to a data set.

    Args:
        config: The settings of the new run.
        dataset: Its first data set.

    Returns:
        The networks; empty if the settings name no previous run.

    Raises:
        StoreError: If the folder holds no run, or is damaged.
        ConfigError: If the run has another search space, no front, or a network that cannot be
            adapted to the new images.
    """
    if config.initial_run is None:
        return ()
    run = read_run(config.initial_run)
    if run.config.space != config.space:
        raise ConfigError(
            f"--initial_run: {config.initial_run} is a run in the space {run.config.space!r}, not"
            f" in {config.space!r}; choose --space {run.config.space}."
        )
    adapt = adapt_cell_network if config.space == CELLS.name else adapt_network
    networks = []
    for record in run.front():
        path = run.store.models.path(record.id)
        try:
            graph = adapt(
                load_graph(path), dataset.input_shape, dataset.num_classes, dataset.rescaling()
            )
        except (FileError, GraphError, CellError) as error:
            raise ConfigError(
                f"--initial_run: the network {record.id} of {config.initial_run} does not fit the"
                f" new data: {error}"
            ) from error
        file = describe_file(path)
        networks.append(WarmStartNetwork(record.id, str(path.absolute()), file, graph))
    if not networks:
        raise ConfigError(f"--initial_run: {config.initial_run} has no trained network.")
    return tuple(networks)


@dataclass(frozen=True)
class WithinLimits:
    """Hold which initial networks are within the limits.

    Attributes:
        limits: The limits.
        is_kept: For each initial network, whether it is within all limits.
    """

    limits: Sequence[Limit]
    is_kept: Sequence[bool]

    def select(self, values: Sequence[T]) -> tuple[T, ...]:
        """Return the values of the networks that are kept, of one value per network."""
        return tuple(compress(values, self.is_kept))

    def warn(self) -> None:
        """Log a warning if networks are left out."""
        if not all(self.is_kept):
            _logger.warning(
                "%d of %d initial networks are over --limit %s, and are left out.",
                self.is_kept.count(False),
                len(self.is_kept),
                ", ".join(map(str, self.limits)),
            )


def within_limits(limits: Sequence[Limit], initial: Sequence[Graph]) -> WithinLimits:
    """Find the initial networks that are within all limits.

    Raises:
        ConfigError: If there is none.
    """
    is_kept = [not exceeded(limits, graph) for graph in initial]
    if not any(is_kept):
        raise ConfigError(
            f"--limit: none of the {len(initial)} initial networks is within"
            f" {', '.join(map(str, limits))}; the smallest have {smallest_values(limits, initial)}."
            " Raise the limits."
        )
    return WithinLimits(limits, is_kept)
