import errno
import os
import sys
from contextlib import nullcontext
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest
from graphs import small

from lemonade_tf.architecture.text import to_json
from lemonade_tf.errors import LemonadeError
from lemonade_tf.executors.base import errno_of
from lemonade_tf.keras_bridge import load_record
from lemonade_tf.latency import measuring
from lemonade_tf.objectives import Objective, ObjectiveError, TrainedNetwork
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers import measured_objectives
from lemonade_tf.workers.child import train_child
from lemonade_tf.workers.measured_objectives import measure_objectives, prepare_objective
from lemonade_tf.workers.tasks import ChildTask, ObjectiveTask

LINEAR = {"scale": "linear", "reference": 1e9}
SEEN = {}


def _spread(trained):
    SEEN["probabilities"] = trained.probabilities
    SEEN["again"] = trained.model.predict(trained.images, verbose=0)
    assert trained.model is trained.model
    with h5py.File(trained.file) as file:
        assert "model_weights" in file
    SEEN["file"] = trained.file
    return float(trained.probabilities.std())


def _no_memory(trained):
    raise MemoryError("no more")


# `find_objective` finds them by the name of this module.
SPREAD = Objective("spread", measure=_spread, **LINEAR)
FAILING = Objective("failing", measure=lambda trained: 1 / 0, **LINEAR)
NOTHING = Objective("nothing", measure=lambda trained: float("nan"), **LINEAR)
GREEDY = Objective("greedy", measure=_no_memory, **LINEAR)
COUNTED = Objective(
    "counted",
    "log",
    lambda graph, found: found["factor"] * len(graph),
    prepare=lambda before: {"factor": len(before.graphs), "shape": before.images.shape},
)
GIVEN = {}
PREPARED = Objective("prepared", "log", len, prepare=lambda before: GIVEN["prepared"])
LEAVING = Objective("leaving", "log", len, prepare=lambda before: sys.exit("no table"))
DEEP = []
for _ in range(100):
    DEEP = [DEEP]
CIRCLE = []
CIRCLE.append(CIRCLE)


@pytest.fixture
def train(digits, tmp_path):
    def train(*objectives):
        seed = np.random.SeedSequence(3)
        graph = to_json(small(shape=(8, 8, 1), num_classes=10).copy(weights=False))
        task = ChildTask(
            "0-0", (), str(tmp_path / "a.h5"), seed, seed, architecture=graph, objectives=objectives
        )
        return train_child(task, digits, TrainingSettings(epochs=1, batch_size=64))

    return train


def test_objectives_are_measured_on_the_trained_network(train, digits, tmp_path):
    names = ("top5_error", f"{__name__}:SPREAD")
    result = train(*names)
    assert set(result.measured) == {"top5_error", "spread"}
    probabilities = SEEN["probabilities"]
    assert probabilities.shape == (len(digits.x_validation), 10)
    wrong = probabilities.argmax(axis=1) != digits.y_validation
    assert result.error == wrong.mean()
    np.testing.assert_allclose(SEEN["again"], probabilities, atol=2e-6)
    assert not SEEN["file"].exists()
    assert load_record(tmp_path / "a.h5")["objectives"]["spread"] == result.measured["spread"]
    model = keras.models.load_model(tmp_path / "a.h5")
    np.testing.assert_allclose(
        model.predict(digits.x_validation, verbose=0), probabilities, atol=2e-6
    )


def test_only_requested_objectives_are_measured(train):
    assert train().measured == {}


def test_measuring_does_not_change_the_training(train):
    with_it, without = train(f"{__name__}:SPREAD"), train()
    for name in ("error", "test_error", "losses"):
        assert getattr(with_it, name) == getattr(without, name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FAILING", "the objective 'failing' raised ZeroDivisionError: division by zero"),
        ("NOTHING", "the objective 'nothing' returned nan; expected a finite number"),
    ],
)
def test_the_error_of_a_failing_objective_names_it(train, name, message):
    with pytest.raises(ObjectiveError, match=message):
        train(f"{__name__}:{name}")


