"""Searches in asynchronous mode: no worker waits, the budget is kept, and all is recorded."""

import random
import time
from collections import Counter
from dataclasses import replace

import pytest
from toy_training import Break, ShuffledExecutor, results, toy_search

from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.monitoring.status import read_status
from lemonade_tf.runs import read_run
from lemonade_tf.runs.recorded_history import read_recorded_history
from lemonade_tf.search import search
from lemonade_tf.store import RecordList, RunStore, StoreError

NUM_NETWORKS = 4 + 3 * 4
ASYNCHRONOUS = {"mode": "asynchronous"}


def shuffled(workdir, *, num_workers=3, seed=0, **settings):
    """Run an asynchronous search whose children are completed in a random order."""
    executor = ShuffledExecutor(num_workers, seed)
    executor.worker.seconds = 0
    return toy_search(workdir, executor=executor, **{**ASYNCHRONOUS, **settings})


def assert_correct(workdir, num_networks=NUM_NETWORKS):
    """Check that a finished run has the whole budget, and that its replay gives the same run."""
    store = RunStore.open(workdir)
    history, proposals = store.history.read(), store.proposals.read()
    assert len(history) == len({record.id for record in history}) == num_networks
    accepted = [p.id for p in proposals if p.outcome == "accepted"]
    assert sorted(accepted) == sorted(record.id for record in history if record.generation)
    again = workdir.with_name(f"{workdir.name}-again")
    executor = ShuffledExecutor(1, seed=0)
    executor.worker.seconds = 0
    assert search(workdir=str(again), replay=str(workdir), executor=executor).complete
    assert results(again) == results(workdir)
    assert list(results(again)["history"]) == [record.id for record in history]


# --- The order -------------------------------------------------------------------------------


