import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import to_json
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.splits import with_validation_images
from lemonade_tf.keras_bridge import FileError, load_graph, load_record
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.search_spaces.adaptation import adapt_network
from lemonade_tf.search_spaces.space import DEFAULT_RESCALING
from lemonade_tf.training.checkpoints import Checkpoints
from lemonade_tf.training.evaluation import error_on_test_images
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.retraining import Retrainer
from lemonade_tf.workers.retraining_task import RetrainTask

SETTINGS = TrainingSettings(epochs=3, learning_rate=0.05, pad=1, cutout=2, mixup=0.4)


class Killed(BaseException):
    """Interrupts a training between two epochs."""


@pytest.fixture(scope="module")
def small(digits):
    """Few digits to train on: 96 for training, 32 for validation."""
    parts = {f"x_{p}": getattr(digits, f"x_{p}") for p in ("train", "validation")}
    parts |= {f"y_{p}": getattr(digits, f"y_{p}") for p in ("train", "validation")}
    sizes = {"train": 96, "validation": 32}
    few = replace(digits, **{k: v[: sizes[k[2:]]] for k, v in parts.items()})
    return with_validation_images(few)


@pytest.fixture
def retrainer(small):
    return Retrainer(small, SETTINGS)


@pytest.fixture
def task(parent_file, tmp_path):
    return RetrainTask(
        id="3-1",
        source=parent_file,
        output=str(tmp_path / "3-1.h5"),
        checkpoint=str(tmp_path / "3-1.checkpoint"),
        interval=0.0,
        weights_seed=np.random.SeedSequence(1),
        training_seed=np.random.SeedSequence(2),
        settings={"epochs": 3, "seed": 0},
    )


def kill_after(epoch, monkeypatch):
    """Interrupt trainings after an epoch, once its checkpoint is written."""
    write = Checkpoints.write_if_due

    def write_and_end(self, state):
        written = write(self, state)
        if len(written.losses) == epoch:
            raise Killed
        return written

    monkeypatch.setattr(Checkpoints, "write_if_due", write_and_end)


def test_a_network_is_trained_on_all_images_and_saved(retrainer, task, small):
    result = retrainer(task)
    assert (result.id, result.failure, result.remark) == ("3-1", None, None)
    assert len(result.losses) == SETTINGS.epochs
    assert result.resumed_at == 0
    assert result.seconds > 0
    graph = load_graph(task.output)
    forward = current_backend().forward(current_backend().training_model(graph))
    assert result.test_error == error_on_test_images(forward, small)
    record = load_record(task.output)
    assert record["id"] == "parent"  # the record of the search ...
    assert record["objectives"].keys() == {"parameters", "multiply_adds"}  # ... without its error
    assert record["retrained"] == task.settings
    # The same from the architecture alone, as of a network whose file is gone.
    architecture = to_json(load_graph(task.source).copy(weights=False))
    rebuilt = replace(task, source=None, architecture=architecture, record={"id": "rebuilt"})
    again = retrainer(replace(rebuilt, checkpoint=f"{task.checkpoint}_2"))
    assert again.losses == result.losses
    assert load_record(task.output)["id"] == "rebuilt"
    assert record["test_error"] == result.test_error


def test_the_weights_of_the_source_do_not_matter(
    retrainer, task, network, tmp_path, assert_equal_weights
):
    from lemonade_tf.keras_bridge import save_model

    other = str(tmp_path / "other.h5")
    save_model(initial_weights(network, rng=np.random.default_rng(99)), other, {})
    retrainer(task)
    expected = load_graph(task.output)
    retrainer(replace(task, source=other, checkpoint=str(tmp_path / "other.checkpoint")))
    assert_equal_weights(load_graph(task.output), expected)


