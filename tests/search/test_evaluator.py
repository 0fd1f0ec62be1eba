"""Failures of networks, and the files that are kept."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from toy_training import accepted, cut, results, toy_search

from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.runs import read_run
from lemonade_tf.runs.recorded_history import read_recorded_history
from lemonade_tf.search import SearchError
from lemonade_tf.store import RunStore, StoreError

# --- Failures --------------------------------------------------------------------------------


def history_with(monkeypatch, workdir, fault, **settings):
    monkeypatch.setenv("TOY_FAULT", fault)
    result = toy_search(workdir, **{"num_generations": 1, **settings})
    assert result.complete
    return {record.id: record for record in RunStore.open(workdir).history.read()}


def test_a_child_whose_process_dies_is_tried_once_more(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    records = history_with(monkeypatch, tmp_path / "run", f"die_once:{victim}")
    assert records[victim].failure is None
    assert "SIGKILL" in records[victim].first_failure
    assert results(tmp_path / "run")["history"][victim] == whole["history"][victim]
    assert [i for i, record in records.items() if record.first_failure] == [victim]


def test_a_child_whose_process_dies_twice_is_dropped(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    records = history_with(monkeypatch, tmp_path / "run", f"die:{victim}")
    assert "SIGKILL" in records[victim].failure
    assert "SIGKILL" in records[victim].first_failure
    assert [i for i, record in records.items() if record.failure] == [victim]
    assert len(records) == 8


def test_a_child_that_raises_is_dropped_with_its_log(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    records = history_with(monkeypatch, tmp_path / "run", f"raise:{victim}")
    assert records[victim].failure == f"ValueError: no luck with {victim}"
    assert records[victim].first_failure is None
    assert "Traceback" in records[victim].log
    assert "_go_wrong" in records[victim].log


def test_a_child_over_the_time_limit_is_dropped(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    records = history_with(
        monkeypatch, tmp_path / "run", f"hang:{victim}", max_child_hours=2 / 3600
    )
    assert "the time limit is 2 seconds" in records[victim].failure
    assert [i for i, record in records.items() if record.failure] == [victim]


@pytest.mark.parametrize("fault", ["die", "raise"])
def test_the_same_failure_three_times_in_a_row_ends_the_search(tmp_path, monkeypatch, fault):
    monkeypatch.setenv("TOY_FAULT", fault)
    words = r"networks 0-\d, 0-\d, 0-\d failed in a row, in the same way: .* --resume"
    with pytest.raises(SearchError, match=words):
        toy_search(tmp_path / "run")
    assert len(RunStore.open(tmp_path / "run").history.read()) == 3


def test_a_search_resumes_after_a_full_disk_in_a_worker(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    monkeypatch.setenv("TOY_FAULT", f"full:{victim}")
    with pytest.raises(StoreError, match="staging: No space left on device; free some space"):
        toy_search(tmp_path / "run", in_process=True)
    assert victim not in results(tmp_path / "run")["history"]
    monkeypatch.delenv("TOY_FAULT")
    toy_search(tmp_path / "run", in_process=True, resume=True)
    assert results(tmp_path / "run") == whole


# --- Files -----------------------------------------------------------------------------------


class Ledger(Callback):
    """Compares the files with those that are needed."""

    def __init__(self):
        self.pending, self.most, self.initial = [], 0, set()

    def on_generation_begin(self, state, proposals):
        recorded = {record.id for record in RunStore.open(state.workdir).history.read()}
        accepted = [p.individual for p in proposals if p.outcome == "accepted"]
        self.pending = [child for child in accepted if child.id not in recorded]

    def on_network_end(self, state, record):
        self.pending = [child for child in self.pending if child.id != record.id]
        files = {path.stem for path in (state.workdir / "models").glob("*.h5")}
        # Until a child is trained, all initial networks may become parents.
        self.initial = set() if record.generation else {*self.initial, record.id}
        allowed = {*state.front, *self.initial, *(child.parent for child in self.pending)}
        assert files == allowed
        self.most = max(self.most, len(files))


# A search in which parents leave the front while their children are pending.
LARGE = {"num_generations": 5, "num_proposed": 30, "num_accepted": 12, "seed": 6}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A copy of such a search, interrupted in the second generation."""
    return cut(tmp_path_factory.mktemp("interrupted") / "run", 22, **LARGE)


