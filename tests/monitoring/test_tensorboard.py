"""Summaries for TensorBoard."""

import errno
import logging
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event
from toy_training import cut, toy_search

from lemonade_tf.monitoring.tensorboard import _EventFile
from lemonade_tf.runs import read_run

LOGGER = "lemonade_tf.monitoring.tensorboard"


def events(folder):
    """Return all events in a folder, file by file."""
    found = []
    for path in sorted(folder.glob("*tfevents*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def values(folder):
    """Return {tag: {step: value}}."""
    found = {}
    for event in events(folder):
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = value
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "run"
    toy_search(workdir, in_process=True, tensorboard=True)
    return read_run(workdir)


def test_every_network_has_a_step(run):
    found = values(run.store.path / "tensorboard")
    errors = found["network/error"]
    assert [errors[n].simple_value for n in range(1, len(run.history) + 1)] == pytest.approx(
        [line.objectives["error"] for line in run.history]
    )
    assert len(found["seconds/train"]) == len(run.history)
    distilled = [line.epsilon for line in run.history if line.epsilon is not None]
    assert 0 < len(distilled) < len(run.history)
    after = found["epsilon/after_distillation"]
    assert [after[n].simple_value for n in sorted(after)] == pytest.approx(
        [line["after"]["kl"] for line in distilled]
    )
    assert set(found) >= {"network/parameters", "network/test_error", "search/failed"}


def test_every_generation_has_its_front(run):
    found = values(run.store.path / "tensorboard")
    hypervolumes = found["search/hypervolume"]
    assert len(hypervolumes) == 4
    last = max(hypervolumes)
    assert hypervolumes[last].simple_value == pytest.approx(run.hypervolumes()[-1])
    assert found["search/front_size"][last].simple_value == len(run.front())
    image = found["front/parameters"][last].image
    assert (image.height, image.width) == (500, 750)
    assert image.encoded_image_string.startswith(b"\x89PNG")


def test_a_resumed_search_continues_the_steps(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # within the same second
    workdir = cut(tmp_path / "run", 6, tensorboard=True)
    toy_search(workdir, in_process=True, tensorboard=True, resume=True)
    history = read_run(workdir).history
    assert sorted(values(workdir / "tensorboard")["network/error"]) == list(
        range(1, len(history) + 1)
    )


def test_without_the_setting_nothing_is_written(tmp_path):
    toy_search(tmp_path / "run", in_process=True, num_generations=0)
    assert not (tmp_path / "run" / "tensorboard").exists()


def _to_a_full_disk(monkeypatch, after):
    """Simulate a disk with room for a number of events."""
    add, written = _EventFile._add, []

    def add_or_fail(self, step, **content):
        written.append(content)
        if len(written) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(self, step, **content)

    monkeypatch.setattr(_EventFile, "_add", add_or_fail)
    return written


@pytest.mark.parametrize("after", [0, 3, 40], ids=["search begin", "network", "later"])
def test_a_full_disk_is_one_warning(tmp_path, monkeypatch, caplog, run, after):
    written = _to_a_full_disk(monkeypatch, after)
    toy_search(tmp_path / "run", in_process=True, tensorboard=True)
    assert len(written) == after + 1
    assert len(read_run(tmp_path / "run").history) == len(run.history)
    [warning] = [record for record in caplog.records if record.name == LOGGER]
    assert warning.levelno == logging.WARNING
    message = f"{tmp_path / 'run' / 'tensorboard'}: no more TensorBoard summaries are written"
    assert warning.getMessage().startswith(
        f"{message} (OSError: [Errno 28] No space left on device)."
    )


def test_a_file_that_cannot_be_closed_leaves_the_run_folder_unlocked(tmp_path, monkeypatch, caplog):
    close = _EventFile.close

    def close_and_fail(self):
        close(self)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(_EventFile, "close", close_and_fail)
    for num_generations in (0, 1):
        toy_search(
            tmp_path / "run",
            in_process=True,
            tensorboard=True,
            num_generations=num_generations,
            resume=num_generations > 0,
        )
    assert sum(record.name == LOGGER for record in caplog.records) == 2


def test_a_limit_on_file_sizes_delays_neither_the_search_nor_its_end(tmp_path):
    script = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from toy_training import toy_search
from lemonade_tf.monitoring import tensorboard

flush = tensorboard._EventFile.flush

def limited(self):
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
    try:
        flush(self)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

tensorboard._EventFile.flush = limited
toy_search("run", in_process=True, tensorboard=True)
print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parents[1])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout == "ended\n"
    assert done.returncode == 0
    assert done.stderr.count("File too large") == 1


def test_tensorflow_is_not_loaded():
    script = """
import sys
import tensorboardX, lemonade_tf.monitoring.tensorboard
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
