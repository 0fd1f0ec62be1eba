"""The progress of a search, from its folder alone."""

import time
from dataclasses import replace

import pytest
from run_folders import proposal
from runs import CONFIG, line, make_run, with_settings
from toy_training import cut, toy_search

from lemonade_tf.evolution import Evolution, Proposal
from lemonade_tf.monitoring.status import read_status, status_lines
from lemonade_tf.objectives import ObjectiveError
from lemonade_tf.store import ModelFiles, RandomSearchRecord, RunStore, StoreError

CONFIG = with_settings(CONFIG, num_generations=2, num_accepted=2)
ACCEPTED = [proposal(id_) for id_ in ("1-0", "1-3", "2-1", "2-0")]


@pytest.fixture
def folder(tmp_path):
    folder = make_run(tmp_path / "run", config=CONFIG)
    RunStore.open(folder).proposals.append(ACCEPTED)
    return folder


def test_the_status_of_a_finished_search(folder):
    (folder / "models" / "0-2.h5").write_bytes(b"0" * 2_000_000)
    status = read_status(folder)
    assert (status.generation, status.num_generations) == (2, 2)
    assert (status.num_trained, status.num_expected) == (6, 7)
    assert status.failures == {"1-3": "diverged: the loss became nan in epoch 1 of 5."}
    assert (status.front_size, status.best_error) == (3, 0.10)
    assert status.hypervolume > 0
    assert status.num_bytes == 2_000_000
    assert not status.is_running
    assert status.is_finished
    assert status.seconds_since_last == pytest.approx(time.time() - 1.7e9, abs=60)


def test_seconds_are_summed_by_phase(tmp_path):
    seconds = ({"train": 2.0, "total": 3.0}, {"train": 40.0, "distill": 61.0, "total": 110.0})
    history = [line(f"0-{n}", 0.1, 10, seconds=s) for n, s in enumerate(seconds)]
    status = read_status(make_run(tmp_path / "run", history, CONFIG))
    assert status.seconds_by_phase == {"train": 42.0, "distill": 61.0}
    assert "distill 1:01 min, train 42 s (in the workers)" in "\n".join(status_lines(status, "RUN"))


def test_the_status_before_the_first_network(tmp_path):
    RunStore.create(tmp_path / "run", CONFIG).release()
    status = read_status(tmp_path / "run")
    assert (status.num_trained, status.front_size, status.best_error) == (0, 0, None)
    assert status_lines(status, "RUN")[0].endswith("lemonade-tf search --workdir RUN --resume")
    assert "proposals    none yet" in status_lines(status, "RUN")


def test_proposals_are_counted_by_outcome(tmp_path):
    limit = {"limit": {"parameters": 30_000}, "max_redraws": 3}
    toy_search(tmp_path / "run", in_process=True, **limit)
    status = read_status(tmp_path / "run")
    outcomes = [line.outcome for line in RunStore.open(tmp_path / "run").proposals.read()]
    assert dict(status.proposals) == {name: outcomes.count(name) for name in set(outcomes)}
    assert status.proposals["over_limit"] > 0
    text = "\n".join(status_lines(status, "RUN"))
    assert f"{status.proposals['accepted']} accepted" in text
    assert f"{status.proposals['over_limit']} over a limit" in text


