"""Whatever ends a search, resuming it gives what it would have given; or says why it cannot."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from data_sets import write_data_sets
from runs import CONFIG, change_images, make_run
from toy_training import Break, cut, results, toy_search

from lemonade_tf.config import ConfigError
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.search import SearchError, search
from lemonade_tf.store import RandomSearchRecord, RunStore, StoreError

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted search finds."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert toy_search(workdir, in_process=True).complete
    return results(workdir)


# --- Going on --------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 3, 4, 5, 9, 12, 15])
def test_a_search_that_was_ended_goes_on_to_the_same_end(tmp_path, whole, after):
    workdir = cut(tmp_path / "run", after)
    before = (workdir / "history.jsonl").read_bytes()
    result = toy_search(workdir, in_process=True, resume=True)
    assert result.complete
    assert results(workdir) == whole
    assert (workdir / "history.jsonl").read_bytes().startswith(before)
    assert result.hypervolume > 0


def test_again_and_again(tmp_path, whole):
    workdir = cut(tmp_path / "run", 2)
    for _ in range(4):
        cut(workdir, 3, resume=True)
    assert toy_search(workdir, in_process=True, resume=True).complete
    assert results(workdir) == whole


def test_a_folder_with_no_run_begins_one(tmp_path, whole):
    assert toy_search(tmp_path / "run", in_process=True, resume=True).complete
    assert results(tmp_path / "run") == whole


def test_a_finished_run_resumes_to_nothing(tmp_path, whole):
    toy_search(tmp_path / "run", in_process=True)
    ended = Break(1)
    result = toy_search(tmp_path / "run", in_process=True, resume=True, callbacks=[ended])
    assert result.complete
    assert ended.left == 1
    assert results(tmp_path / "run") == whole


@pytest.mark.parametrize("first", [0, 1])
def test_more_generations_give_what_a_longer_search_would_have(tmp_path, whole, first):
    toy_search(tmp_path / "run", in_process=True, num_generations=first)
    toy_search(tmp_path / "run", in_process=True, resume=True, num_generations=3)
    assert results(tmp_path / "run") == whole
    assert RunStore.open(tmp_path / "run").read_config().settings["num_generations"] == 3


def test_settings_that_are_not_given_are_those_of_the_run(tmp_path):
    workdir = cut(tmp_path / "run", 6, seed=5, num_accepted=3)
    with patch("toy_training.SETTINGS", {}):
        toy_search(workdir, in_process=True, resume=True)
    toy_search(tmp_path / "again", in_process=True, seed=5, num_accepted=3)
    assert results(workdir) == results(tmp_path / "again")


def test_the_state_goes_on_too(tmp_path):
    seen = []

    class Watch(Callback):
        def on_search_begin(self, state):
            seen.append((state.num_trained, state.num_recalled, state.generation, len(state.front)))
            seen.append(state.hypervolume > 0)

    workdir = cut(tmp_path / "run", 9)
    front = len((workdir / "front.csv").read_text().splitlines()) - 1
    toy_search(workdir, in_process=True, resume=True, callbacks=[Watch()])
    assert seen == [(9, 9, 2, front), True]


def test_failed_children_stay_failed(tmp_path, whole, monkeypatch):
    monkeypatch.setenv("TOY_FAULT", "raise:" + accepted(whole, 1)[0])
    toy_search(tmp_path / "run", in_process=True)
    workdir = cut(tmp_path / "cut", 9)
    monkeypatch.delenv("TOY_FAULT")
    toy_search(workdir, in_process=True, resume=True)
    assert results(workdir) == results(tmp_path / "run")
    failures = [line.failure for line in results(workdir)["history"].values()]
    assert len(failures) - failures.count(None) == 1


# --- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreError("front.csv: No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", [1, 3, 5])
def test_an_end_between_the_record_and_the_front(tmp_path, whole, monkeypatch, error, call):
    calls, write = [], RunStore.write_front

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise error
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "write_front", fail)
        with pytest.raises(type(error)):
            toy_search(tmp_path / "run", in_process=True)
    assert toy_search(tmp_path / "run", in_process=True, resume=True).complete
    assert results(tmp_path / "run") == whole


def test_settings_without_an_effect_are_refused_here_too(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    with pytest.raises(ConfigError, match="--latency_protocol has no effect here"):
        toy_search(workdir, resume=True, latency_protocol="paper")


def test_without_an_initial_network_there_is_nothing_to_go_on_from(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_FAULT", "diverge")
    message = r"no initial network could be trained\. .*begin anew in another --workdir"
    for resume in (False, True):
        with pytest.raises(SearchError, match=message):
            toy_search(tmp_path / "run", in_process=True, resume=resume)


def test_changed_settings_are_listed(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError) as error:
        toy_search(workdir, resume=True, seed=7, epochs=9, workers=1, max_hours=3.0)
    for words in ("--seed was 0, now 7", "--epochs was 2, now 9", "--num_generations"):
        assert words in str(error.value)
    assert "--workers was" not in str(error.value)
    assert before == {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}


def test_a_search_needs_to_be_named(tmp_path, monkeypatch):
    from lemonade_tf.search import search

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--resume needs --workdir"):
        search(resume=True)
    assert list(tmp_path.iterdir()) == []


def test_fewer_generations_than_there_are(tmp_path):
    toy_search(tmp_path / "run", in_process=True, num_generations=2)
    with pytest.raises(ConfigError, match=r"--num_generations is 1; the search .* finished 2"):
        toy_search(tmp_path / "run", in_process=True, num_generations=1, resume=True)
    assert not RunStore.open(tmp_path / "run").is_locked()


def test_fewer_generations_than_were_begun(tmp_path):
    workdir = cut(tmp_path / "run", 9)  # in the second of four each, after three initial networks
    for number, words in ((0, "has finished 1 already"), (1, "is in generation 2; give 2 or more")):
        with pytest.raises(ConfigError, match=f"--num_generations is {number}; .*run {words}"):
            toy_search(workdir, in_process=True, num_generations=number, resume=True)
    assert toy_search(workdir, in_process=True, num_generations=2, resume=True).complete
    assert max(line.generation for line in RunStore.open(workdir).history.read()) == 2


def test_a_random_search_cannot_be_resumed(tmp_path):
    config = replace(CONFIG, random_search=RandomSearchRecord("runs/1", "parameters", [1, 2]))
    folder = make_run(tmp_path / "run", config=config)
    with pytest.raises(ConfigError, match="run is a random search, which cannot be resumed"):
        search(workdir=str(folder), resume=True)


def test_a_run_of_format_1_cannot_be_resumed(tmp_path):
    (tmp_path / "config.json").write_text('{"seed": 3}')
    with pytest.raises(StoreError, match="is a run folder of format 1; expected format 2"):
        toy_search(tmp_path, resume=True)


def test_another_search_is_at_it(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    holder = RunStore.open(workdir)
    holder.lock()
    with pytest.raises(StoreError, match="in use by another process"):
        toy_search(workdir, resume=True)
    holder.release()


def test_other_images(tmp_path):
    workdir = cut(tmp_path / "run", 5)
    change_images(workdir, sha256="0" * 64)
    with pytest.raises(StoreError, match=r"digits has changed since .*sha256 was 000"):
        toy_search(workdir, resume=True)


def test_another_version_that_proposes_other_children(tmp_path):
    workdir = cut(tmp_path / "run", 6)
    store = RunStore.open(workdir)
    proposals = store.proposals.read()
    other = replace(proposals[0], parent="0-1" if proposals[0].parent != "0-1" else "0-2")
    store.proposals.replace([other, *proposals[1:]])
    with pytest.raises(StoreError, match="has other children for generation 1"):
        toy_search(workdir, in_process=True, resume=True)


def test_other_versions_are_said(tmp_path, caplog):
    workdir = cut(tmp_path / "run", 5)
    store = RunStore.open(workdir)
    config = store.read_config()
    store.write_config(replace(config, versions={**config.versions, "numpy": "1.0"}))
    toy_search(workdir, in_process=True, resume=True)
    assert "numpy was 1.0, now " in caplog.text


# --- kill -9 ---------------------------------------------------------------------------------


def start(workdir, fault="", seconds=0.03, **settings):
    """Start a search in a process of its own."""
    return subprocess.Popen(
        [sys.executable, TESTS / "toy_training.py", workdir, json.dumps(settings), fault],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS))),
            "TOY_SECONDS": str(seconds),
        },
        start_new_session=True,
    )


def descendants(pid):
    """Return the ids of the processes that a process started, and those that they did."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def kill(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def killed_at_moments(folder, whole, number, **settings):
    """Kill a search at random moments, its workers too in half of the cases, and resume it."""
    rng = random.Random(number)
    workdir = folder / f"run-{number}"
    num_lines = rng.randrange(17)
    process = start(workdir, seconds=0.1, **settings)
    with process:
        if num_lines:
            wait_for_lines(workdir, num_lines)
        time.sleep(rng.uniform(0, 0.2 if num_lines else 2))
        if number % 2:
            for pid in descendants(process.pid):
                kill(pid)
        kill(process.pid)
    reported = b""
    if (workdir / "history.jsonl").exists():
        content = (workdir / "history.jsonl").read_bytes()
        reported = content[: content.rfind(b"\n") + 1]
    for path in workdir.glob("models/*.h5"):
        json.loads(path.read_text())  # whole
    process = start(workdir, resume=True, **settings)
    out, err = process.communicate(timeout=120)
    assert (out, process.returncode) == ("complete\n", 0), err
    assert results(workdir) == whole
    assert (workdir / "history.jsonl").read_bytes().startswith(reported)
    assert list((workdir / "staging").iterdir()) == []
    assert not list(workdir.rglob("*.unfinished*"))
    return len(reported.splitlines())