def _full(*_args, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    "name",
    [
        "lemonade_tf.keras_bridge.saving.save_model",
        "lemonade_tf.workers.measured_objectives.tempfile.TemporaryDirectory",
    ],
)
def test_a_full_temporary_folder_is_an_objective_error(train, monkeypatch, tmp_path, name):
    """The message has no random file names, so that equal failures are counted as equal."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(name, _full)
    message = f"{tmp_path} cannot hold .* to measure: No space left on device; free some space"
    with pytest.raises(ObjectiveError, match=message) as raised:
        train(f"{__name__}:SPREAD")
    assert errno_of(raised.value) is None
    assert list(tmp_path.iterdir()) == []
    assert train("top5_error").failure is None  # needs no file


def test_an_objective_out_of_memory_is_a_failure(train):
    result = train(f"{__name__}:GREEDY")
    assert result.failure.startswith("out of memory with batches of 32 images, for a network of")


def test_objectives_are_measured_under_their_names():
    images, labels, probabilities = (
        np.zeros((4, 2, 2, 1)),
        np.zeros(4, int),
        np.eye(7)[[0, 6, 6, 6]],
    )
    given = TrainedNetwork(None, images, labels, probabilities, None, None, images, None)
    with pytest.raises(ValueError, match="read-only"):
        given.images[0] = 1
    images[0] = 1  # the caller's array stays writeable
    assert measure_objectives(("error", "top5_error"), given) == {"error": 0.75, "top5_error": 0.0}


def test_preparing_returns_plain_json_or_is_an_error(digits):
    graphs = (to_json(small().copy(weights=False)),) * 2
    task = ObjectiveTask(f"{__name__}:COUNTED", graphs, "networks", threads=1, seed=0)
    assert prepare_objective(task, digits) == {"factor": 2, "shape": [320, 8, 8, 1]}
    no_json = [digits.x_train, np.float32(1), 10**400, 10**5000, float("inf"), 1j, CIRCLE, DEEP]
    for value in no_json:
        GIVEN["prepared"] = value
        with pytest.raises(ObjectiveError, match="its result is not JSON") as caught:
            prepare_objective(replace(task, name=f"{__name__}:PREPARED"), digits)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ObjectiveError, match=r"raised SystemExit: no table \(.*line "):
        prepare_objective(replace(task, name=f"{__name__}:LEAVING"), digits)


@pytest.mark.parametrize(
    ("at", "done", "is_over"),
    [(99, 60, False), (101, 100, True), (20, 10, False), (21, 10, True), (90, 9, False)],
)
def test_measurements_end_when_the_budget_is_over_or_will_be(
    monkeypatch, tmp_path, at, done, is_over
):
    file, clock = tmp_path / "progress", iter([0.0, at])
    monkeypatch.setattr(measured_objectives.time, "monotonic", lambda: next(clock))
    task = ObjectiveTask("latency", (), "networks", 1, 0, str(file), max_seconds=100.0)
    watch = measured_objectives._watch(task)
    message = f"{done} of 100 measurements took {at} s, .* left 100 s for all"
    with pytest.raises(LemonadeError, match=message) if is_over else nullcontext():
        watch(done, 100)
    assert file.read_text() == f"{done} 100"


def test_tables_have_descendants_of_networks_outside_of_the_space(digits, monkeypatch):
    """An imported network may have fewer convolutions than the space requires."""
    graph = small(shape=(8, 8, 1), widths=(6, 3)).copy(weights=False)
    assert not NETWORKS.allows(graph)

    class Asked(Exception):
        pass

    def measure_table(runtime, initial, propose, *, rng, **_):
        assert all(propose(initial[0], rng=rng) is not None for _ in range(10))
        raise Asked

    monkeypatch.setattr(measuring, "measure_table", measure_table)
    task = ObjectiveTask("latency", (to_json(graph),), "networks", threads=1, seed=0)
    with pytest.raises(ObjectiveError, match="Asked"):
        prepare_objective(task, digits)
