"""Arrays in memory-mapped files: allocation, clean-up, and errors of the disk."""

import errno
import mmap
import os
import stat
import time

import numpy as np
import pytest

from lemonade_tf.datasets import array_files
from lemonade_tf.datasets.array_files import ArrayFile, ArrayFiles, read_ahead
from lemonade_tf.datasets.dataset_error import DatasetError


@pytest.fixture(autouse=True)
def _small_files(monkeypatch):
    monkeypatch.setattr(array_files, "_LARGE", 1000)


def _folders(cache_dir):
    return sorted(cache_dir.iterdir())


def test_small_arrays_need_no_folder(tmp_path):
    with ArrayFiles(tmp_path / "cache") as files:
        array = files.allocate((9, 10), np.int32)
    assert not isinstance(array, np.memmap)
    assert ArrayFile.of(array) is None
    assert not (tmp_path / "cache").exists()


def test_large_arrays_are_files_for_other_processes(tmp_path):
    with ArrayFiles(tmp_path / "cache") as files:
        first, second = (files.allocate((300, 2, 2, 1), np.uint8) for _ in range(2))
        first[...], second[...] = 1, 2
        reference = ArrayFile.of(first)
        opened = reference.open()
        np.testing.assert_array_equal(opened, first)
        assert (opened.dtype, opened.flags.writeable) == (np.uint8, False)
        [folder] = _folders(tmp_path / "cache")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(_folders(folder)) == 2
        assert ArrayFile.of(first[:100]) is None  # a part of a file
    assert _folders(tmp_path / "cache") == []
    np.testing.assert_array_equal(opened, first)  # what is mapped stays
    with pytest.raises(
        DatasetError, match=r"1\.npy, the images that workers share, cannot be read"
    ):
        reference.open()


def test_rows_are_read_ahead_with_their_pages_and_no_others(tmp_path, monkeypatch):
    asked = []

    class Mapped(mmap.mmap):
        def madvise(self, *arguments):
            asked.append(arguments)
            super().madvise(*arguments)

    np.save(tmp_path / "images.npy", np.zeros((20, 50_000), np.uint8))
    monkeypatch.setattr(mmap, "mmap", Mapped)
    array = np.load(tmp_path / "images.npy", mmap_mode="r")
    read_ahead(array, np.array([3, 7], np.int32))
    starts = 128 + 150_000, 128 + 350_000  # after the header
    pages = [start // mmap.PAGESIZE * mmap.PAGESIZE for start in starts]
    assert asked == [
        (mmap.MADV_WILLNEED, page, start + 50_000 - page)
        for page, start in zip(pages, starts, strict=True)
    ]
    read_ahead(np.zeros((20, 50_000), np.uint8), np.array([3]))
    assert len(asked) == 2


def test_the_space_on_the_disk_is_reserved(tmp_path):
    with ArrayFiles(tmp_path) as files:
        files.allocate((100_000,), np.uint8)
        [path] = tmp_path.glob("*/1.npy")
        assert path.stat().st_blocks * 512 >= 100_000


def test_without_a_call_to_reserve_space_zeros_are_written(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    with ArrayFiles(tmp_path) as files:
        array = files.allocate((3_000_000,), np.uint8)
        [path] = tmp_path.glob("*/1.npy")
        assert path.stat().st_blocks * 512 >= 2_900_000
        array[:] = 7
        assert (ArrayFile.of(array).open() == 7).all()


def test_folders_of_killed_processes_are_removed(tmp_path):
    abandoned, foreign = tmp_path / "lemonade_tf-images-old", tmp_path / "other"
    for folder in (abandoned, foreign):
        folder.mkdir()
        (folder / "1.npy").write_bytes(b"")
    with ArrayFiles(tmp_path) as used:
        used.allocate((1000,), np.uint8)
        assert abandoned in _folders(tmp_path)  # just made: perhaps not locked yet
        for folder in _folders(tmp_path):
            os.utime(folder, (0, time.time() - 3600))
        with ArrayFiles(tmp_path) as other:
            other.allocate((1000,), np.uint8)
            names = [folder.name for folder in _folders(tmp_path)]
        assert len(names) == 3  # two in use
        assert abandoned.name not in names
    assert _folders(tmp_path) == [foreign]


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    def reserve(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", reserve, raising=False)
    with (
        ArrayFiles(tmp_path) as files,
        pytest.raises(DatasetError, match=r"images take 15\.7 GB, .*No space left.*--cache_dir\.$"),
    ):
        files.allocate((1_281_167, 64, 64, 3), np.uint8)
    assert _folders(tmp_path) == []


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    files = ArrayFiles(tmp_path / "file")
    with pytest.raises(DatasetError, match=r"cannot be written to .*file: .*exists.* --cache_dir"):
        files.allocate((1000,), np.uint8)


def test_the_default_folder_is_on_a_disk_unless_the_user_chose_one(tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "_PERSISTENT_TEMPORARY", tmp_path)
    monkeypatch.delenv("TMPDIR", raising=False)
    with ArrayFiles() as files:
        files.allocate((1000,), np.uint8)
        assert len(_folders(tmp_path)) == 1
    monkeypatch.setenv("TMPDIR", str(tmp_path / "chosen"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "chosen"))
    with ArrayFiles() as files:
        files.allocate((1000,), np.uint8)
        assert len(_folders(tmp_path / "chosen")) == 1
