"""The recorded slots of an asynchronous search are consistent, or refused."""

from dataclasses import replace

import pytest
from run_folders import CONFIG, network, proposal

from lemonade_tf.runs.recorded_history import recorded_history
from lemonade_tf.store import RunStore, SlotRecord, StoreError

# Two workers, two slots per generation; 1-4 was completed before 1-0, and 2-0 is pending.
HISTORY = [network(id_) for id_ in ("0-1", "0-0", "1-4", "1-0")]
SLOTS = [SlotRecord(0, 0, 2), SlotRecord(1, 3, 2), SlotRecord(2, 0, 3)]
PROPOSALS = [
    proposal("1-0", slot=SLOTS[0]),
    proposal("1-1", slot=SLOTS[0], outcome="duplicate"),
    proposal("1-3", slot=SLOTS[1], outcome="rejected"),
    proposal("1-4", slot=SLOTS[1]),
    proposal("2-0", slot=SLOTS[2], parent="1-4"),
    proposal("2-1", slot=SLOTS[2], parent="0-1", outcome="rejected"),
]


@pytest.fixture
def store(tmp_path):
    store = RunStore.create(tmp_path / "run", CONFIG)
    store.release()
    return store


def read(store, history=HISTORY, proposals=PROPOSALS):
    return recorded_history(store, history, proposals, num_initial=2, slots_per_generation=2)


def changed(index, **changes):
    """Return the proposals with one of them changed."""
    return [replace(p, **changes) if n == index else p for n, p in enumerate(PROPOSALS)]


def test_pending_children_and_the_first_unfinished_generation(store):
    recorded = read(store)
    assert recorded.start_generation == 2
    assert [p.id for p in recorded.pending] == ["2-0"]
    assert recorded.proposed == PROPOSALS


@pytest.mark.parametrize(
    ("history", "proposals", "start", "pending"),
    [
        (HISTORY[:1], [], 1, []),
        (HISTORY[:2], PROPOSALS[:1], 1, ["1-0"]),
        (HISTORY[:3], PROPOSALS, 1, ["1-0", "2-0"]),
        ([*HISTORY, network("2-0")], PROPOSALS, 2, []),
        ([*HISTORY[:3], network("2-0")], PROPOSALS, 1, ["1-0"]),
        # A slot without a child counts, but not one that was cut off while it was written.
        ([*HISTORY[:2], network("1-0")], PROPOSALS[:3], 1, []),
        (
            [*HISTORY[:2], network("1-0")],
            [*PROPOSALS[:2], replace(PROPOSALS[2], outcome="duplicate")],
            2,
            [],
        ),
    ],
)
def test_the_record_of_any_moment(store, history, proposals, start, pending):
    recorded = read(store, history, proposals)
    assert recorded.start_generation == start
    assert [p.id for p in recorded.pending] == pending


@pytest.mark.parametrize(
    ("history", "proposals", "message"),
    [
        (HISTORY, changed(0, slot=None), "does not continue correctly after slot -1, at 1-0"),
        (HISTORY[:2], PROPOSALS[2:], "after slot -1, at 1-3"),
        (HISTORY, [*PROPOSALS[:2], *PROPOSALS[4:]], "does not continue|not accepted"),
        (HISTORY, changed(4, slot=SlotRecord(2, 0, 1)), "after slot 1, at 2-0"),
        (HISTORY, changed(0, slot=SlotRecord(0, 0, 1)), "after slot -1, at 1-0"),
        (HISTORY, changed(1, outcome="accepted"), "after slot -1, at 1-0"),
        (HISTORY, changed(3, slot=SlotRecord(1, 1, 2)), "after slot 1, at 1-4"),
        (HISTORY, changed(5, id="2-0"), "after slot 1, at 2-0"),
        (HISTORY, changed(5, id="1-5", generation=1), "after slot 1, at 2-0"),
        (HISTORY[:2], PROPOSALS, r"has 2 networks, though 2-0 in proposals\.jsonl .* after 3"),
        (HISTORY, changed(4, parent="1-0"), "has a child 2-0 of 1-0, which history"),
        (HISTORY, changed(5, parent="1-9"), "has a child 2-1 of 1-9, which history"),
        (
            [*HISTORY[:2], replace(HISTORY[2], failure="diverged"), HISTORY[3]],
            PROPOSALS,
            "has a child 2-0 of 1-4, which history",
        ),
        ([HISTORY[0], HISTORY[2], HISTORY[1]], PROPOSALS, "has a child 1-0 of 0-0, which history"),
        (
            [*HISTORY[:2], network("2-0"), HISTORY[2]],
            changed(4, parent="0-1"),
            "has the network 2-0 before proposals",
        ),
        ([*HISTORY, network("2-1")], PROPOSALS, "has a network 2-1 that is not accepted"),
        ([*HISTORY, network("1-0")], PROPOSALS, "has the network 1-0 twice"),
        ([*HISTORY, network("0-2")], PROPOSALS, "has a network 0-2 that is not accepted"),
    ],
)
def test_contradictions_are_refused(store, history, proposals, message):
    with pytest.raises(StoreError, match=message) as error:
        read(store, history, proposals)
    assert len(str(error.value).splitlines()) == 1
