"""The run folder: what was written is complete, whatever happens."""

import csv
import errno
import fcntl
import json
import os
import resource
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import CONFIG, files_in, network

from lemonade_tf.store import (
    ExtraDatasetRecord,
    FileRecord,
    InitialRecord,
    RunStore,
    StoreError,
    make_new_folder,
)
from lemonade_tf.store.locks import lock_folder

ROOT = Path(__file__).parents[2]
INITIAL = InitialRecord("0-1", "a.h5", FileRecord(3, "ab"), "{}")
OTHER = replace(INITIAL, id="0-2")


def _identity(store):
    """The run's id, which no two runs share."""
    return json.loads((store.path / "config.json").read_text())["run_id"]


class TestCreate:
    def test_folders_are_created(self, tmp_path):
        store = RunStore.create(tmp_path / "a/b", CONFIG)
        assert store.read_config() == CONFIG
        assert len(_identity(store)) == 32
        assert store.history.read() == store.proposals.read() == []
        assert files_in(tmp_path) == ["a/b/config.json"]

    def test_other_files_are_left_alone(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        RunStore.create(tmp_path, CONFIG)
        assert (tmp_path / "notes.txt").read_text() == "mine"

    @pytest.mark.parametrize("name", ["config.json", "history.jsonl"])
    def test_an_existing_run_is_refused(self, tmp_path, name):
        (tmp_path / name).write_text("{}")
        with pytest.raises(StoreError) as error:
            RunStore.create(tmp_path, CONFIG)
        assert str(error.value) == (
            f"{tmp_path} already holds a run ({name}); choose another --workdir, or continue that"
            f" run with lemonade-tf search --workdir {tmp_path} --resume"
        )
        assert files_in(tmp_path) == [name]

    @pytest.mark.parametrize("below", ["", "/run"])
    def test_a_file_instead_of_a_folder_is_refused(self, tmp_path, below):
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match=r"/file.*; expected a folder"):
            RunStore.create(f"{tmp_path}/file{below}", CONFIG)

    def test_a_folder_without_permission_is_refused(self, tmp_path, monkeypatch):
        def mkdir(*arguments, **options):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", mkdir)
        with pytest.raises(StoreError, match=r"run: Permission denied; .* that you may write to"):
            RunStore.create(tmp_path / "run", CONFIG)

    def test_a_config_that_is_not_json_creates_nothing(self, tmp_path):
        with pytest.raises(ValueError, match="cannot be written as JSON"):
            RunStore.create(tmp_path / "run", replace(CONFIG, num_initial=float("nan")))
        assert not (tmp_path / "run").exists()


class TestInitial:
    def test_it_is_written_before_the_config(self, tmp_path, monkeypatch):
        def write_config(store, config):
            assert files_in(store.path) == ["initial.jsonl"]
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(RunStore, "write_config", write_config)
            with pytest.raises(KeyboardInterrupt):
                RunStore.create(tmp_path / "run", CONFIG, [INITIAL])
        assert not RunStore.holds_run(tmp_path / "run")
        store = RunStore.create(tmp_path / "run", CONFIG, [OTHER])
        assert RunStore.open(store.path).initial.read() == [OTHER]

    def test_that_of_a_search_killed_before_its_config_is_removed(self, tmp_path):
        (tmp_path / "initial.jsonl").write_text('{"id": "0-1"}\n')
        store = RunStore.create(tmp_path, CONFIG)
        assert store.initial.read() == []
        assert files_in(tmp_path) == ["config.json"]


def test_a_folder_that_cannot_be_used_is_unlocked(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _fail_with(errno.ENOSPC))
        with pytest.raises(StoreError, match="No space left"):
            RunStore.create(tmp_path, CONFIG)
    RunStore.create(tmp_path, CONFIG)


def test_a_new_folder_is_new_once(tmp_path):
    assert make_new_folder(tmp_path / "runs/digits-1")
    assert not make_new_folder(tmp_path / "runs/digits-1")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"digits-1: Not a directory; expected a folder"):
        make_new_folder(tmp_path / "file/digits-1")


class TestOpen:
    def test_a_created_run_can_be_opened(self, store):
        store.history.append([network("0-1")])
        opened = RunStore.open(str(store.path))
        assert opened.read_config() == CONFIG
        assert opened.history.read() == [network("0-1")]
        assert RunStore.holds_run(store.path)

    def test_a_folder_without_a_run_is_refused(self, tmp_path):
        assert not RunStore.holds_run(tmp_path)
        with pytest.raises(StoreError, match=r"holds no run; expected .*config\.json"):
            RunStore.open(tmp_path)

    def test_a_missing_folder_is_refused(self, tmp_path):
        assert not RunStore.holds_run(tmp_path / "run")
        with pytest.raises(StoreError, match="run is not a folder; expected the --workdir"):
            RunStore.open(tmp_path / "run")

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"{", r"config\.json is not JSON"), (b"[]", "is not a JSON object"), (b"\xff", "JSON")],
    )
    def test_a_damaged_config_is_refused(self, store, content, message):
        (store.path / "config.json").write_bytes(content)
        with pytest.raises(StoreError, match=message):
            store.read_config()


