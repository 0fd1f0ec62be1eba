"""The recorded slots of an asynchronous search, checked for consistency.

proposals.jsonl has, for each slot, the children proposed for it, with the number of lines that
history.jsonl had at that time. Together, the two lists tell the order of all proposals and
evaluations, from which the search continues, and can be replayed. So they must not contradict each
other: a child cannot have been evaluated before it was proposed, nor have a parent that was not
evaluated yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise, takewhile

from lemonade_tf.errors import quoted
from lemonade_tf.store import (
    HISTORY,
    PROPOSALS,
    NetworkRecord,
    ProposalRecord,
    RunStore,
    SlotRecord,
    StoreError,
)


def slots_of(
    proposed: Sequence[ProposalRecord],
) -> list[tuple[SlotRecord | None, list[ProposalRecord]]]:
    """Return the slots that children were proposed for, each with its children, in order."""
    return [(slot, list(children)) for slot, children in groupby(proposed, lambda p: p.slot)]


def num_finished_slots(
    networks: Mapping[str, NetworkRecord], proposed: Sequence[ProposalRecord]
) -> int:
    """Return the number of slots before the first one whose child has not been evaluated.

    Args:
        networks: The evaluated networks by id.
        proposed: The proposed children.
    """

    def is_finished(children: Sequence[ProposalRecord]) -> bool:
        accepted = [child for child in children if child.outcome == "accepted"]
        if accepted:
            return accepted[0].id in networks
        # The search was killed while writing these lines if a rejected child has no better one.
        return all(child.outcome != "rejected" for child in children)

    slots = [children for _, children in slots_of(proposed)]
    return sum(1 for _ in takewhile(is_finished, slots))


def check_slots(
    store: RunStore,
    networks: Mapping[str, NetworkRecord],
    proposed: Sequence[ProposalRecord],
    num_initial: int,
    slots_per_generation: int,
) -> None:
    """Check that the lists of an asynchronous search are consistent.

    Args:
        store: The folder, for the error messages.
        networks: The evaluated networks by id, in order of completion.
        proposed: The proposed children.
        num_initial: The number of initial networks, which are evaluated before any is proposed.
        slots_per_generation: How many slots have ids of the same generation.

    Raises:
        StoreError: If they are not.
    """
    positions = {id_: number for number, id_ in enumerate(networks)}
    previous = SlotRecord(-1, 0, num_initial)
    last_age = (0, 0)  # of the child proposed last
    for slot, children in slots_of(proposed):
        if slot is None or not _follows(slot, previous, children, last_age, slots_per_generation):
            raise StoreError(
                f"{store.path / PROPOSALS} does not continue correctly after slot"
                f" {previous.number}, at {children[0].id}; restore the file."
            )
        if slot.num_evaluated > len(networks):
            raise StoreError(
                f"{store.path / HISTORY} has {len(networks)} networks, though {children[0].id} in"
                f" {PROPOSALS} was proposed after {slot.num_evaluated}; restore the files."
            )
        for child in children:
            _check_times(store, child, slot.num_evaluated, positions, networks)
        previous, last_age = slot, _age(children[-1])


def _follows(
    slot: SlotRecord,
    previous: SlotRecord,
    children: Sequence[ProposalRecord],
    last_age: tuple[int, int],
    slots_per_generation: int,
) -> bool:
    """Return whether a slot and its children can come after the previous one."""
    generation = slot.number // slots_per_generation + 1
    ages = [last_age, *map(_age, children)]
    return (
        slot.number == previous.number + 1
        and slot.num_evaluated >= previous.num_evaluated
        and all(child.generation == generation for child in children)
        and all(child.attempt >= slot.first_attempt for child in children)
        and (generation, slot.first_attempt) > last_age
        and all(earlier < later for earlier, later in pairwise(ages))
        and sum(child.outcome == "accepted" for child in children) <= 1
    )


def _age(child: ProposalRecord) -> tuple[int, int]:
    return child.generation, child.attempt


def _check_times(
    store: RunStore,
    child: ProposalRecord,
    num_evaluated: int,
    positions: Mapping[str, int],
    networks: Mapping[str, NetworkRecord],
) -> None:
    """Check that a child was evaluated after it was proposed, and its parent before.

    Raises:
        StoreError: If not.
    """
    parent = child.parent or ""
    if positions.get(parent, num_evaluated) >= num_evaluated or networks[parent].failure:
        raise StoreError(
            f"{store.path / PROPOSALS} has a child {child.id} of {quoted(parent)}, which {HISTORY}"
            " does not have as a trained network before; restore the files."
        )
    if positions.get(child.id, num_evaluated) < num_evaluated:
        raise StoreError(
            f"{store.path / HISTORY} has the network {child.id} before {PROPOSALS} has it proposed;"
            " restore the files."
        )
