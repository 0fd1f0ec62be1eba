import gc
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.framework.func_graph import FuncGraph

from lemonade_tf.backends.batch_transform import NO_AUGMENTATION
from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge.files import FileError
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.tasks import ChildTask, SizeTask
from lemonade_tf.workers.worker import Worker


def count_kept_alive() -> tuple[int, int]:
    """Return the numbers of traced functions alive, and of registered gradients."""
    gc.collect()
    live = sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())
    return live, len(ops.gradient_registry._registry)


@pytest.fixture
def thaw():
    yield
    gc.unfreeze()


@pytest.mark.slow
def test_children_are_freed(parent_file, digits, insertion, tmp_path, thaw):
    worker = Worker(digits, TrainingSettings(epochs=1, distillation_epochs=1), NO_AUGMENTATION)
    prune = {"operator": "prune_filters", "site": {"node": "conv_2", "fraction": "1/2"}}
    seed = np.random.SeedSequence(0)
    counts = []
    for number in range(4):
        given = ChildTask(
            id=str(number),
            operators=(insertion, prune),
            output=str(tmp_path / "a.h5"),
            weights_seed=seed,
            training_seed=seed,
            parent_file=parent_file,
        )
        assert worker(given).failure is None
        counts.append(count_kept_alive())
    assert counts[1:] == counts[:1] * 3


def test_the_int8_sizes_of_a_file_are_measured(parent_file, digits, thaw):
    worker = Worker(digits, TrainingSettings(), NO_AUGMENTATION)
    size = worker(SizeTask("0-0", parent_file))
    assert size["failure"] is None
    assert size["num_bytes"] == pytest.approx(size["predicted_bytes"], rel=0.15)
    with pytest.raises(FileError):
        worker(SizeTask("0-1", f"{parent_file}.missing"))


@pytest.mark.parametrize("num", [None, 300])
def test_a_child_trains_on_some_of_the_images(parent_file, digits, tmp_path, thaw, num):
    worker = Worker(digits, TrainingSettings(), NO_AUGMENTATION)
    seed = np.random.SeedSequence(0)
    task = ChildTask(
        id="1-0",
        operators=(),
        output=str(tmp_path / "a.h5"),
        weights_seed=seed,
        training_seed=seed,
        parent_file=parent_file,
        settings=TrainingSettings(epochs=1, batch_size=50),
        num_images=num,
    )
    result = worker(task)
    assert (result.failure, result.epochs) == (None, 1)
    assert result.num_images == (len(digits.x_train) if num is None else num) // 50 * 50


@pytest.mark.slow
def test_setting_up_a_worker_process(parent_file, tmp_path):
    settings = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.1}
    (tmp_path / "keras.json").write_text(json.dumps(settings))  # has no effect
    code = f"""
import numpy as np
from lemonade_tf.datasets.source import NamedDatasets
from lemonade_tf.workers.tasks import ChildTask
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.worker_setup import SEARCH_WORKER, WorkerSetup
settings = TrainingSettings(epochs=1, pad=1, cutout=2)
worker = WorkerSetup(SEARCH_WORKER, NamedDatasets("digits"), settings, 1)()
import tensorflow as tf
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
seed = np.random.SeedSequence(0)
result = worker(ChildTask("1", (), {str(tmp_path / "a.h5")!r}, seed, seed, {parent_file!r}))
print(result.failure, result.num_images)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
    )
    failure, num_images = done.stdout.split()
    assert failure == "None"
    assert int(num_images) > 1000


def test_threads_cannot_change_after_tensorflow_has_run():
    tf.constant(1.0)  # runs
    with pytest.raises(RuntimeError, match="threads is 77, but TensorFlow has already run"):
        current_backend().set_up(77)
    current_backend().set_up(None)
