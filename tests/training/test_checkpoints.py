import hashlib
import io
import json

import numpy as np
import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge import read_weights
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.training import checkpoints as checkpoints_module
from lemonade_tf.training.augmentation import Augmentation
from lemonade_tf.training.checkpoints import CheckpointError, Checkpoints
from lemonade_tf.training.fit import TrainingState, fit
from lemonade_tf.training.settings import TrainingSettings

EPOCHS = 5


@pytest.fixture(scope="module")
def restless(digits):
    """A network with everything that training changes: kernels, statistics, lambda, dropout."""
    graph = Graph()
    graph.add("input", kinds.Input((8, 8, 1)))
    graph.add("scaled", digits.rescaling(), ["input"])
    graph.add("conv", kinds.Conv2D(4, 3), ["scaled"])
    graph.add("bn", kinds.BatchNormalization(), ["conv"])
    graph.add("again", kinds.Conv2D(4, 3), ["bn"])
    graph.add("sum", kinds.ConvexSum(), ["bn", "again"])
    graph.add("drop", kinds.Dropout(0.3), ["sum"])
    graph.add("flat", kinds.Flatten(), ["drop"])
    graph.add("drop_more", kinds.Dropout(0.3), ["flat"])
    graph.output = graph.add("dense", kinds.Dense(10), ["drop_more"])
    return initial_weights(graph, rng=np.random.default_rng(0))


@pytest.fixture
def train(restless, digits):
    """A function that trains the network in a new model and returns (result, graph)."""
    place = current_backend().place
    images, labels = place(digits.x_train), place(digits.y_train)

    def run(**resuming):
        model = current_backend().training_model(restless, seed=7)
        result = fit(
            model,
            images,
            labels,
            epochs=EPOCHS,
            settings=TrainingSettings(learning_rate=0.05),
            rng=np.random.default_rng(3),
            transform=Augmentation.for_dataset(digits, pad=1, flip=True, cutout=2, mixup=1.0),
            **resuming,
        )
        return result, read_weights(model, restless)

    return run


def test_a_training_resumes_from_any_epoch_bit_for_bit(train, tmp_path, assert_equal_weights):
    paths = []

    def write(state):
        paths.append(tmp_path / f"{len(paths) + 1}.checkpoint")
        Checkpoints(paths[-1], training="this", interval=0).write_if_due(state)

    whole, expected = train(on_epoch=write)
    assert len(paths) == EPOCHS
    for number, path in enumerate(paths, start=1):
        state = Checkpoints(path, training="this", interval=0).read()
        assert state.losses == whole.losses[:number]
        result, found = train(resume=state)
        assert (result.losses, result.num_images) == (whole.losses, whole.num_images)
        assert_equal_weights(found, expected)


@pytest.mark.slow
def test_a_change_of_any_part_of_the_state_changes_the_result(train):
    states = []
    _, expected = train(on_epoch=lambda state: states.append(state()))
    state = states[1]
    lost = {"rng": TrainingState(state.losses, states[0].rng, state.arrays)}
    for name, array in state.arrays.items():
        other = array + np.array(1 if array.dtype.kind == "i" else 0.01, array.dtype)
        lost[name] = TrainingState(state.losses, state.rng, {**state.arrays, name: other})
    for name, other in lost.items():
        _, found = train(resume=other)
        assert any(
            (value != expected[node].weights[key]).any()
            for node in expected
            for key, value in found[node].weights.items()
        ), name


def test_the_state_of_a_different_model_is_refused(train):
    states = []
    train(on_epoch=lambda state: states.append(state()))
    arrays = dict(states[0].arrays)
    shape = arrays.pop("momentum_0").shape
    state = TrainingState(states[0].losses, states[0].rng, arrays)
    with pytest.raises(ValueError, match=r"momentum_0 has shape None in the state but") as e:
        train(resume=state)
    assert str(shape) in str(e.value)


