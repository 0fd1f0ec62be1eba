"""The folder that the workers of a node share."""

import os
import time

import numpy as np
import pytest

from lemonade_tf.executors.node_folder import NodeFolder


def _content():
    return np.frombuffer(b"images", np.uint8)


def test_a_shared_file_is_written_once(tmp_path):
    first, second = NodeFolder("key", tmp_path), NodeFolder("key", tmp_path)
    path = first.add("setup/0/x.npy", _content)
    assert path.read_bytes() == b"images"
    assert second.add("setup/0/x.npy", pytest.fail) == path


def test_the_last_worker_removes_the_folder(tmp_path):
    first, second = NodeFolder("key", tmp_path), NodeFolder("key", tmp_path)
    (first.path / "file").touch()
    first.leave()
    first.leave()
    assert second.path.is_dir()
    second.leave()
    assert list(tmp_path.iterdir()) == []


def test_the_folders_of_killed_workers_are_removed(tmp_path):
    used, killed = NodeFolder("used", tmp_path), NodeFolder("killed", tmp_path)
    os.close(killed._lock)  # as the system does
    young = NodeFolder("young", tmp_path)
    os.close(young._lock)
    for folder in (used, killed):
        os.utime(folder.path, 2 * (time.time() - 3600,))
    new = NodeFolder("new", tmp_path)
    assert set(tmp_path.iterdir()) == {used.path, young.path, new.path}