@pytest.mark.parametrize(("epoch", "precision"), [(1, "tf32"), (3, "tf32"), (1, "bfloat16")])
def test_a_killed_training_ends_with_the_same_weights(
    task, small, epoch, precision, tmp_path, monkeypatch, assert_equal_weights
):
    settings = replace(SETTINGS, precision=precision)
    retrainer = Retrainer(small, settings)
    whole = retrainer(replace(task, output=str(tmp_path / "whole.h5")))
    (tmp_path / "3-1.checkpoint").unlink()
    with monkeypatch.context() as patch:
        kill_after(epoch, patch)
        with pytest.raises(Killed):
            retrainer(task)
    assert not (tmp_path / "3-1.h5").exists()
    result = Retrainer(small, settings)(task)
    assert result.resumed_at == epoch
    assert (result.losses, result.test_error) == (whole.losses, whole.test_error)
    assert_equal_weights(load_graph(task.output), load_graph(tmp_path / "whole.h5"))


def test_an_unusable_checkpoint_is_a_remark(retrainer, task, tmp_path):
    whole = retrainer(task)
    path = tmp_path / "3-1.checkpoint"
    path.write_bytes(path.read_bytes()[:-1])
    result = retrainer(task)
    assert (
        result.remark == f"trained from the start because {path} is damaged: its content does"
        " not match its SHA-256."
    )
    assert (result.losses, result.resumed_at) == (whole.losses, 0)
    of_another = replace(task, settings={"epochs": 3, "seed": 1})
    assert "is the checkpoint of a different training" in retrainer(of_another).remark


def test_without_test_images_there_is_no_test_error(small, task):
    data = replace(small, x_test=None, y_test=None)
    assert Retrainer(data, SETTINGS)(task).test_error is None


def test_divergence_is_a_failure_without_a_file(small, task, tmp_path):
    result = Retrainer(small, replace(SETTINGS, learning_rate=1e30))(task)
    assert result.failure.startswith("diverged: the loss is ")
    assert result.test_error is None
    assert not (tmp_path / "3-1.h5").exists()


def test_out_of_memory_is_a_failure(retrainer, task, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("lemonade_tf.workers.retraining.fit", full)
    failure = retrainer(task).failure
    size = count_parameters(load_graph(task.source))
    assert failure.startswith(
        f"out of memory with batches of 64 images, for a network of {size:,} parameters and "
    )


def test_a_full_disk_is_a_failure(retrainer, task, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lemonade_tf.store.atomic.os.replace", full)
    result = retrainer(task)
    assert result.failure.endswith("cannot be used: No space left on device.")
    assert task.output in result.failure


def test_a_missing_file_is_raised(retrainer, task, tmp_path):
    with pytest.raises(FileError, match=r"none\.h5 does not exist"):
        retrainer(replace(task, source=str(tmp_path / "none.h5")))


@pytest.mark.slow
def test_setting_up_a_process_for_retraining(task):
    values = {f.name: getattr(task, f.name) for f in fields(task) if "seed" not in f.name}
    code = f"""
import numpy as np
from lemonade_tf.datasets.source import NamedDatasets
from lemonade_tf.workers.retraining_task import RetrainTask
from lemonade_tf.workers.worker_setup import RETRAINING_WORKER, WorkerSetup
from lemonade_tf.training.settings import TrainingSettings
settings = TrainingSettings(epochs=1, pad=1, cutout=2)
train = WorkerSetup(RETRAINING_WORKER, NamedDatasets("digits"), settings, 1)()
seed = np.random.SeedSequence(0)
result = train(RetrainTask(weights_seed=seed, training_seed=seed, **{values!r}))
print(result.failure, len(result.losses))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "None 1"


def test_an_adapted_network_inherits_the_weights_that_fit(task, small):
    donor = load_graph(task.source)
    adapted = adapt_network(donor, (8, 8, 1), 7, DEFAULT_RESCALING)
    few = replace(small, num_classes=7, y_train=small.y_train % 7, y_test=small.y_test % 7)
    task = replace(task, architecture=to_json(adapted))
    result = Retrainer(few, replace(SETTINGS, epochs=0))(task)
    assert 0 <= result.test_top5_error <= result.test_error <= 1
    trained = load_graph(task.output)
    assert trained["rescaling"].layer == DEFAULT_RESCALING
    assert trained.shapes()[trained.output] == (7,)
    kernel = donor["conv_1"].weights["kernel"]
    np.testing.assert_array_equal(trained["conv_1"].weights["kernel"], kernel)