@pytest.fixture
def state():
    arrays = {"a": np.float32([[0.1, -0.0]]), "file": np.int64([2**62]), "b/c": np.float32(3)}
    rng = np.random.default_rng(1).bit_generator.state
    return TrainingState((0.1 + 0.2, 1e-9), rng, arrays)


@pytest.fixture
def path(state, tmp_path):
    path = tmp_path / "1-0.checkpoint"
    Checkpoints(path, training="this", interval=0).write_if_due(lambda: state)
    return path


def test_a_checkpoint_is_read_as_it_was_written(path, state):
    found = Checkpoints(path, training="this", interval=0).read()
    assert (found.losses, found.rng) == (state.losses, state.rng)
    assert list(found.arrays) == list(state.arrays)
    for name, array in state.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)
        assert found.arrays[name].tobytes() == array.tobytes()


def test_without_a_file_there_is_no_state(tmp_path):
    assert Checkpoints(tmp_path / "none", training="this", interval=0).read() is None


def test_damage_anywhere_is_detected(path):
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        path.write_bytes(content[:place])  # cut short
        with pytest.raises(CheckpointError, match=r"1-0\.checkpoint is (not a checkpoint|damaged)"):
            Checkpoints(path, training="this", interval=0).read()
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=r"1-0\.checkpoint is (not a checkpoint|damaged)"):
            Checkpoints(path, training="this", interval=0).read()


def test_the_checkpoint_of_a_different_training_is_refused(path):
    with pytest.raises(CheckpointError, match="is the checkpoint of a different training"):
        Checkpoints(path, training="that", interval=0).read()


def test_a_checkpoint_is_written_once_per_interval(tmp_path, state, monkeypatch):
    now = 100.0
    monkeypatch.setattr(checkpoints_module.time, "monotonic", lambda: now)
    checkpoints = Checkpoints(tmp_path / "a", training="this", interval=60)
    written = []
    for now in (110.0, 159.0, 161.0, 200.0, 220.0, 221.0):
        if checkpoints.write_if_due(lambda: state) is not None:
            written.append(now)
    assert written == [161.0, 221.0]


def test_seconds_include_those_before_the_checkpoint(tmp_path, state, monkeypatch):
    now = 100.0
    monkeypatch.setattr(checkpoints_module.time, "monotonic", lambda: now)
    first = Checkpoints(tmp_path / "a", training="this", interval=0)
    now = 130.0
    first.write_if_due(lambda: state)
    now = 1000.0  # after an interruption
    second = Checkpoints(tmp_path / "a", training="this", interval=0)
    second.read()
    now = 1005.0
    assert second.seconds == 35.0


def test_a_failed_write_keeps_the_previous_checkpoint(path, state, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lemonade_tf.store.atomic.os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        Checkpoints(path, training="this", interval=0).write_if_due(lambda: state)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


OTHERS = {"losses": [0.5], "rng": {}, "training": "t", "seconds": 3.0}


@pytest.mark.parametrize(
    "parts",
    [
        {"weights": np.zeros(3)},
        {"others": np.array("[" * 1000)},
        {"others": np.array("[]")},
        {"others": np.array(json.dumps(OTHERS | {"losses": 3}))},
        {"others": np.array(json.dumps(OTHERS | {"losses": ["small"]}))},
        {"others": np.array(json.dumps(OTHERS | {"rng": 3}))},
        {"others": np.array(json.dumps(OTHERS | {"seconds": None}))},
        {"others": np.array(json.dumps(OTHERS)), "array/a": np.array([None])},
    ],
)
def test_content_that_is_no_state_is_refused_despite_its_checksum(tmp_path, parts):
    archive = io.BytesIO()
    np.savez(archive, **parts)
    content, path = archive.getvalue(), tmp_path / "a.checkpoint"
    digest = hashlib.sha256(content).hexdigest()
    path.write_bytes(f"lemonade_tf checkpoint 1 {digest}\n".encode() + content)
    with pytest.raises(CheckpointError, match=r"a\.checkpoint is damaged: ") as refused:
        Checkpoints(path, training="t", interval=1).read()
    assert len(str(refused.value).splitlines()) == 1