@pytest.mark.parametrize("number", range(4))
def test_killed_at_random_moments(tmp_path, whole, number):
    killed_at_moments(tmp_path, whole, number)


@pytest.mark.parametrize("number", [4, 5])
def test_killed_at_random_moments_of_a_search_over_two_data_sets(tmp_path, number):
    settings = {"dataset": ",".join(write_data_sets(tmp_path))}
    toy_search(tmp_path / "whole", in_process=True, **settings)
    killed_at_moments(tmp_path, results(tmp_path / "whole"), number, **settings)


@pytest.mark.slow
def test_killed_at_many_random_moments(tmp_path, whole, request):
    networks = [
        killed_at_moments(tmp_path, whole, number)
        for number in range(4, 4 + request.config.getoption("kills"))
    ]
    print(f"\nnetworks on record when killed: {networks}")
    assert len(set(networks)) > 3  # the moments did differ


def test_a_worker_killed_time_and_again(tmp_path, whole):
    """Whatever is killed is on record, and the search comes to its end."""
    process = start(tmp_path / "run", seconds=0.3)
    with process:
        while process.poll() is None:
            time.sleep(0.7)
            workers = [
                pid for server in descendants(process.pid)[:1] for pid in descendants(server)
            ]
            for pid in workers[:1]:
                kill(pid)
        out, err = process.communicate()
    assert (out, process.returncode) == ("complete\n", 0), err
    found = results(tmp_path / "run")["history"]
    assert len(found) == len(whole["history"])
    for line in found.values():
        assert line.failure is None or "SIGKILL" in line.failure


