"""The files of a run's networks: adopted whole, checked, kept while they are needed."""

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


def test_adopting(store):
    described = _stage(store, "12-7")
    assert described == FileRecord(7, hashlib.sha256(b"weights").hexdigest())
    store.models.check("12-7", described)
    assert store.models.num_bytes() == 7
    _stage(store, "12-7", b"newer")
    with pytest.raises(StoreError, match=r"12-7\.h5 is not the file .*: 5 bytes, expected 7"):
        store.models.check("12-7", described)
    assert store.models.path("12-7").read_bytes() == b"newer"
    assert files_in(store.path) == ["config.json", "models/12-7.h5"]


def test_adopting_what_is_not_there(store):
    with pytest.raises(StoreError, match=r"network 12-7 cannot .*staging/12-7\..*h5 is not th"):
        store.models.adopt("12-7")


def test_finding(store):
    for id_ in ("10-2", "9-1", "9-12"):
        _stage(store, id_)
    (store.path / "models/.9-1.4711.unfinished.h5").touch()
    assert store.models.find("9-12") == store.path / "models/9-12.h5"
    for unknown in ("9-2", "../models/9-1", ".9-1.4711.unfinished", ""):
        with pytest.raises(StoreError, match=r"models; known are 9-1, 10-2, 9-12\.$"):
            store.models.find(unknown)


def test_finding_among_none(store):
    with pytest.raises(StoreError, match=r"no network '0-0' in .*; known are none"):
        store.models.find("0-0")


def test_keeping(store):
    for id_ in ("0-1", "1-2", "1-3"):
        _stage(store, id_)
    for name in ("README", "mine.h5"):
        (store.path / "models" / name).touch()
    store.models.keep(["1-2", "9-9"])
    assert files_in(store.path / "models") == ["1-2.h5", "README", "mine.h5"]


def test_pinned_ones_stay(store):
    for id_ in ("0-1", "1-2", "1-3", "1-4"):
        _stage(store, id_)
    store.models.pin(["1-3"])
    store.models.pin(["0-1", "1-3"])
    assert store.models.read_pinned() == {"0-1", "1-3"}
    store.models.keep(["1-2"])
    assert files_in(store.path / "models") == ["0-1.h5", "1-2.h5", "1-3.h5"]


def test_files_of_further_data_sets_go_with_those_of_the_first(store):
    for id_ in ("0-1", "0-1.flowers", "1-2", "1-2.flowers", "1-3", "1-3.flowers", "1-3.mine"):
        _stage(store, id_)
    store.models.pin(["1-2", "1-3.flowers"])
    store.models.keep([], further=["flowers"])
    kept = ["1-2.flowers.h5", "1-2.h5", "1-3.flowers.h5", "1-3.mine.h5"]
    assert files_in(store.path / "models") == kept


def test_pinning_at_the_same_time_loses_none(store):
    ids = [f"0-{number}" for number in range(20)]
    for id_ in ids:
        _stage(store, id_)
    with ThreadPool(8) as pool:
        pool.map(lambda id_: RunStore.open(store.path).models.pin([id_]), ids)
    assert store.models.read_pinned() == set(ids)


def test_none_is_removed_while_it_is_pinned(store, monkeypatch):
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


def test_one_that_vanishes_while_it_is_pinned(store, monkeypatch):
    _stage(store, "0-1")
    monkeypatch.setattr(model_files, "write_atomic", lambda *_: store.models.path("0-1").unlink())
    with pytest.raises(StoreError, match="there is no network '0-1'"):
        store.models.pin(["0-1"])


def test_pinning_does_not_wait_for_ever(store, monkeypatch):
    _stage(store, "0-1")
    monkeypatch.setattr(model_files, "_PATIENCE", 0.05)
    descriptor = lock_folder(store.models.folder)
    with pytest.raises(StoreError, match=r"pinning or removing networks in .*; give the same"):
        store.models.pin(["0-1"])
    os.close(descriptor)
    store.models.pin(["0-1"])


@pytest.mark.parametrize("id_", ["9-9", "../config"])
def test_pinning_what_is_not_there(store, id_):
    _stage(store, "0-1")
    with pytest.raises(StoreError, match=rf"no network '{id_}' .*; known are 0-1\."):
        store.models.pin(["0-1", id_])
    assert store.models.read_pinned() == set()


def test_a_network_that_is_gone(store):
    described = _stage(store, "0-1")
    store.models.path("0-1").unlink()
    with pytest.raises(StoreError, match=r"0-1\.h5 is not there; the search needs it: rest"):
        store.models.check("0-1", described)


@pytest.fixture
def ended():
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


LEFT = ["staging/0-1.{}.h5", "staging/0-1.flowers.{}.h5", "staging/.0-1.1.{}.unfinished.h5"]
LEFT += [".front.{}.unfinished.csv", ".pinned.{}.unfinished.txt"]


@pytest.mark.parametrize("name", LEFT)
def test_clearing_the_staging(store, ended, name):
    lives = os.getppid()
    for process in (os.getpid(), lives, ended, 10**30):
        (store.path / name.format(process)).touch()
    store.models.clear_staging()
    assert files_in(store.path) == sorted(["config.json", name.format(lives)])


def test_clearing_what_has_no_writer(store):
    (store.path / "staging" / "notes").touch()
    (store.path / ".mine").touch()
    store.models.clear_staging()
    assert files_in(store.path) == [".mine", "config.json"]


def test_what_another_user_is_writing_stays(store, monkeypatch):
    def kill(process, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", kill)
    (store.path / "staging" / "0-1.4711.h5").touch()
    store.models.clear_staging()
    assert files_in(store.path) == ["config.json", "staging/0-1.4711.h5"]


@pytest.mark.parametrize("id_", ["", ".", "../1-2", "a/b", "a\\b", "-rf", "1 2", "a" * 101, 7])
def test_ids_are_names_offiles_in(store, id_):
    for path in (store.models.path, store.models.staging_path):
        with pytest.raises(ValueError, match="cannot be the name of a file; expected up to"):
            path(id_)
