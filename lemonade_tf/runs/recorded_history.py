"""The recorded part of a search: its history and proposals, checked for consistency.

The history is authoritative: a child counts as evaluated if and only if it has a record there. All
records are checked against each other, so a folder that was damaged, or combined from several,
is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
            networks are trained.
    """

    networks: Mapping[str, NetworkRecord] = field(default_factory=dict)
    proposals: Mapping[int, Sequence[ProposalRecord]] = field(default_factory=dict)
    start_generation: int = 1

    @property
    def pending(self) -> list[ProposalRecord]:
        """The accepted children of the unfinished generation that have not been evaluated yet."""
        proposals = self.proposals.get(self.start_generation, ())
        return [p for p in proposals if p.outcome == "accepted" and p.id not in self.networks]


def read_recorded_history(store: RunStore, num_initial: int) -> RecordedHistory:
    """Read the recorded part of a search.

    Args:
        store: Its folder, which no other process writes to.
        num_initial: The number of its initial networks.

    Raises:
        StoreError: If a file is damaged, or the files are inconsistent.
    """
    return recorded_history(store, store.history.read(), store.proposals.read(), num_initial)


def recorded_history(
    store: RunStore,
    history: Sequence[NetworkRecord],
    proposed: Sequence[ProposalRecord],
    num_initial: int,
) -> RecordedHistory:
    """Return the recorded part of a search, from the lists in its folder.

    Args:
        store: The folder, for the error messages.
        history: The evaluated children.
        proposed: The proposed children.
        num_initial: The number of initial networks.

    Raises:
        StoreError: If the lists are inconsistent.
    """
    networks = _by_id(store, history)
    proposals = defaultdict(list)
    for proposal in proposed:
        proposals[proposal.generation].append(proposal)
    last = max(proposals, default=0)
    expected = {0: {network_id(0, number) for number in range(num_initial)}}
    for generation in range(1, last + 1):
        accepted = (p.id for p in proposals[generation] if p.outcome == "accepted")
        expected[generation] = set(accepted)
    # Every network must have been accepted, or be an initial one ...
    for id_, network in networks.items():
        if id_ not in expected.get(network.generation, ()):
            raise StoreError(
                f"{store.path / HISTORY} has a network {id_} that is not accepted in {PROPOSALS};"
                " restore the files."
            )
    # ... and a generation is proposed only when all networks of the earlier ones are recorded.
    for generation in range(last):
        lost = sorted(expected[generation] - networks.keys())
        if lost:
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