def test_a_slow_child_does_not_keep_the_other_worker_idle(tmp_path, monkeypatch):
    """The first child waits for all others, which a generation would never reach."""
    toy_search(tmp_path / "first", in_process=True, num_generations=1, **ASYNCHRONOUS)
    first = next(
        p.id for p in RunStore.open(tmp_path / "first").proposals.read() if p.outcome == "accepted"
    )
    monkeypatch.setenv("TOY_FAULT", f"until{NUM_NETWORKS - 1}:{first}")
    assert toy_search(tmp_path / "run", **ASYNCHRONOUS).complete
    assert [r.id for r in read_run(tmp_path / "run").history][-1] == first
    monkeypatch.delenv("TOY_FAULT")
    assert_correct(tmp_path / "run")


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_children_are_proposed_one_per_free_worker(tmp_path, num_workers):
    shuffled(tmp_path / "run", num_workers=num_workers)
    proposals = RunStore.open(tmp_path / "run").proposals.read()
    slots = {p.slot.number: p.slot.num_evaluated for p in proposals}
    assert list(slots) == list(range(12))
    busy = min(num_workers, 12)
    assert list(slots.values()) == [4] * busy + list(range(5, 5 + 12 - busy))
    drawn = Counter(p.slot.number for p in proposals if p.outcome != "duplicate")
    assert drawn == dict.fromkeys(range(12), 3)  # 10 / 4
    assert [p.generation for p in proposals] == [1 + p.slot.number // 4 for p in proposals]
    assert_correct(tmp_path / "run")


@pytest.mark.parametrize("seed", range(3))
def test_a_replay_gives_the_same_run_with_any_number_of_workers(tmp_path, seed):
    shuffled(tmp_path / "run", seed=seed)
    expected = results(tmp_path / "run")
    for number, num_workers in enumerate((2, 3, 8)):
        again = tmp_path / f"again-{number}"
        shuffled(again, num_workers=num_workers, seed=7, replay=str(tmp_path / "run"))
        assert results(again) == expected
        assert list(results(again)["history"]) == list(expected["history"])


def test_different_orders_give_different_runs(tmp_path):
    for seed in (0, 1):
        shuffled(tmp_path / f"run-{seed}", seed=seed)
    assert results(tmp_path / "run-0") != results(tmp_path / "run-1")


def test_callbacks_follow_the_completed_children(tmp_path):
    events = []

    class Watch(Callback):
        def on_generation_begin(self, state, proposals):
            events.append(("proposed", sum(p.outcome != "duplicate" for p in proposals)))

        def on_network_end(self, state, record):
            events.append(("trained", state.num_trained))

        def on_generation_end(self, state):
            events.append(("end", state.generation, state.num_trained))

    shuffled(tmp_path / "run", callbacks=[Watch()], tensorboard=True)
    assert [e for e in events if e[0] == "end"] == [("end", g, 4 + 4 * g) for g in range(4)]
    assert events.count(("proposed", 3)) == 12


def test_a_slot_without_a_child_is_spent(tmp_path):
    """One child is proposed per slot, and is often over the limit."""
    limit = {"limit": {"parameters": 30_000}, "max_redraws": 0, "num_proposed": 4}
    result = shuffled(tmp_path / "run", **limit)
    proposals = RunStore.open(tmp_path / "run").proposals.read()
    assert result.complete
    slots = {p.slot.number for p in proposals}
    accepted = {p.slot.number for p in proposals if p.outcome == "accepted"}
    assert slots == set(range(12)) > accepted
    # After a slot without a child, the population has changed before the next one.
    evaluated = {p.slot.number: p.slot.num_evaluated for p in proposals}
    first = {p.slot.number for p in proposals if p.slot.num_evaluated == evaluated[0]}
    assert not first - accepted or max(first) == min(first - accepted)
    status = read_status(tmp_path / "run")
    assert status.is_finished
    num_initial = sum(r.generation == 0 for r in read_run(tmp_path / "run").history)
    assert_correct(tmp_path / "run", num_initial + len(accepted))


class Ledger(Callback):
    """Compares the files with those that are needed."""

    def __init__(self):
        self.pending, self.num_parents_only, self.initial = {}, 0, set()

    def on_generation_begin(self, state, proposals):
        accepted = [p.individual for p in proposals if p.outcome == "accepted"]
        self.pending |= {child.id: child.parent for child in accepted}

    def on_network_end(self, state, record):
        self.pending.pop(record.id, None)
        files = {path.stem for path in (state.workdir / "models").glob("*.h5")}
        # Until a child is trained, all initial networks may become parents.
        self.initial = set() if record.generation else {*self.initial, record.id}
        assert files == {*state.front, *self.initial, *self.pending.values()}
        self.num_parents_only += len(files) - len(state.front)


def test_files_of_the_front_and_of_parents_of_pending_children_are_kept(tmp_path):
    ledger = Ledger()
    large = {"num_generations": 5, "num_accepted": 10, "num_proposed": 25, "seed": 3}
    with pytest.raises(KeyboardInterrupt):
        shuffled(tmp_path / "run", num_workers=8, callbacks=[ledger, Break(30)], **large)
    assert ledger.num_parents_only > 5
    settings = {"num_workers": 2, "resume": True, **large}
    assert shuffled(tmp_path / "run", callbacks=[ledger], **settings).complete


def test_a_child_whose_process_dies_is_tried_once_more(tmp_path, monkeypatch):
    shuffled(tmp_path / "whole", num_workers=1)
    victim = [r.id for r in read_run(tmp_path / "whole").history][-1]  # no others are left
    monkeypatch.setenv("TOY_FAULT", f"die_once:{victim}")
    toy_search(tmp_path / "run", **{**ASYNCHRONOUS, "workers": 1})
    assert results(tmp_path / "run") == results(tmp_path / "whole")
    records = {record.id: record for record in read_run(tmp_path / "run").history}
    assert "SIGKILL" in records[victim].first_failure
    monkeypatch.setenv("TOY_FAULT", f"die:{victim}")
    toy_search(tmp_path / "twice", **{**ASYNCHRONOUS, "workers": 1})
    records = {record.id: record for record in read_run(tmp_path / "twice").history}
    assert "SIGKILL" in records[victim].failure
    assert "SIGKILL" in records[victim].first_failure


def test_a_search_ends_at_max_hours_and_continues(tmp_path):
    class Slow(Callback):
        def on_network_end(self, state, record):
            if record.generation:
                time.sleep(0.6)

    settings = {"callbacks": [Slow()], "max_hours": 1 / 3600}
    assert not shuffled(tmp_path / "run", **settings).complete
    run = read_run(tmp_path / "run")
    pending = read_recorded_history(run.store, 4, slots_per_generation=4).pending
    assert (len(run.history) < NUM_NETWORKS, pending) == (True, [])
    assert not read_status(tmp_path / "run").is_finished
    assert shuffled(tmp_path / "run", resume=True, max_hours=None).complete
    assert_correct(tmp_path / "run")


def test_more_generations_continue_a_finished_search(tmp_path):
    shuffled(tmp_path / "run", num_generations=1)
    before = (tmp_path / "run" / "history.jsonl").read_bytes()
    assert shuffled(tmp_path / "run", num_generations=3, resume=True).complete
    assert (tmp_path / "run" / "history.jsonl").read_bytes().startswith(before)
    assert_correct(tmp_path / "run")


def test_resuming_a_finished_search_trains_nothing(tmp_path):
    shuffled(tmp_path / "run")
    ended = Break(1)
    assert toy_search(tmp_path / "run", resume=True, callbacks=[ended], **ASYNCHRONOUS).complete
    assert ended.left == 1


# --- Interruptions ---------------------------------------------------------------------------


class Killed(BaseException):
    """In place of kill -9: nothing is cleaned up."""


def interrupted_at(workdir, number, rng, **settings):
    """Run a search that is killed while it appends records, at the append of a number."""
    num_appends, append = [], RecordList.append

    def killed_append(self, records):
        records = list(records)
        num_appends.append(len(records))
        if len(num_appends) == number:
            append(self, records[: rng.randrange(len(records) + 1)])
            raise Killed
        append(self, records)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordList, "append", killed_append)
        patch.setattr("lemonade_tf.search.evaluator.ChildEvaluator.clean_up", lambda self: None)
        try:
            shuffled(workdir, seed=number, resume=True, **settings)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("number", [1, 5, 6, 13])
