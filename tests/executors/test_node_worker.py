"""A worker on a node, without Ray: the files of its tasks, its output, its environment."""

import os
import pickle
import threading
import time
from pathlib import Path

import executor_toys as toys
import numpy as np
import pytest

from lemonade_tf.executors.node_worker import NodeConfig, NodeWorker


@pytest.fixture(autouse=True)
def environment():
    """Restore the environment, which a worker changes, after the test."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a worker in a folder of its own; return it."""
    (tmp_path / "node").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "node"))
    monkeypatch.setattr("sys.path", list(__import__("sys").path))
    workers = []

    def start(setup=toys.plain, **options):
        given = {"threads": 1, "gpus": 0.0, "max_tasks_per_worker": 9, "task_timeout": None}
        config = NodeConfig(
            key="key", setup=pickle.dumps(setup), path=(), preload=(), **{**given, **options}
        )
        worker = NodeWorker(config)
        workers.append(worker)
        assert worker.start({}) is None
        return worker

    for name in ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH"):
        monkeypatch.setenv(name, "before")
        monkeypatch.delenv(name)
    yield start
    for worker in workers:
        worker._executor.close()
        worker.leave()


def _bytes(text):
    return np.frombuffer(text.encode(), np.uint8)


def _text(content):
    return content.tobytes().decode()


def test_a_task_works_on_copies_of_its_files(start, tmp_path):
    worker = start()
    task = toys.Copy("/driver/parent.h5", "/driver/child.h5")
    reply = worker.run(pickle.dumps(task), ["/driver/parent.h5"], _bytes("weights"))
    _, copy = reply.result
    assert copy.startswith(str(tmp_path / "node"))
    assert Path(copy).name == "parent.h5"
    assert {path: _text(content) for path, content in reply.files.items()} == {
        "/driver/child.h5": "weights"
    }
    assert not os.path.exists(copy)


def test_updated_files_are_read_while_the_task_runs(start):
    worker = start()
    task = toys.Copy("/driver/a", "/driver/b", "/driver/counter", last=8)
    replies = []
    arguments = ["/driver/a", "/driver/counter"], _bytes("a"), _bytes("3")
    thread = threading.Thread(
        target=lambda: replies.append(worker.run(pickle.dumps(task), *arguments))
    )
    thread.start()
    read = []
    while thread.is_alive():
        read += [int(_text(content)) for content in worker.read_updates().values()]
        time.sleep(0.02)
    [reply] = replies
    assert reply.result[0] == 3
    assert read == sorted(set(read))
    assert len(read) >= 3
    assert set(read) <= {3, 4, 5, 6, 7, 8}
    assert _text(reply.files["/driver/counter"]) == "8"
    assert worker.read_updates() == {}


def test_a_missing_file_is_reported_by_the_task(start):
    reply = start().run(pickle.dumps(toys.Copy("/driver/a", "/driver/b")), [])
    assert reply.cause == "raised"
    assert reply.failure.startswith("FileNotFoundError")
    assert reply.files == {}


def test_a_full_disk_is_a_failure(start, monkeypatch):
    def fail(task):
        raise OSError(28, "No space left on device")

    worker = start()
    monkeypatch.setattr("lemonade_tf.executors.node_worker.files_of", fail)
    reply = worker.run(pickle.dumps(("square", 2)), [])
    assert (reply.failure, reply.cause) == ("OSError: [Errno 28] No space left on device", "raised")


def test_the_output_is_returned_with_the_reply(start):
    worker = start()
    outputs = [worker.run(pickle.dumps(("shout",)), []).output for _ in range(2)]
    assert outputs == 2 * [b"this is standard output\nthis is standard error\n"]
    assert worker.run(pickle.dumps(("square", 2)), []).output == b""


@pytest.mark.parametrize(
    ("gpus", "visible", "growth"), [(0.0, "", None), (0.5, None, "true"), (1.0, None, None)]
)
def test_the_environment_suits_the_share_of_a_gpu(start, gpus, visible, growth):
    task = ("environment", "CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH", "OMP_NUM_THREADS")
    reply = start(gpus=gpus, threads=2).run(pickle.dumps(task), [])
    assert reply.result == [visible, growth, "2"]


def test_a_failing_setup_returns_its_message(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    config = NodeConfig("key", pickle.dumps(toys.missing_data), (), 1, 0.0, 9, None, ())
    message, log = NodeWorker(config).start({})
    assert message == "There is no file /data/mine.npz; give another path."
    assert "in missing_data" in log
    assert list(tmp_path.iterdir()) == []
