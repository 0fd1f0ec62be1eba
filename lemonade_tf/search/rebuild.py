"""Rebuild the recorded networks of a search, for example when it is resumed.

A search is determined by its settings and its seed; only the results of training, the history and
the network files, are expensive to recompute. So resuming reads the history (see
`runs.recorded_history`), rebuilds its networks from their operators (shapes only), and continues
with the first incomplete generation. That generation proposes the same children again, and those
that are recorded are not trained again. An asynchronous search does not propose again the children
that were in training, so they are rebuilt as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.errors import quoted
from lemonade_tf.evolution import Individual
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.operators import SiteError, replay
from lemonade_tf.runs.recorded_history import RecordedHistory
from lemonade_tf.store import HISTORY, PROPOSALS, NetworkRecord, RunStore, StoreError

_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
_OTHER_VERSION = "Was the run started with another version of lemonade_tf?"


def rebuild_individuals(
    history: RecordedHistory,
    initial: Sequence[Graph],
    objectives: Sequence[Objective],
    store: RunStore,
) -> dict[str, Individual]:
    """Rebuild the recorded networks; shapes only.

    Args:
        history: The recorded part of the search.
        initial: The initial networks.
        objectives: The objectives of the search.
        store: The run folder, for error messages.

    Returns:
        The networks by id, in order of completion.

    Raises:
        StoreError: If a rebuilt network does not match its record.
    """
    individuals: dict[str, Individual] = {}
    for id_, record in history.networks.items():
        parent = individuals.get(record.parent or "")
        source = None if parent is None else parent.architecture
        graph = rebuild_network(record, source, initial, store)
        values = record.ranked_objectives
        expensive = [o.name for o in objectives if not o.cheap] if record.failure is None else ()
        individuals[id_] = Individual(
            generation=record.generation,
            attempt=record.attempt,
            parent=record.parent,
            operators=tuple(dict(operator) for operator in record.operators),
            architecture=graph,
            cheap={o.name: values[o.name] for o in objectives if o.cheap},
            expensive={name: values[name] for name in expensive},
        )
    return individuals


def rebuild_network(
    record: NetworkRecord, parent: Graph | None, initial: Sequence[Graph], store: RunStore
) -> Graph:
    """Rebuild a recorded network from its parent; shapes only.

    Args:
        record: Its record.
        parent: Its parent; None for an initial network.
        initial: The initial networks.
        store: The run folder, for error messages.

    Raises:
        StoreError: If the rebuilt network does not match its record.
    """
    where = f"{store.path / HISTORY}: the network {record.id}"
    try:
        if record.parent is None:
            graph = initial[record.attempt]
        elif parent is None:
            raise KeyError(record.parent)
        else:
            graph = _replay(parent, record.operators)
        matches = canonical_hash(graph) == record.architecture_hash
    except (GraphError, SiteError, *_MALFORMED) as error:
        raise StoreError(
            f"{where} cannot be rebuilt ({quoted(error)}). {_OTHER_VERSION}"
        ) from error
    if not matches:
        raise StoreError(
            f"{where}, rebuilt from its operators, differs from the one that was trained."
            f" {_OTHER_VERSION}"
        )
    return graph


def rebuild_pending(
    history: RecordedHistory,
    individuals: Mapping[str, Individual],
    objectives: Sequence[Objective],
    store: RunStore,
) -> dict[str, Individual]:
    """Rebuild the accepted children that have not been evaluated; shapes only.

    Args:
        history: The recorded part of the search.
        individuals: The recorded networks by id, rebuilt.
        objectives: The objectives of the search.
        store: The run folder, for error messages.

    Returns:
        The children by id, in the order of proposal.

    Raises:
        ObjectiveError: If an objective has no value for a child.
        StoreError: If a rebuilt child does not match its record.
    """
    pending: dict[str, Individual] = {}
    for record in history.pending:
        where = f"{store.path / PROPOSALS}: the child {record.id}"
        try:
            graph = _replay(individuals[record.parent or ""].architecture, record.operators)
        except (GraphError, SiteError, *_MALFORMED) as error:
            raise StoreError(
                f"{where} cannot be rebuilt ({quoted(error)}). {_OTHER_VERSION}"
            ) from error
        cheap = {o.name: o.value(graph) for o in objectives if o.cheap}
        if cheap != record.cheap_objectives:
            raise StoreError(
                f"{where}, rebuilt from its operators, has {cheap} instead of"
                f" {quoted(record.cheap_objectives)}. {_OTHER_VERSION}"
            )
        pending[record.id] = Individual(
            generation=record.generation,
            attempt=record.attempt,
            parent=record.parent,
            operators=tuple(dict(operator) for operator in record.operators),
            architecture=graph,
            cheap=cheap,
        )
    return pending


def _replay(parent: Graph, operators: Sequence[Mapping[str, Any]]) -> Graph:
    # One by one: shapes need no composition of changes, which long walks make long as well.
    for operator in operators:
        parent = replay(parent, [operator], rng=np.random.default_rng(0)).graph
    return parent
