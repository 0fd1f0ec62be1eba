"""The run folder: what is written is there, whole, whatever happens."""

import csv
import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lemonade_tf.store import RunStore, StoreError

ROOT = Path(__file__).parents[1]
CONFIG = {"space": "networks", "objectives": ["error", "parameters"], "seed": 3}


@pytest.fixture
def store(tmp_path):
    return RunStore.create(tmp_path / "run", CONFIG)


def _settings(store):
    """The settings without the run's identity, which no two runs share."""
    config = store.read_config()
    assert len(config.pop("run")) == 32
    return config


def _files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


class TestCreate:
    def test_folders_are_made(self, tmp_path):
        store = RunStore.create(tmp_path / "a/b", CONFIG)
        assert _settings(store) == CONFIG
        assert store.read_history() == store.read_proposals() == []
        assert _files(tmp_path) == ["a/b/config.json"]

    def test_other_files_are_left_alone(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        RunStore.create(tmp_path, CONFIG)
        assert (tmp_path / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize("name", ["config.json", "history.jsonl"])
    def test_a_run_is_not_overwritten(self, tmp_path, name):
        (tmp_path / name).write_text("{}")
        with pytest.raises(StoreError, match=rf"holds a run already \({name}\); choose another"):
            RunStore.create(tmp_path, CONFIG)
        assert _files(tmp_path) == [name]

    @pytest.mark.parametrize("below", ["", "/run"])
    def test_a_file_is_no_folder(self, tmp_path, below):
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match=r"/file.*; choose a --workdir that is a folder"):
            RunStore.create(f"{tmp_path}/file{below}", CONFIG)

    def test_a_folder_that_may_not_be_written_to(self, tmp_path, monkeypatch):
        def mkdir(*arguments, **options):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", mkdir)
        with pytest.raises(StoreError, match=r"run: Permission denied; .* that you may write to"):
            RunStore.create(tmp_path / "run", CONFIG)

    def test_a_config_that_is_no_json_starts_no_run(self, tmp_path):
        with pytest.raises(ValueError, match="cannot be written as JSON"):
            RunStore.create(tmp_path / "run", {"seed": float("nan")})
        assert not (tmp_path / "run").exists()


class TestOpen:
    def test_what_was_created(self, store):
        store.append_history({"id": "0-1"})
        opened = RunStore.open(str(store.path))
        assert _settings(opened) == CONFIG
        assert opened.read_history() == [{"id": "0-1"}]
        assert RunStore.holds_run(store.path)

    def test_a_folder_without_a_run(self, tmp_path):
        assert not RunStore.holds_run(tmp_path)
        with pytest.raises(StoreError, match=r"holds no run; expected .*config\.json"):
            RunStore.open(tmp_path)

    def test_no_folder(self, tmp_path):
        assert not RunStore.holds_run(tmp_path / "run")
        with pytest.raises(StoreError, match="run is not a folder; expected the --workdir"):
            RunStore.open(tmp_path / "run")

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"{", r"config\.json is not JSON"), (b"[]", "is not a JSON object"), (b"\xff", "JSON")],
    )
    def test_a_config_that_is_damaged(self, store, content, message):
        (store.path / "config.json").write_bytes(content)
        with pytest.raises(StoreError, match=message):
            store.read_config()


