"""The recorded part of a search: its history and proposals, checked for consistency.

The history is authoritative: a child counts as evaluated if and only if it has a record there. All
records are checked against each other, so a folder that was damaged, or combined from several,
is refused. `recorded_slots` does so for asynchronous searches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from lemonade_tf.runs.recorded_slots import check_slots, num_finished_slots
from lemonade_tf.store import (
    HISTORY,
    PROPOSALS,
    NetworkRecord,
    ProposalRecord,
    RunStore,
    StoreError,
    network_id,
)


@dataclass(frozen=True)
class RecordedHistory:
    """The recorded part of a search; by default, nothing yet.

    Attributes:
        networks: The records of history.jsonl by id, in order of completion.
        proposals: The records of proposals.jsonl by generation.
        start_generation: The first generation that is not finished; 1 also while the initial
            networks are trained. An asynchronous search may have started later ones.
    """

    networks: Mapping[str, NetworkRecord] = field(default_factory=dict)
    proposals: Mapping[int, Sequence[ProposalRecord]] = field(default_factory=dict)
    start_generation: int = 1

    @property
    def pending(self) -> list[ProposalRecord]:
        """The accepted children that have not been evaluated yet, in the order of proposal."""
        accepted = [p for p in self.proposed if p.outcome == "accepted"]
        return [proposal for proposal in accepted if proposal.id not in self.networks]

    @property
    def proposed(self) -> list[ProposalRecord]:
        """All records of proposals.jsonl."""
        return list(chain.from_iterable(self.proposals.values()))


def read_recorded_history(
    store: RunStore, num_initial: int, slots_per_generation: int | None = None
) -> RecordedHistory:
    """Read the recorded part of a search.

    Args:
        store: Its folder, which no other process writes to.
        num_initial: The number of its initial networks.
        slots_per_generation: The slots per generation of an asynchronous search; None otherwise.

    Raises:
        StoreError: If a file is damaged, or the files are inconsistent.
    """
    history, proposed = store.history.read(), store.proposals.read()
    return recorded_history(store, history, proposed, num_initial, slots_per_generation)


def recorded_history(
    store: RunStore,
    history: Sequence[NetworkRecord],
    proposed: Sequence[ProposalRecord],
    num_initial: int,
    slots_per_generation: int | None = None,
) -> RecordedHistory:
    """Return the recorded part of a search, from the lists in its folder.

    Args:
        store: The folder, for the error messages.
        history: The evaluated children.
        proposed: The proposed children.
        num_initial: The number of initial networks.
        slots_per_generation: The slots per generation of an asynchronous search; None otherwise.

    Raises:
        StoreError: If the lists are inconsistent.
    """
    networks = _by_id(store, history)
    proposals: defaultdict[int, list[ProposalRecord]] = defaultdict(list)
    for proposal in proposed:
        proposals[proposal.generation].append(proposal)
    last = max(proposals, default=0)
    expected = {0: {network_id(0, number) for number in range(num_initial)}}
    for generation, children in sorted(proposals.items()):
        if generation > 0:
            expected[generation] = {p.id for p in children if p.outcome == "accepted"}
    # Every network must have been accepted, or be an initial one ...
    for id_, network in networks.items():
        if id_ not in expected.get(network.generation, ()):
            raise StoreError(
                f"{store.path / HISTORY} has a network {id_} that is not accepted in {PROPOSALS};"
                " restore the files."
            )
    if slots_per_generation is not None:
        check_slots(store, networks, proposed, num_initial, slots_per_generation)
        num_finished = num_finished_slots(networks, proposed) // slots_per_generation
        return RecordedHistory(networks, dict(proposals), num_finished + 1)
    # ... and a generation is proposed only when all networks of the earlier ones are recorded.
    for generation, ids in expected.items():
        lost = sorted(ids - networks.keys())
        if lost and generation < last:
            raise StoreError(
                f"{store.path / HISTORY} lacks {len(lost)} networks of generation {generation}"
                f" ({', '.join(lost[:5])}), though {PROPOSALS} has later ones; restore the files."
            )
    # Proposals without any evaluation may be incomplete: the search was killed while writing them.
    finished = last > 0 and bool(expected[last]) and expected[last] <= networks.keys()
    return RecordedHistory(networks, dict(proposals), last + 1 if finished else max(last, 1))


def _by_id(store: RunStore, history: Sequence[NetworkRecord]) -> dict[str, NetworkRecord]:
    networks: dict[str, NetworkRecord] = {}
    for network in history:
        if network.id in networks:
            raise StoreError(
                f"{store.path / HISTORY} has the network {network.id} twice; restore the file."
            )
        networks[network.id] = network
    return networks