class TestConfig:
    def test_replacing_it_keeps_the_lists_readable(self, store):
        store.history.append([network("0-1")])
        identity = _identity(store)
        store.write_config(replace(store.read_config(), num_initial=7))
        opened = RunStore.open(store.path)
        assert opened.read_config().num_initial == 7
        assert _identity(opened) == identity
        assert opened.history.read() == [network("0-1")]

    @pytest.mark.parametrize("change", [{"seed": 4}, {"run_id": "0" * 32}, {"more": 1}])
    def test_an_edited_config_is_refused(self, store, change):
        path = store.path / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(StoreError, match=r"config\.json was edited or damaged: .*--resume"):
            RunStore.open(store.path)

    @pytest.mark.parametrize("name", ["run_id", "crc32"])
    def test_a_config_without_run_id_or_checksum_is_refused(self, store, name):
        path = store.path / "config.json"
        config = json.loads(path.read_text())
        del config[name]
        path.write_text(json.dumps(config))
        with pytest.raises(StoreError, match="was edited or damaged"):
            RunStore.open(store.path)

    @pytest.mark.parametrize(("change", "found"), [({}, 1), ({"format": 3}, 3)])
    def test_another_format_is_refused(self, tmp_path, change, found):
        (tmp_path / "config.json").write_text(json.dumps({"seed": 3, **change}))
        message = rf"is a run folder of format {found}; expected format 2\. Use the version"
        with pytest.raises(StoreError, match=message) as caught:
            RunStore.open(tmp_path)
        assert "\n" not in str(caught.value)

    def test_a_missing_key_is_named(self, store):
        values = CONFIG.as_json()
        del values["reference_point"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(CONFIG), "as_json", lambda _: values)
            store.write_config(CONFIG)
        with pytest.raises(StoreError, match=r"config\.json lacks 'reference_point'; restore it"):
            store.read_config()


class TestLock:
    def test_only_one_process_holds_the_lock(self, store):
        other = RunStore.open(store.path)
        with pytest.raises(StoreError, match=r"run is in use by another process; wait until"):
            other.lock()
        assert other.is_locked()
        store.release()
        assert not other.is_locked()
        other.lock()
        assert store.is_locked()

    def test_checking_the_lock_does_not_prevent_locking(self, store):
        store.release()
        checking = lock_folder(store.path, shared=True)  # as `is_locked` has it for a moment
        assert not RunStore.open(store.path).is_locked()
        timer = threading.Timer(0.1, os.close, [checking])
        timer.start()
        store.lock()
        timer.join()
        assert RunStore.open(store.path).is_locked()

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.EBADF])
    def test_a_file_system_without_locks_is_an_error(self, store, monkeypatch, number):
        store.release()
        monkeypatch.setattr(fcntl, "flock", _fail_with(number))
        num_open = len(os.listdir("/proc/self/fd"))
        for use in (store.lock, store.is_locked):
            with pytest.raises(StoreError, match=r"run cannot be locked: .*; use a folder"):
                use()
        assert len(os.listdir("/proc/self/fd")) == num_open

    def test_checking_the_lock_of_a_missing_folder_is_an_error(self, store):
        store.release()
        store.path.rename(store.path.with_name("elsewhere"))
        with pytest.raises(StoreError, match="run: No such file"):
            store.is_locked()

    def test_the_lock_of_a_killed_process_is_released(self, store):
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


class TestFront:
    RECORDS = (
        network("1-2", objectives={"error": 0.25, "parameters": 1000}, test_error=0.3),
        network("0-1", objectives={"error": 1 / 3, "parameters": 20}),
    )
    COLUMNS = ("error", "parameters", "test_error")

    def test_columns(self, store):
        store.write_front(map(store.front_row, self.RECORDS), self.COLUMNS)
        assert (store.path / "front.csv").read_text() == (
            "id,file,error,parameters,test_error\n"
            "1-2,models/1-2.h5,0.25,1000,0.3\n"
            "0-1,models/0-1.h5,0.3333333333333333,20,\n"
        )

    def test_columns_of_extra_data_sets(self, store):
        extra = {"flowers": ExtraDatasetRecord(0.4, 64, [], [], None)}
        row = store.front_row(replace(self.RECORDS[0], extra_datasets=extra))
        store.write_front([row], [*self.COLUMNS, "test_error_flowers"])
        assert (store.path / "front.csv").read_text() == (
            "id,file,error,parameters,test_error,test_error_flowers\n"
            "1-2,models/1-2.h5,0.25,1000,0.3,0.4\n"
        )

    def test_it_is_replaced(self, store):
        for number in (2, 1, 0):
            store.write_front(map(store.front_row, self.RECORDS[:number]), self.COLUMNS)
            with (store.path / "front.csv").open() as file:
                assert len(list(csv.DictReader(file))) == number
        assert files_in(store.path) == ["config.json", "front.csv"]