def test_a_search_killed_while_writing_ends_correctly(tmp_path, number):
    killed_while_writing(tmp_path, number)


@pytest.mark.slow
def test_a_search_killed_at_25_different_appends_ends_correctly(tmp_path):
    for number in range(4, 29):
        (tmp_path / f"{number}").mkdir()
        killed_while_writing(tmp_path / f"{number}", number)


def killed_while_writing(folder, number):
    """Kill a search at its append of a number, again a few appends later, and resume it."""
    rng = random.Random(number)
    before = b""
    workdir = folder / "run"
    for at in (number, 1 + rng.randrange(4), 1 + rng.randrange(4)):
        interrupted_at(workdir, at, rng)
        after = (
            (workdir / "history.jsonl").read_bytes()
            if (workdir / "history.jsonl").exists()
            else b""
        )
        assert after.startswith(before)
        before = after
    assert shuffled(workdir, seed=number, num_workers=2, resume=True).complete
    assert (workdir / "history.jsonl").read_bytes().startswith(before)
    assert_correct(workdir)


def test_a_last_slot_that_this_version_proposes_differently_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        shuffled(tmp_path / "run", callbacks=[Break(9)])
    store = RunStore.open(tmp_path / "run")
    proposals = store.proposals.read()
    other = next(p for p in reversed(proposals) if p.outcome == "rejected")
    changed = replace(other, duplicate_of="0-0")
    store.proposals.replace([changed if p == other else p for p in proposals])
    with pytest.raises(StoreError, match="has different children for generation"):
        shuffled(tmp_path / "run", resume=True)


def test_a_pending_child_that_is_rebuilt_differently_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        shuffled(tmp_path / "run", callbacks=[Break(9)])
    store = RunStore.open(tmp_path / "run")
    pending = read_recorded_history(store, 4, slots_per_generation=4).pending
    assert len(pending) == 2  # of three workers, one had just ended
    other = replace(pending[0], cheap_objectives={"parameters": 1})
    store.proposals.replace([other if p == pending[0] else p for p in store.proposals.read()])
    with pytest.raises(StoreError, match=f"the child {other.id}, rebuilt .* has .* instead of"):
        shuffled(tmp_path / "run", resume=True)
    assert not store.is_locked()


@pytest.mark.parametrize("after", [2, 4, 5, 9, 15])
def test_a_replay_that_is_interrupted_ends_like_the_replayed_run(tmp_path, after):
    shuffled(tmp_path / "run")
    given = {"replay": str(tmp_path / "run"), "num_workers": 2, "seed": 9}
    with pytest.raises(KeyboardInterrupt):
        shuffled(tmp_path / "again", callbacks=[Break(after)], **given)
    shuffled(tmp_path / "again", resume=True, **given)
    assert results(tmp_path / "again") == results(tmp_path / "run")
