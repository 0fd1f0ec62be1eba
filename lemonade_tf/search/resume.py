"""Rebuild the networks of a search that is resumed.

A search is determined by its settings and its seed; only what training gave cannot be computed
again at no cost: the history and the network files. So resuming reads the history (see
`runs.recorded_history`), rebuilds the networks in it (shapes, by their operators) and runs the loop
from the first generation that was not finished. That generation proposes the same children again,
and those that are recorded are not trained again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.evolution import Individual
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.operators import SiteError, replay
from lemonade_tf.runs.recorded_history import RecordedHistory
from lemonade_tf.store import HISTORY, NetworkRecord, RunStore, StoreError


def individuals(
    past: RecordedHistory,
    initial: Sequence[Graph],
    cheap: Sequence[Objective],
    store: RunStore,
) -> dict[str, Individual]:
    """Rebuild the recorded networks, by id, in order of completion; shapes only.

    Args:
        past: The recorded part of the search.
        initial: The initial networks.
        cheap: The cheap objectives.
        store: The folder, for the error messages.

    Raises:
        StoreError: If a rebuilt network does not match its record.
    """
    found: dict[str, Individual] = {}
    for id_, record in past.networks.items():
        try:
            graph = _graph(record, initial, found)
            matches = canonical_hash(graph) == record.architecture_hash
        except (GraphError, SiteError, KeyError, IndexError, TypeError) as error:
            raise StoreError(
                f"{store.path / HISTORY}: the network {id_} cannot be rebuilt ({error})."
                " Was the run started with another version of lemonade_tf?"
            ) from error
        if not matches:
            raise StoreError(
                f"{store.path / HISTORY}: the network {id_}, rebuilt by its operators, is not the"
                " one that was trained. Was the run started with another version of lemonade_tf?"
            )
        objectives = record.objectives
        names = {objective.name for objective in cheap}
        evaluated = record.failure is None
        found[id_] = Individual(
            generation=record.generation,
            attempt=record.attempt,
            parent=record.parent,
            operators=tuple(record.operators),
            architecture=graph,
            cheap={name: objectives[name] for name in objectives if name in names},
            expensive={n: v for n, v in objectives.items() if evaluated and n not in names},
        )
    return found


def _graph(
    record: NetworkRecord, initial: Sequence[Graph], found: Mapping[str, Individual]
) -> Graph:
    if record.parent is None:
        return initial[record.attempt]
    parent = found[record.parent].architecture
    return replay(parent, record.operators, rng=np.random.default_rng(0)).graph
