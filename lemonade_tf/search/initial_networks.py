"""The initial networks of a search: those of its space, or the front of a previous run.

The networks of a previous run are adapted to the new data: its image shape, rescaling and number
of classes. Like children, they inherit every weight whose shape is unchanged; new weights (a last
layer for other classes, a first one for other channels) are random. Then they are trained like
initial networks, even if the data is the same: their errors were measured in another run. (The
paper starts from trivial networks only.)

Networks over a limit are left out. If all of them are over it, they are made narrower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.cells import CellError
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.errors import quoted
from lemonade_tf.keras_bridge import FileError, load_graph
from lemonade_tf.objectives.limits import Limit, exceeded, smallest_values
from lemonade_tf.operators import OperatorError, find_operators
from lemonade_tf.runs import read_run
from lemonade_tf.search.narrower import narrower, shares
from lemonade_tf.search.warm_start import WarmStartNetwork
from lemonade_tf.search_spaces import CELLS, NETWORKS, SearchSpace
from lemonade_tf.search_spaces.adaptation import adapt_cell_network, adapt_network
from lemonade_tf.store import RunStore, StoreError, describe_file


def search_space(config: SearchConfig) -> SearchSpace:
    """Return the search space of the settings.

    Raises:
        ConfigError: If an operator is unknown or cannot be imported.
    """
    if config.space == CELLS.name:
        cells = replace(CELLS, filters=config.filters, cells_per_block=config.cells_per_block)
        return cells.with_width_multiple(config.width_multiple)
    space = replace(NETWORKS, initial_width=config.initial_width)
    if config.operators:
        try:
            found = find_operators(config.operators)
        except OperatorError as error:
            raise ConfigError(f"--operators: {error}") from None
        exact, approximate = (
            tuple(operator for operator in found if operator.exact is kind)
            for kind in (True, False)
        )
        space = replace(space, exact=exact, approximate=approximate)
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
class InitialNetworks:
    """The initial networks of a search, all of them within its limits.

    Attributes:
        graphs: The networks; shapes only.
        warm_start: The networks of a previous run that they start from, if any, one for each.
        space: The search space, which has all of them.
        remark: What was changed to keep within the limits, in one line; None if nothing was.
    """

    graphs: tuple[Graph, ...]
    warm_start: tuple[WarmStartNetwork, ...]
    space: SearchSpace
    remark: str | None = None


def recorded_initial_networks(
    config: SearchConfig, store: RunStore, dataset: Dataset, limits: Sequence[Limit]
) -> InitialNetworks:
    """Return the initial networks of a recorded run.

    Args:
        config: Its settings.
        store: Its folder.
        dataset: Its first data set.
        limits: Its limits, within which the networks are.

    Raises:
        StoreError: If the networks of a previous run that it started from are missing or damaged.
    """
    try:
        warm_start = [WarmStartNetwork.from_record(r, store.path) for r in store.initial.read()]
    except GraphError as error:
        raise StoreError(f"{store.initial.path}: {quoted(error)} Restore the file.") from error
    if (config.initial_run is not None or config.initial_models) and not warm_start:
        raise StoreError(
            f"{store.initial.path} is missing or empty, though the search started from"
            " --initial_run or --initial_models; restore it, or start another search."
        )
    space = search_space(config)
    initial = initial_graphs(space, dataset, warm_start)
    if config.initial_models:
        space = space.including(initial)
    return within_limits(space, limits, initial, warm_start)


def within_limits(
    space: SearchSpace,
    limits: Sequence[Limit],
    initial: Sequence[Graph],
    warm_start: Sequence[WarmStartNetwork],
) -> InitialNetworks:
    """Leave out the initial networks over a limit; if there are no others, make them narrower.

    The result depends on the arguments only, so a search that is resumed has the same networks.

    Args:
        space: The search space.
        limits: The limits.
        initial: The initial networks; shapes only.
        warm_start: The networks of a previous run that they start from, if any.

    Raises:
        ConfigError: If none is within the limits, not even with the fewest filters.
        ObjectiveError: If an objective cannot be computed.
    """
    is_kept = [not exceeded(limits, graph) for graph in initial]
    if not any(is_kept):
        return _narrower(space, limits, initial, warm_start)
    remark = None
    if not all(is_kept):
        remark = (
            f"{is_kept.count(False)} of {len(is_kept)} initial networks are over --limit"
            f" {_words(limits)}, and are left out."
        )
    graphs, start = tuple(compress(initial, is_kept)), tuple(compress(warm_start, is_kept))
    return InitialNetworks(graphs, start, space, remark)


def _narrower(
    space: SearchSpace,
    limits: Sequence[Limit],
    initial: Sequence[Graph],
    warm_start: Sequence[WarmStartNetwork],
) -> InitialNetworks:
    """Make all initial networks narrower, to be within the limits; leave out copies.

    Networks of a previous run keep as many of their filters as the limits allow.
    """
    by_hash: dict[str, tuple[Graph, WarmStartNetwork | None]] = {}
    narrowest = []
    aims = [1.0] * len(initial) if warm_start else shares(len(initial))
    for number, (graph, share) in enumerate(zip(initial, aims, strict=True)):
        found, operators, is_within = narrower(space, graph, limits, share)
        narrowest.append(found)
        if is_within:
            start = replace(warm_start[number], operators=operators) if warm_start else None
            by_hash.setdefault(canonical_hash(found), (found, start))
    if not by_hash:
        raise ConfigError(
            f"--limit: none of the {len(initial)} initial networks is within {_words(limits)}, not"
            f" even with the fewest filters, which gives {smallest_values(limits, narrowest)}."
            " Raise the limits."
        )
    graphs = tuple(graph for graph, _ in by_hash.values())
    values = ", ".join(
        f"{limit.objective.name} {min(found):,.10g} to {max(found):,.10g}"
        for limit in limits
        if (found := [limit.objective.value(graph) for graph in graphs])
    )
    return InitialNetworks(
        graphs,
        tuple(start for _, start in by_hash.values() if start is not None),
        space.including(graphs),
        f"all initial networks are over --limit {_words(limits)}; the search starts with"
        f" {len(graphs)} narrower ones ({values}).",
    )


def _words(limits: Sequence[Limit]) -> str:
    return ", ".join(map(str, limits))