def _fail_with(number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    return fail


FULL = [
    (errno.ENOSPC, "No space left on device; free some space there, or use another folder"),
    (errno.EDQUOT, "quota is used up: delete files, or use another folder"),
    (errno.EROFS, "Read-only file system; use a folder on a writable disk"),
    (errno.EACCES, "Permission denied; use a folder that you may write to"),
    (errno.EIO, "Input/output error; fix this and rerun the command"),
]


class TestFullDisk:
    @pytest.mark.parametrize(("number", "message"), FULL)
    @pytest.mark.parametrize("call", ["fsync", "write"])
    def test_lists_are_unchanged_on_a_full_disk(self, store, monkeypatch, number, message, call):
        store.history.append([network("0-1")])
        with monkeypatch.context() as patch:
            patch.setattr(os, call, _fail_with(number))
            with pytest.raises(StoreError, match=rf"history\.jsonl: .*{message}\.$"):
                store.history.append([network("0-2")])
        assert store.history.read() == [network("0-1")]
        store.history.append([network("0-3")])
        assert store.history.read() == [network("0-1"), network("0-3")]

    def test_the_front_is_unchanged_on_a_full_disk(self, store, monkeypatch):
        store.write_front(map(store.front_row, TestFront.RECORDS), TestFront.COLUMNS)
        before = (store.path / "front.csv").read_bytes()
        monkeypatch.setattr(os, "fsync", _fail_with(errno.ENOSPC))
        with pytest.raises(StoreError, match=r"front\.csv: No space left on device; free"):
            store.write_front([], ["error"])
        assert (store.path / "front.csv").read_bytes() == before
        assert files_in(store.path) == ["config.json", "front.csv"]

    def test_adopting_on_a_full_disk_is_an_error(self, store, monkeypatch):
        store.models.staging_path("0-1").touch()
        monkeypatch.setattr(os, "replace", _fail_with(errno.ENOSPC))
        with pytest.raises(StoreError, match=r"models/0-1\.h5: No space left on device; free"):
            store.models.adopt("0-1")

    def test_a_batch_that_exceeds_a_limit_is_dropped_whole(self, store):
        script = f"""
import resource
from lemonade_tf.store import ProposalRecord, RunStore, StoreError
store = RunStore.open({str(store.path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))
def proposal(id_):
    return ProposalRecord(id_, 1, "0-0", [], {{}}, "accepted")
store.proposals.append([proposal("1-0")])
try:
    store.proposals.append([proposal(f"1-{{n}}") for n in range(1000)])
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
        assert [proposal.id for proposal in store.proposals.read()] == ["1-0"]


def test_the_folder_of_plots_is_created_on_demand(store):
    assert store.plot_path("a.png") == store.plot_path("a.png") == store.path / "plots" / "a.png"
    assert (store.path / "plots").is_dir()
    (store.path / "plots").rmdir()
    (store.path / "plots").touch()
    with pytest.raises(StoreError, match=r"plots: File exists; expected a folder"):
        store.plot_path("a.png")


# --- Folders of strangers ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["history.jsonl", "staging", "models", "plots", "logs", "models/0-0.h5", "logs/1.log"]
)
def test_links_to_other_places_are_refused(store, tmp_path, name):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "photo.jpg").touch()
    path = store.path / name
    if path.is_dir():
        path.rmdir()
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(mine)
    with pytest.raises(StoreError, match=rf"run/{name} is a link to another place"):
        RunStore.open(store.path)
    assert (mine / "photo.jpg").exists()


def test_other_links_in_the_folder_and_a_link_to_it_are_allowed(store, tmp_path):
    (store.path / "mine").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(store.path)
    RunStore.open(tmp_path / "link")


@pytest.mark.parametrize("text", ["[" * 10_000, "[]", "3", '{"format": [2]}', '{"format": 2}', ""])
def test_a_config_that_is_not_an_object_of_this_format_is_refused(store, text):
    (store.path / "config.json").write_text(text)
    with pytest.raises(StoreError, match=r"config\.json|format \[2\]") as refused:
        RunStore.open(store.path)
    assert len(str(refused.value).splitlines()) == 1