class TestLists:
    def test_records_come_back(self, store):
        records = [{"id": f"1-{n}", "error": 0.1 * n, "failure": None} for n in range(5)]
        for record in records:
            store.append_history(record)
        store.append_proposals(records[:2])
        store.append_proposals(iter(records[2:]))
        store.append_proposals([])
        assert store.read_history() == records
        assert store.read_proposals() == records

    def test_what_is_not_ascii(self, store):
        store.append_history({"failure": "no ä\n\u2028 here"})
        assert store.read_history() == [{"failure": "no ä\n\u2028 here"}]
        assert (store.path / "history.jsonl").read_text().count("\n") == 1

    def test_numbers_of_numpy(self, store):
        store.append_history(
            {
                "a": np.float32(0.5),
                "b": np.int64(7),
                "c": np.arange(3),
                "d": Path("x"),
                "e": np.True_,
            }
        )
        assert store.read_history() == [{"a": 0.5, "b": 7, "c": [0, 1, 2], "d": "x", "e": True}]

    @pytest.mark.parametrize(
        "value", [float("nan"), float("inf"), np.float32("nan"), np.array([np.inf]), object()]
    )
    def test_what_json_has_no_form_for(self, store, value):
        store.append_proposals([{"id": "1-0"}])
        with pytest.raises(ValueError, match=r"1-2.*cannot be written as JSON .* to be None"):
            store.append_proposals([{"id": "1-1"}, {"id": "1-2", "error": value}])
        assert store.read_proposals() == [{"id": "1-0"}]

    @pytest.mark.parametrize("torn", [b'{"id": "0-', b'{"id": "0-2"}', b"\0" * 70_000])
    def test_a_torn_last_line_is_dropped(self, store, caplog, torn):
        store.append_history({"id": "0-1"})
        path = store.path / "history.jsonl"
        with path.open("ab") as file:
            file.write(torn)
        assert store.read_history() == [{"id": "0-1"}]
        assert f"{path}: line 2 was cut short when it was written" in caplog.text
        caplog.clear()
        store.append_history({"id": "0-3"})
        assert store.read_history() == [{"id": "0-1"}, {"id": "0-3"}]
        assert caplog.text == ""

    @pytest.mark.parametrize("line", [b"{", b"", b"7", b"\xff"])
    def test_any_other_broken_line_is_an_error(self, store, line):
        path = store.path / "history.jsonl"
        for id_ in ("0-1", "0-2", "0-3"):
            store.append_history({"id": id_})
        lines = path.read_bytes().splitlines()
        path.write_bytes(b"\n".join([lines[0], line, lines[2], b""]))
        with pytest.raises(StoreError, match=r"history\.jsonl, line 2, is damaged.*; restore the"):
            store.read_history()

    def test_lines_of_another_run_are_refused(self, store, tmp_path):
        other = RunStore.create(tmp_path / "other", CONFIG)
        for each in (store, other):
            each.append_history({"id": "0-1"})
        (store.path / "history.jsonl").write_bytes((other.path / "history.jsonl").read_bytes())
        with pytest.raises(StoreError, match=r"line 1, .* belongs to another run"):
            store.read_history()

    def test_measurements_are_a_list_of_their_own(self, store):
        assert store.read_measurements() == []
        store.append_measurements({"id": f"1-{n}", "seconds": 0.1 * n} for n in range(2))
        store.append_measurements([{"id": "2-0", "seconds": None}])
        assert [line["id"] for line in store.read_measurements()] == ["1-0", "1-1", "2-0"]
        assert store.read_history() == []

    def test_replacing_the_proposals(self, store):
        store.append_proposals([{"id": "1-0"}, {"id": "1-1"}])
        store.replace_proposals([{"id": "1-2"}])
        assert store.read_proposals() == [{"id": "1-2"}]
        assert _files(store.path) == ["config.json", "proposals.jsonl"]

    def test_what_a_search_begins_with(self, store):
        assert store.read_initial() == []
        store.write_initial([{"id": "0-0"}])
        assert store.read_initial() == [{"id": "0-0"}]


class TestConfig:
    def test_it_is_replaced_and_the_lists_stay_readable(self, store):
        store.append_history({"id": "0-1"})
        store.write_config({**store.read_config(), "num_generations": 7})
        opened = RunStore.open(store.path)
        assert opened.read_config()["num_generations"] == 7
        assert opened.read_history() == [{"id": "0-1"}]

    @pytest.mark.parametrize("change", [{"seed": 4}, {"run": "0" * 32}, {"more": 1}])
    def test_a_change_by_hand_is_found_out(self, store, change):
        path = store.path / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(StoreError, match=r"config\.json is not as it was written: .*--resume"):
            RunStore.open(store.path)

    @pytest.mark.parametrize("name", ["run", "crc32"])
    def test_neither_the_identity_nor_the_checksum_can_be_left_out(self, store, name):
        path = store.path / "config.json"
        config = json.loads(path.read_text())
        del config[name]
        path.write_text(json.dumps(config))
        with pytest.raises(StoreError, match="not as it was written"):
            RunStore.open(store.path)

    def test_a_run_that_was_made_by_hand_is_not_sealed(self, store, tmp_path):
        assert RunStore.open(store.path).sealed
        (tmp_path / "config.json").write_text('{"seed": 3}')
        (tmp_path / "history.jsonl").write_text('{"id": "0-1"}\n')
        by_hand = RunStore.open(tmp_path)
        assert not by_hand.sealed
        assert by_hand.read_history() == [{"id": "0-1"}]