def test_a_search_is_running_while_its_folder_is_locked(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    assert not read_status(workdir).is_running
    holder = RunStore.open(workdir)
    holder.lock()
    status = read_status(workdir)
    assert status.is_running
    assert status_lines(status, workdir)[0].startswith(f"{workdir}: running, about ")
    holder.release()
    toy_search(workdir, in_process=True, resume=True)
    status = read_status(workdir)
    assert status_lines(status, workdir)[0] == f"{workdir}: finished"
    assert 0 <= status.seconds_since_last < 600


@pytest.mark.parametrize("mode", ["generational", "asynchronous"])
def test_a_search_whose_last_generation_accepted_no_child_is_finished(tmp_path, monkeypatch, mode):
    judge = Evolution._judge

    def reject(self, child, *others):
        if child.generation == 3:
            return Proposal(child, "over_limit", exceeded={"parameters": 1.0})
        return judge(self, child, *others)

    monkeypatch.setattr(Evolution, "_judge", reject)
    toy_search(tmp_path / "run", in_process=True, mode=mode, max_redraws=1)
    store = RunStore.open(tmp_path / "run")
    assert {p.outcome for p in store.proposals.read() if p.generation == 3} == {"over_limit"}
    status = read_status(tmp_path / "run")
    assert status.is_finished
    assert status_lines(status, "RUN")[0] == "RUN: finished"
    # More generations are none that have been finished.
    store.write_config(with_settings(store.read_config(), num_generations=4))
    assert "resume with" in status_lines(read_status(tmp_path / "run"), "RUN")[0]


def test_a_search_without_a_trained_initial_network_has_to_start_over(tmp_path):
    history = [line(f"0-{n}", None, 10, failure="diverged") for n in range(3)]
    for number, expected in ((3, "all initial networks failed"), (2, "resume with")):
        folder = make_run(tmp_path / str(number), history[:number], CONFIG)
        assert expected in status_lines(read_status(folder), "RUN")[0]


def test_a_random_search_cannot_be_resumed(tmp_path):
    matched = RandomSearchRecord("runs/1", "parameters", [1, 2])
    config = replace(CONFIG, num_initial=0, random_search=matched)
    RunStore.create(tmp_path / "random", config).release()
    status = read_status(tmp_path / "random")
    assert not status.is_finished
    assert not status.resumable
    [state, *_] = status_lines(status, "RUN")
    assert state == "RUN: not running; it is a random search, which cannot be resumed"


def test_an_objective_that_cannot_be_imported_here_is_no_usage_error(tmp_path):
    objectives = ["error", "parameters", "no_such_module:OBJECTIVE"]
    folder = make_run(tmp_path / "run", config=with_settings(CONFIG, objectives=objectives))
    with pytest.raises(ObjectiveError, match=r"^objective 'no_such_module:OBJECTIVE'"):
        read_status(folder)


def test_lists_that_grow_while_they_are_read_are_consistent(tmp_path, caplog):
    """A running search may write to each list after the other one was read."""
    workdir = cut(tmp_path / "run", 9)
    holder = RunStore.open(workdir)
    history, proposals = workdir / "history.jsonl", workdir / "proposals.jsonl"
    for path, lines in ((history, 5), (proposals, 10), (history, 0), (proposals, 0)):
        whole = path.read_bytes()
        path.write_bytes(b"".join(whole.splitlines(True)[:lines]) + b'{"id": "1')
        holder.lock()
        status = read_status(workdir)
        holder.release()
        path.write_bytes(whole)
        assert status.is_running
        assert not status.is_finished
    assert caplog.text == ""


def test_a_search_that_starts_while_its_lists_are_read_is_running(tmp_path, monkeypatch):
    workdir = cut(tmp_path / "run", 9)
    history = workdir / "history.jsonl"
    history.write_bytes(b"".join(history.read_bytes().splitlines(True)[:5]))
    with pytest.raises(StoreError, match=r"history\.jsonl lacks"):
        read_status(workdir)
    locked = iter([False, True])
    monkeypatch.setattr(RunStore, "is_locked", lambda store: next(locked))
    assert read_status(workdir).is_running


def test_an_incomplete_line_of_a_search_that_ended_is_a_warning(tmp_path, caplog):
    workdir = cut(tmp_path / "run", 9)
    with (workdir / "history.jsonl").open("ab") as file:
        file.write(b'{"id": "1')
    assert not read_status(workdir).is_running
    assert "is incomplete" in caplog.text


def test_a_file_that_vanishes_has_no_size(tmp_path):
    models = ModelFiles(tmp_path)
    models.make_folders()
    models.path("0-2").write_bytes(b"0" * 2_000)
    models.path("0-1").symlink_to(tmp_path / "gone")  # as if removed meanwhile
    assert models.num_bytes() == 2_000
