import struct
import subprocess
import sys
import time

import pytest
from tensorboardX.proto.event_pb2 import Event
from toy_training import cut, toy_search

from lemonade_tf.report import read_run


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


def test_every_network_is_a_step(run):
    found = values(run.store.path / "tensorboard")
    errors = found["network/error"]
    assert [errors[n].simple_value for n in range(1, len(run.history) + 1)] == pytest.approx(
        [line["objectives"]["error"] for line in run.history]
    )
    assert len(found["seconds/train"]) == len(run.history)
    distilled = [line["epsilon"] for line in run.history if line["epsilon"] is not None]
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


def test_a_resumed_search_goes_on_where_it_was(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)  # within the same second
    workdir = cut(tmp_path / "run", 6, tensorboard=True)
    toy_search(workdir, in_process=True, tensorboard=True, resume=True)
    history = read_run(workdir).history
    assert sorted(values(workdir / "tensorboard")["network/error"]) == list(
        range(1, len(history) + 1)
    )


def test_nothing_is_written_unless_asked_for(tmp_path):
    toy_search(tmp_path / "run", in_process=True, num_generations=0)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_tensorflow_is_not_loaded():
    script = """
import sys
import tensorboardX, lemonade_tf.tensorboard
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