def test_what_a_killed_search_left_goes_when_it_is_resumed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    workdir = cut(tmp_path / "run", 5)
    left = workdir / "staging" / f"1-0.{process.pid}.h5"
    left.touch()
    there = []

    class Watch(Callback):
        def on_search_begin(self, state):
            there.append(left.exists())

    toy_search(workdir, in_process=True, resume=True, callbacks=[Watch()])
    assert there == [False]


# --- Ctrl-C ----------------------------------------------------------------------------------


def wait_for_lines(workdir, number, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        path = workdir / "history.jsonl"
        if path.exists() and path.read_bytes().count(b"\n") >= number:
            return
        time.sleep(0.02)
    raise AssertionError(f"not {number} networks in {seconds} s")


def test_ctrl_c_once_finishes_what_runs(tmp_path, whole):
    workdir = tmp_path / "run"
    process = start(workdir, seconds=1.0)
    with process:
        wait_for_lines(workdir, 5)
        time.sleep(0.3)  # others have begun
        number = (workdir / "history.jsonl").read_bytes().count(b"\n")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("stopped\n", "", 0)
    assert number < len(results(workdir)["history"]) <= number + 3  # one may end meanwhile
    toy_search(workdir, in_process=True, resume=True)
    assert results(workdir) == whole


def test_ctrl_c_twice_stops_now(tmp_path, whole):
    workdir = tmp_path / "run"
    process = start(workdir, "hang:1-0,1-1,1-2,1-3,1-4,1-5,1-6,1-7,1-8,1-9")
    with process:
        wait_for_lines(workdir, 4)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in err
    assert len(results(workdir)["history"]) == 4
    toy_search(workdir, in_process=True, resume=True)
    assert results(workdir) == whole


# --- Faults ----------------------------------------------------------------------------------


def accepted(whole, generation):
    return [i for i, line in whole["history"].items() if line.generation == generation]


def lines_with(monkeypatch, workdir, fault, **settings):
    monkeypatch.setenv("TOY_FAULT", fault)
    result = toy_search(workdir, **{"num_generations": 1, **settings})
    assert result.complete
    return {line.id: line for line in RunStore.open(workdir).history.read()}


def test_a_child_whose_process_dies_is_tried_once_more(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    lines = lines_with(monkeypatch, tmp_path / "run", f"die_once:{victim}")
    assert lines[victim].failure is None
    assert "SIGKILL" in lines[victim]["first_failure"]
    assert results(tmp_path / "run")["history"][victim] == whole["history"][victim]
    assert [i for i, line in lines.items() if line.first_failure] == [victim]


def test_a_child_whose_process_dies_twice_is_dropped(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    lines = lines_with(monkeypatch, tmp_path / "run", f"die:{victim}")
    assert "SIGKILL" in lines[victim].failure
    assert "SIGKILL" in lines[victim]["first_failure"]
    assert [i for i, line in lines.items() if line.failure] == [victim]
    assert len(lines) == 8


def test_a_child_that_raises_is_dropped_with_its_log(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    lines = lines_with(monkeypatch, tmp_path / "run", f"raise:{victim}")
    assert lines[victim].failure == f"ValueError: no luck with {victim}"
    assert lines[victim]["first_failure"] is None
    assert "Traceback" in lines[victim]["log"]
    assert "_go_wrong" in lines[victim]["log"]


def test_a_child_that_hangs_is_dropped(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    lines = lines_with(monkeypatch, tmp_path / "run", f"hang:{victim}", max_child_hours=2 / 3600)
    assert "the time limit is 2 seconds" in lines[victim].failure
    assert [i for i, line in lines.items() if line.failure] == [victim]


@pytest.mark.parametrize("fault", ["die", "raise"])
def test_the_same_failure_three_times_in_a_row_ends_the_search(tmp_path, monkeypatch, fault):
    monkeypatch.setenv("TOY_FAULT", fault)
    words = r"networks 0-\d, 0-\d, 0-\d failed one after the other, in the same way: .* --resume"
    with pytest.raises(SearchError, match=words):
        toy_search(tmp_path / "run")
    assert len(RunStore.open(tmp_path / "run").history.read()) == 3


def test_a_full_disk_in_a_worker_costs_nothing(tmp_path, whole, monkeypatch):
    victim = accepted(whole, 1)[0]
    monkeypatch.setenv("TOY_FAULT", f"full:{victim}")
    with pytest.raises(StoreError, match="staging: No space left on device; free some space"):
        toy_search(tmp_path / "run", in_process=True)
    assert victim not in results(tmp_path / "run")["history"]
    monkeypatch.delenv("TOY_FAULT")
    toy_search(tmp_path / "run", in_process=True, resume=True)
    assert results(tmp_path / "run") == whole


# --- Storage ---------------------------------------------------------------------------------


class Ledger(Callback):
    """Holds the files against what may be there."""

    def __init__(self):
        self.pending, self.most = [], 0

    def on_generation_begin(self, state, proposals):
        self.pending = [p.individual for p in proposals if p.outcome == "accepted"]

    def on_network_end(self, state, record):
        self.pending = [child for child in self.pending if child.id != record.id]
        files = {path.stem for path in (state.workdir / "models").glob("*.h5")}
        allowed = {*state.front, *(child.parent for child in self.pending)}
        assert files == allowed
        self.most = max(self.most, len(files))


def test_files_are_those_of_the_front_and_of_parents_that_are_needed(tmp_path):
    ledger = Ledger()
    toy_search(tmp_path / "run", in_process=True, num_generations=6, callbacks=[ledger])
    assert ledger.most > 4
    # also after being resumed, where those that are needed are known from the proposals only
    workdir, ledger = cut(tmp_path / "cut", 9), Ledger()
    toy_search(workdir, in_process=True, resume=True, callbacks=[ledger])
    assert ledger.most


def test_parents_of_pending_children_survive_a_resumption_that_fails(tmp_path, whole):
    workdir = cut(tmp_path / "run", 9)
    before = sorted(path.name for path in (workdir / "models").iterdir())

    class Fail(Callback):
        def on_search_begin(self, state):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        toy_search(workdir, in_process=True, resume=True, callbacks=[Fail()])
    assert sorted(path.name for path in (workdir / "models").iterdir()) == before
    toy_search(workdir, in_process=True, resume=True)
    assert results(workdir) == whole


def test_all_can_be_kept(tmp_path, whole):
    toy_search(tmp_path / "run", in_process=True, keep_all=True)
    files = {path.stem for path in (tmp_path / "run" / "models").iterdir()}
    assert files == set(whole["history"])


def test_what_is_pinned_while_the_search_runs_stays(tmp_path, whole):
    class Pin(Callback):
        def on_network_end(self, state, record):
            if record.id == "0-0":
                RunStore.open(state.workdir).models.pin(["0-0"])

    toy_search(tmp_path / "run", in_process=True, callbacks=[Pin()])
    assert results(tmp_path / "run")["files"] == sorted({"0-0.h5", *whole["files"]})


# --- Damaged folders -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A folder of a search that was cut, and one of another search."""
    folder = tmp_path_factory.mktemp("damaged")
    return cut(folder / "run", 10), cut(folder / "other", 10, seed=1)


def damage(rng, workdir, other):
    """Damage a file of a run; return what was done."""
    files = sorted(path for path in workdir.rglob("*") if path.is_file())
    path = rng.choice(files)
    content = path.read_bytes()
    kind = rng.choice(["truncated", "flipped", "missing", "foreign", "garbage", "a folder"])
    if kind == "truncated":
        path.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif kind == "flipped" and content:
        place = rng.randrange(len(content))
        flipped = content[place] ^ (1 << rng.randrange(8))
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
    elif kind == "foreign":
        theirs = other / path.relative_to(workdir)
        path.write_bytes(theirs.read_bytes() if theirs.exists() else b"")
    elif kind == "garbage":
        path.write_bytes(rng.randbytes(rng.randrange(1, 2000)))
    else:
        path.unlink()
        if kind == "a folder":
            path.mkdir()
    return f"{path.relative_to(workdir)} {kind}"


def resumed_after_damage(folder, damaged, whole, number):
    rng = random.Random(number)
    workdir = folder / f"run-{number}"
    shutil.copytree(damaged[0], workdir)
    what = damage(rng, workdir, damaged[1])
    try:
        toy_search(workdir, in_process=True, resume=True)
        ended = "resumed"
    except (StoreError, ConfigError, SearchError) as error:
        ended = str(error)
    assert ended != "resumed" or results(workdir) == whole, what
    assert len(ended.splitlines()) == 1, what
    shutil.rmtree(workdir)
    return ended == "resumed"


@pytest.mark.parametrize("number", range(20))
def test_a_damaged_folder_is_refused_or_resumed_rightly(tmp_path, damaged, whole, number):
    resumed_after_damage(tmp_path, damaged, whole, number)


@pytest.mark.slow
def test_200_damaged_folders(tmp_path, damaged, whole):
    ended = [resumed_after_damage(tmp_path, damaged, whole, n) for n in range(20, 220)]
    assert set(ended) == {True, False}
    print(f"\n{ended.count(False)} refused, {ended.count(True)} resumed")
