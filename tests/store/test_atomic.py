"""Files that are written atomically."""

import os

import pytest

from lemonade_tf.store import atomic
from lemonade_tf.store.atomic import make_folder, publish, replacing, write_atomic


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "file.txt"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_an_existing_file_is_unchanged_when_writing_fails(tmp_path):
    path = tmp_path / "file.h5"
    write_atomic(path, b"whole")

    def fail():
        with replacing(path) as unfinished:
            assert unfinished.suffix == ".h5"
            assert unfinished != path
            unfinished.write_bytes(b"ha")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file.h5"]


def test_failed_writing_leaves_no_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(tmp_path / "file", b"content")
    assert os.listdir(tmp_path) == []


def test_publishing_moves_the_file(tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    publish(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == ["b"]


def test_folders_are_created_durably(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(atomic, "sync", flushed.append)
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a")
    assert flushed == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "a", exist_ok=False)
