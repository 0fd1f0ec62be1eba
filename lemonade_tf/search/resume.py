"""What a run folder says of a search that is to be gone on with.

A search is determined by its settings and its seed; what cannot be had again at no cost is what
training gave: the history and the files of the networks. So resuming reads the history, rebuilds
the networks in it (shapes, by their operators) and runs the loop again from the first generation
that was not finished. That one proposes the same children as before, and those whose evaluation is
on record are not evaluated again.

The history is the truth: a child counts as evaluated if and only if it has a line there. All that
is read is checked against the rest, so that a folder that was damaged, or put together from
several, is refused rather than gone on with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.evolution import Individual
from lemonade_tf.objectives import Objective
from lemonade_tf.operators import SiteError, replay
from lemonade_tf.store import HISTORY, PROPOSALS, RunStore, StoreError

Line = Mapping[str, Any]


@dataclass(frozen=True)
class RecordedHistory:
    """A search so far; by default, nothing yet.

    Attributes:
        lines: The lines of the history by id, in order of completion.
        proposals: The lines of the proposals by generation.
        start_generation: The first generation that is not finished; 1 also while the initial
            networks are trained.
    """

    lines: Mapping[str, Line] = field(default_factory=dict)
    proposals: Mapping[int, Sequence[Line]] = field(default_factory=dict)
    start_generation: int = 1


def can_go_on(store: RunStore, config: Mapping[str, Any]) -> bool:
    """Whether a run was made by a search, which can be gone on with.

    Args:
        store: Its folder.
        config: The contents of config.json.
    """
    return store.sealed and "random_search" not in config


def read_past(store: RunStore, num_initial: int) -> RecordedHistory:
    """Read what a search has done so far.

    Args:
        store: Its folder, to which nobody else writes.
        num_initial: How many initial networks it has.

    Raises:
        StoreError: A file is damaged, or the files do not fit each other.
    """
    return past_of(store, store.history.read(), store.proposals.read(), num_initial)


def past_of(
    store: RunStore, history: Sequence[Line], proposed: Sequence[Line], num_initial: int
) -> RecordedHistory:
    """Return what a search has done so far, from the lists in its folder.

    Args:
        store: The folder, for the messages.
        history: The evaluated children.
        proposed: The proposed children.
        num_initial: How many initial networks the search has.

    Raises:
        StoreError: The lists do not fit each other.
    """
    lines = _by_id(store, history)
    proposals = defaultdict(list)
    for line in proposed:
        proposals[line["generation"]].append(line)
    last = max(proposals, default=0)
    expected = {0: {f"0-{number}" for number in range(num_initial)}}
    for generation in range(1, last + 1):
        accepted = (p["id"] for p in proposals[generation] if p["outcome"] == "accepted")
        expected[generation] = set(accepted)
    for id_, line in lines.items():
        if id_ not in expected.get(line["generation"], ()):
            raise StoreError(
                f"{store.path / HISTORY} has a network {id_}, which {PROPOSALS} does not have as"
                " accepted; restore the files."
            )
    for generation in range(last):
        lost = sorted(expected[generation] - lines.keys())
        if lost:
            raise StoreError(
                f"{store.path / HISTORY} lacks {len(lost)} networks of generation {generation}"
                f" ({', '.join(lost[:5])}), though {PROPOSALS} has later ones; restore the files."
            )
    # A list of proposals without any evaluation may have been cut short.
    finished = last > 0 and bool(expected[last]) and expected[last] <= lines.keys()
    return RecordedHistory(lines, dict(proposals), last + 1 if finished else max(last, 1))


def _by_id(store: RunStore, history: Sequence[Line]) -> dict[str, Line]:
    lines: dict[str, Line] = {}
    for line in history:
        if line["id"] in lines:
            raise StoreError(
                f"{store.path / HISTORY} has the network {line['id']} twice; restore the file."
            )
        lines[line["id"]] = line
    return lines


def individuals(
    past: RecordedHistory,
    initial: Sequence[Graph],
    cheap: Sequence[Objective],
    store: RunStore,
) -> dict[str, Individual]:
    """Rebuild the networks on record, by id, in order of completion; shapes only.

    Args:
        past: What the folder says.
        initial: The initial networks.
        cheap: The cheap objectives.
        store: The folder, for the messages.

    Raises:
        StoreError: A network is not what its line says it is.
    """
    found: dict[str, Individual] = {}
    for id_, line in past.lines.items():
        try:
            graph = _graph(line, initial, found)
            matches = canonical_hash(graph) == line["architecture"]
        except (GraphError, SiteError, KeyError, IndexError, TypeError) as error:
            raise StoreError(
                f"{store.path / HISTORY}: the network {id_} cannot be rebuilt ({error})."
                " Was the run begun by another version of lemonade_tf?"
            ) from error
        if not matches:
            raise StoreError(
                f"{store.path / HISTORY}: the network {id_}, rebuilt by its operators, is not the"
                " one that was trained. Was the run begun by another version of lemonade_tf?"
            )
        objectives = line["objectives"]
        names = {objective.name for objective in cheap}
        evaluated = line["failure"] is None
        found[id_] = Individual(
            generation=line["generation"],
            attempt=int(id_.partition("-")[2]),
            parent=line["parent"],
            operators=tuple(line["operators"]),
            architecture=graph,
            cheap={name: objectives[name] for name in objectives if name in names},
            expensive={n: v for n, v in objectives.items() if evaluated and n not in names},
        )
    return found


def _graph(line: Line, initial: Sequence[Graph], found: Mapping[str, Individual]) -> Graph:
    if line["parent"] is None:
        return initial[int(line["id"].partition("-")[2])]
    parent = found[line["parent"]].architecture
    return replay(parent, line["operators"], rng=np.random.default_rng(0)).graph