class TestLock:
    def test_one_search_at_a_time(self, store):
        other = RunStore.open(store.path)
        with pytest.raises(StoreError, match=r"another search is writing to .*run; wait for its"):
            other.lock()
        assert other.is_locked()
        store.release()
        assert not other.is_locked()
        other.lock()
        assert store.is_locked()

    def test_the_end_of_a_process_ends_its_lock(self, store):
        store.release()
        script = f"""
from lemonade_tf.store import RunStore
RunStore.open({str(store.path)!r}).lock()
print("locked", flush=True)
input()
"""
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        with process:
            assert process.stdout.readline() == b"locked\n"
            assert store.is_locked()
            process.kill()
            process.wait()
            assert not store.is_locked()


class TestModels:
    def _stage(self, store, id_, content=b"weights"):
        store.staging_path(id_).write_bytes(content)
        return store.adopt_model(id_)

    def test_adopting(self, store):
        described = self._stage(store, "12-7")
        assert described == {"bytes": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}
        store.check_model("12-7", described)
        assert store.num_bytes() == 7
        self._stage(store, "12-7", b"newer")
        with pytest.raises(StoreError, match=r"12-7\.h5 is not the file .*: 5 bytes, expected 7"):
            store.check_model("12-7", described)
        assert store.model_path("12-7").read_bytes() == b"newer"
        assert _files(store.path) == ["config.json", "models/12-7.h5"]

    def test_adopting_what_is_not_there(self, store):
        with pytest.raises(StoreError, match=r"network 12-7 cannot .*staging/12-7\..*h5 is not th"):
            store.adopt_model("12-7")

    def test_finding(self, store):
        for id_ in ("10-2", "9-1", "9-12"):
            self._stage(store, id_)
        (store.path / "models/.9-1.4711.unfinished.h5").touch()
        assert store.find_model("9-12") == store.path / "models/9-12.h5"
        for unknown in ("9-2", "../models/9-1", ".9-1.4711.unfinished", ""):
            with pytest.raises(StoreError, match=r"models; known are 9-1, 10-2, 9-12\.$"):
                store.find_model(unknown)

    def test_finding_among_none(self, store):
        with pytest.raises(StoreError, match=r"no network '0-0' in .*; known are none"):
            store.find_model("0-0")

    def test_keeping(self, store):
        for id_ in ("0-1", "1-2", "1-3"):
            self._stage(store, id_)
        for name in ("README", "mine.h5"):
            (store.path / "models" / name).touch()
        store.keep_models(["1-2", "9-9"])
        assert _files(store.path / "models") == ["1-2.h5", "README", "mine.h5"]

    def test_pinned_ones_stay(self, store):
        for id_ in ("0-1", "1-2", "1-3", "1-4"):
            self._stage(store, id_)
        store.pin(["1-3"])
        store.pin(["0-1", "1-3"])
        assert store.read_pinned() == {"0-1", "1-3"}
        store.keep_models(["1-2"])
        assert _files(store.path / "models") == ["0-1.h5", "1-2.h5", "1-3.h5"]

    def test_files_of_further_data_sets_go_with_those_of_the_first(self, store):
        for id_ in ("0-1", "0-1.flowers", "1-2", "1-2.flowers", "1-3", "1-3.flowers", "1-3.mine"):
            self._stage(store, id_)
        store.pin(["1-2", "1-3.flowers"])
        store.keep_models([], further=["flowers"])
        kept = ["1-2.flowers.h5", "1-2.h5", "1-3.flowers.h5", "1-3.mine.h5"]
        assert _files(store.path / "models") == kept

    @pytest.mark.parametrize("id_", ["9-9", "../config"])
    def test_pinning_what_is_not_there(self, store, id_):
        self._stage(store, "0-1")
        with pytest.raises(StoreError, match=rf"no network '{id_}' .*; known are 0-1\."):
            store.pin(["0-1", id_])
        assert store.read_pinned() == set()

    def test_a_network_that_is_gone(self, store):
        described = self._stage(store, "0-1")
        store.model_path("0-1").unlink()
        with pytest.raises(StoreError, match=r"0-1\.h5 is not there; the search needs it: rest"):
            store.check_model("0-1", described)

    def test_clearing_the_staging(self, store):
        store.staging_path("0-1").touch()
        (store.path / ".front.4711.unfinished.csv").touch()  # of a search that was killed
        store.clear_staging()
        assert _files(store.path) == ["config.json"]

    @pytest.mark.parametrize("id_", ["", ".", "../1-2", "a/b", "a\\b", "-rf", "1 2", "a" * 101, 7])
    def test_ids_are_names_of_files(self, store, id_):
        for path in (store.model_path, store.staging_path):
            with pytest.raises(ValueError, match="cannot be the name of a file; expected up to"):
                path(id_)


