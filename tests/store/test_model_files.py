"""The files of a run's networks: adopted atomically, checked, kept while they are needed."""

import hashlib
import os
import subprocess
import sys
from multiprocessing.pool import ThreadPool

import pytest
from run_folders import files_in

from lemonade_tf.store import FileRecord, RunStore, StoreError, model_files
from lemonade_tf.store.atomic import write_atomic
from lemonade_tf.store.locks import lock_folder


def _stage(store, id_, content=b"weights"):
    store.models.staging_path(id_).write_bytes(content)
    return store.models.adopt(id_)


def test_an_adopted_file_is_checked_by_size_and_checksum(store):
    described = _stage(store, "12-7")
    assert described == FileRecord(7, hashlib.sha256(b"weights").hexdigest())
    store.models.check("12-7", described)
    assert store.models.num_bytes() == 7
    _stage(store, "12-7", b"newer")
    with pytest.raises(StoreError, match=r"12-7\.h5 has changed .*: 5 bytes; expected 7"):
        store.models.check("12-7", described)
    assert store.models.path("12-7").read_bytes() == b"newer"
    assert files_in(store.path) == ["config.json", "models/12-7.h5"]


def test_adopting_a_missing_file_is_refused(store):
    with pytest.raises(StoreError, match=r"network 12-7 cannot .*staging/12-7\..*h5 is missing"):
        store.models.adopt("12-7")


def test_unknown_networks_are_refused_with_the_known_ones(store):
    for id_ in ("10-2", "9-1", "9-12"):
        _stage(store, id_)
    (store.path / "models/.9-1.4711.unfinished.h5").touch()
    assert store.models.find("9-12") == store.path / "models/9-12.h5"
    for unknown in ("9-2", "../models/9-1", ".9-1.4711.unfinished", ""):
        with pytest.raises(StoreError, match=r"models; known are 9-1, 10-2, 9-12\.$"):
            store.models.find(unknown)


def test_without_networks_none_is_known(store):
    with pytest.raises(StoreError, match=r"network '0-0' is not in .*; known are none"):
        store.models.find("0-0")


def test_networks_that_are_not_kept_are_removed_and_other_files_stay(store):
    for id_ in ("0-1", "1-2", "1-3"):
        _stage(store, id_)
    for name in ("README", "mine.h5"):
        (store.path / "models" / name).touch()
    store.models.keep(["1-2", "9-9"])
    assert files_in(store.path / "models") == ["1-2.h5", "README", "mine.h5"]


def test_pinned_networks_stay(store):
    for id_ in ("0-1", "1-2", "1-3", "1-4"):
        _stage(store, id_)
    store.models.pin(["1-3"])
    store.models.pin(["0-1", "1-3"])
    assert store.models.read_pinned() == {"0-1", "1-3"}
    store.models.keep(["1-2"])
    assert files_in(store.path / "models") == ["0-1.h5", "1-2.h5", "1-3.h5"]


def test_files_for_extra_data_sets_are_removed_with_those_for_the_first(store):
    for id_ in ("0-1", "0-1.flowers", "1-2", "1-2.flowers", "1-3", "1-3.flowers", "1-3.mine"):
        _stage(store, id_)
    store.models.pin(["1-2", "1-3.flowers"])
    store.models.keep([], extra_datasets=["flowers"])
    kept = ["1-2.flowers.h5", "1-2.h5", "1-3.flowers.h5", "1-3.mine.h5"]
    assert files_in(store.path / "models") == kept


def test_pinning_concurrently_loses_none(store):
    ids = [f"0-{number}" for number in range(20)]
    for id_ in ids:
        _stage(store, id_)
    with ThreadPool(8) as pool:
        pool.map(lambda id_: RunStore.open(store.path).models.pin([id_]), ids)
    assert store.models.read_pinned() == set(ids)


def test_no_network_is_removed_while_it_is_pinned(store, monkeypatch):
    def write(path, content):
        store.models.keep([])  # of the search, at the worst moment
        write_atomic(path, content)

    _stage(store, "0-1")
    with monkeypatch.context() as patch:
        patch.setattr(model_files, "write_atomic", write)
        RunStore.open(store.path).models.pin(["0-1"])
    assert store.models.find("0-1").exists()
    store.models.keep([])
    assert store.models.find("0-1").exists()


def test_a_network_that_vanishes_while_it_is_pinned_is_an_error(store, monkeypatch):
    _stage(store, "0-1")
    monkeypatch.setattr(model_files, "write_atomic", lambda *_: store.models.path("0-1").unlink())
    with pytest.raises(StoreError, match="network '0-1' is not in"):
        store.models.pin(["0-1"])


def test_pinning_waits_for_the_lock_only_so_long(store, monkeypatch):
    _stage(store, "0-1")
    monkeypatch.setattr(model_files, "_PIN_SECONDS", 0.05)
    descriptor = lock_folder(store.models.folder)
    with pytest.raises(
        StoreError, match=r"models is locked by another process.*; rerun the command"
    ):
        store.models.pin(["0-1"])
    os.close(descriptor)
    store.models.pin(["0-1"])


@pytest.mark.parametrize("id_", ["9-9", "../config"])
def test_pinning_an_unknown_network_pins_none(store, id_):
    _stage(store, "0-1")
    with pytest.raises(StoreError, match=rf"network '{id_}' is not .*; known are 0-1\."):
        store.models.pin(["0-1", id_])
    assert store.models.read_pinned() == set()


def test_checking_a_missing_file_is_an_error(store):
    described = _stage(store, "0-1")
    store.models.path("0-1").unlink()
    with pytest.raises(StoreError, match=r"0-1\.h5 is missing; the search needs it: rest"):
        store.models.check("0-1", described)


@pytest.fixture
def ended():
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


LEFT = ["staging/0-1.{}.h5", "staging/0-1.flowers.{}.h5", "staging/.0-1.1.{}.unfinished.h5"]
LEFT += [".front.{}.unfinished.csv", ".pinned.{}.unfinished.txt"]


@pytest.mark.parametrize("name", LEFT)
def test_unfinished_files_of_live_processes_only_stay(store, ended, name):
    lives = os.getppid()
    for process in (os.getpid(), lives, ended, 10**30):
        (store.path / name.format(process)).touch()
    store.models.clear_staging()
    assert files_in(store.path) == sorted(["config.json", name.format(lives)])


def test_staged_files_without_a_process_id_are_removed(store):
    (store.path / "staging" / "notes").touch()
    (store.path / ".mine").touch()
    store.models.clear_staging()
    assert files_in(store.path) == [".mine", "config.json"]


def test_files_of_processes_of_other_users_stay(store, monkeypatch):
    def kill(process, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    (store.path / "staging" / "0-1.4711.h5").touch()
    store.models.clear_staging()
    assert files_in(store.path) == ["config.json", "staging/0-1.4711.h5"]


@pytest.mark.parametrize("id_", ["", ".", "../1-2", "a/b", "a\\b", "-rf", "1 2", "a" * 101, 7])
def test_ids_that_cannot_be_file_names_are_refused(store, id_):
    for path in (store.models.path, store.models.staging_path):
        with pytest.raises(ValueError, match="expected 1 to 100 letters"):
            path(id_)