@pytest.fixture
def workdir(interrupted, tmp_path):
    return Path(shutil.copytree(interrupted, tmp_path / "run"))


def test_files_of_the_front_and_of_parents_of_pending_children_are_kept(tmp_path):
    ledger = Ledger()
    toy_search(tmp_path / "run", in_process=True, callbacks=[ledger], **LARGE)
    assert ledger.most > 4


def test_pending_children_are_known_after_resuming(workdir):
    run = read_run(workdir)
    pending = read_recorded_history(run.store, run.config.num_initial).pending
    assert len(pending) == 4 + 2 * 12 - 22
    assert not {proposal.id for proposal in pending} & {record.id for record in run.history}
    ledger = Ledger()
    toy_search(workdir, in_process=True, resume=True, callbacks=[ledger], **LARGE)
    assert ledger.most > 4


def _needed_only_by_children(workdir):
    """Return the parents of pending children that are not on the front."""
    run = read_run(workdir)
    history = read_recorded_history(run.store, run.config.num_initial)
    front = {record.id for record in run.front()}
    return sorted({proposal.parent for proposal in history.pending} - front)


def test_parents_of_pending_children_are_kept_if_resuming_fails(workdir):
    assert _needed_only_by_children(workdir)
    before = sorted(path.name for path in (workdir / "models").iterdir())

    class Fail(Callback):
        def on_search_begin(self, state):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        toy_search(workdir, in_process=True, resume=True, callbacks=[Fail()], **LARGE)
    assert sorted(path.name for path in (workdir / "models").iterdir()) == before


def test_a_damaged_file_of_a_parent_is_refused(workdir):
    [parent, *_] = _needed_only_by_children(workdir)
    (workdir / "models" / f"{parent}.h5").write_text("{}")
    with pytest.raises(StoreError, match=rf"{parent}\.h5 has changed since the search wrote"):
        toy_search(workdir, in_process=True, resume=True, **LARGE)


def test_a_record_of_another_network_than_the_proposed_one_is_refused(workdir):
    store = RunStore.open(workdir)
    *earlier, first, second = store.history.read()
    assert first.generation == second.generation == 2
    other = {n: getattr(first, n) for n in ("parent", "operators", "architecture_hash")}
    store.history.replace([*earlier, first, replace(second, **other)])
    with pytest.raises(StoreError, match=f"the network {second.id} differs from the one that"):
        toy_search(workdir, in_process=True, resume=True, **LARGE)


def test_staged_files_are_removed_at_the_end(tmp_path):
    class Stage(Callback):
        def on_network_end(self, state, record):
            RunStore(state.workdir).models.staging_path(record.id).write_text("unfinished")

    toy_search(tmp_path / "run", in_process=True, num_generations=0, callbacks=[Stage()])
    assert not (tmp_path / "run" / "staging").exists()


def test_keep_all_keeps_all_files(tmp_path, whole):
    toy_search(tmp_path / "run", in_process=True, keep_all=True)
    files = {path.stem for path in (tmp_path / "run" / "models").iterdir()}
    assert files == set(whole["history"])


def test_a_network_pinned_during_the_search_is_kept(tmp_path, whole):
    class Pin(Callback):
        def on_network_end(self, state, record):
            if record.id == "0-0":
                RunStore.open(state.workdir).models.pin(["0-0"])

    toy_search(tmp_path / "run", in_process=True, callbacks=[Pin()])
    assert results(tmp_path / "run")["files"] == sorted({"0-0.h5", *whole["files"]})