class TestFront:
    ROWS = (
        {"id": "1-2", "parameters": 1000, "error": 0.25, "test_error": 0.3},
        {"id": "0-1", "parameters": 20, "error": 1 / 3, "file_bytes": 7},
    )

    def test_columns(self, store):
        store.write_front(self.ROWS, ["error", "parameters"])
        assert (store.path / "front.csv").read_text() == (
            "id,file,error,parameters,test_error\n"
            "1-2,models/1-2.h5,0.25,1000,0.3\n"
            "0-1,models/0-1.h5,0.3333333333333333,20,\n"
        )

    def test_columns_after_the_test_error(self, store):
        rows = [{**self.ROWS[0], "test_error_flowers": 0.4}, self.ROWS[1]]
        store.write_front(rows, ["error"], ["test_error_flowers"])
        assert (store.path / "front.csv").read_text() == (
            "id,file,error,test_error,test_error_flowers\n"
            "1-2,models/1-2.h5,0.25,0.3,0.4\n"
            "0-1,models/0-1.h5,0.3333333333333333,,\n"
        )

    def test_it_is_replaced(self, store):
        for number in (2, 1, 0):
            store.write_front(self.ROWS[:number], ["error"])
            with (store.path / "front.csv").open() as file:
                assert len(list(csv.DictReader(file))) == number
        assert _files(store.path) == ["config.json", "front.csv"]


def _fail_with(number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    return fail


FULL = [
    (errno.ENOSPC, "No space left on device; free some space there, or choose another --workdir"),
    (errno.EDQUOT, "quota is used up: delete something, or choose another --workdir"),
    (errno.EROFS, "Read-only file system; choose a --workdir that can be written to"),
    (errno.EACCES, "Permission denied; choose a --workdir that you may write to"),
    (errno.EIO, "Input/output error; see to it, or choose another --workdir"),
]


class TestFullDisk:
    @pytest.mark.parametrize(("number", "message"), FULL)
    @pytest.mark.parametrize("call", ["fsync", "write"])
    def test_lists_stay_as_they_were(self, store, monkeypatch, number, message, call):
        store.append_history({"id": "0-1"})
        with monkeypatch.context() as patch:
            patch.setattr(os, call, _fail_with(number))
            with pytest.raises(StoreError, match=rf"history\.jsonl: .*{message}\.$"):
                store.append_history({"id": "0-2"})
        assert store.read_history() == [{"id": "0-1"}]
        store.append_history({"id": "0-3"})
        assert store.read_history() == [{"id": "0-1"}, {"id": "0-3"}]

    def test_the_front_stays_as_it_was(self, store, monkeypatch):
        store.write_front(TestFront.ROWS, ["error"])
        before = (store.path / "front.csv").read_bytes()
        monkeypatch.setattr(os, "fsync", _fail_with(errno.ENOSPC))
        with pytest.raises(StoreError, match=r"front\.csv: No space left on device; free"):
            store.write_front([], ["error"])
        assert (store.path / "front.csv").read_bytes() == before
        assert _files(store.path) == ["config.json", "front.csv"]

    def test_a_model_stays_as_it_was(self, store, monkeypatch):
        store.staging_path("0-1").touch()
        monkeypatch.setattr(os, "replace", _fail_with(errno.ENOSPC))
        with pytest.raises(StoreError, match=r"models/0-1\.h5: No space left on device; free"):
            store.adopt_model("0-1")

    def test_a_limit_in_the_middle_of_a_batch(self, store):
        """The kernel itself cuts the write short."""
        script = f"""
import resource
from lemonade_tf.store import RunStore, StoreError
store = RunStore.open({str(store.path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
store.append_proposals([{{"id": "0-1"}}])
try:
    store.append_proposals([{{"id": f"1-{{n}}"}} for n in range(1000)])
except StoreError as error:
    print(error)
"""
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert "proposals.jsonl: File too large; raise the limit" in done.stdout
        assert done.stderr == ""
        lines = (store.path / "proposals.jsonl").read_text()
        assert len(lines.splitlines()) == 1
        assert store.read_proposals() == [{"id": "0-1"}]


def test_a_folder_for_pictures_is_made_when_one_is_asked_for(store):
    assert store.plot_path("a.png") == store.plot_path("a.png") == store.path / "plots" / "a.png"
    assert (store.path / "plots").is_dir()
    (store.path / "plots").rmdir()
    (store.path / "plots").touch()
    with pytest.raises(StoreError, match=r"plots: File exists; choose a --workdir"):
        store.plot_path("a.png")
