import logging
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.config import SearchConfig
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.source import NamedDatasets, SharedDatasets
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers import worker_setup
from lemonade_tf.workers.worker_setup import (
    RETRAINING_WORKER,
    SEARCH_WORKER,
    WorkerSetup,
    make_executor,
)

SETTINGS = TrainingSettings(epochs=3)
SOURCE = NamedDatasets("digits", "folder")


def record_arguments(source, settings, *, threads, strategy, device_memory):
    return lambda task: (task, source, settings, threads, strategy, device_memory)


@pytest.mark.parametrize(("device_memory", "expected"), [(None, 20 / 4 / 2), (3.5, 3.5)])
def test_a_setup_calls_its_entry_point(device_memory, expected, monkeypatch):
    monkeypatch.setattr("lemonade_tf.executors.devices.count_gpus", lambda: 1)
    monkeypatch.setattr("lemonade_tf.executors.devices._installed_gpu_memory", lambda: 20.0)
    entry_point = f"{__name__}:record_arguments"
    setup = WorkerSetup(entry_point, SOURCE, SETTINGS, 2, "mirrored", device_memory, 0.5)
    run = pickle.loads(pickle.dumps(setup))()
    assert run("task") == ("task", SOURCE, SETTINGS, 2, "mirrored", expected)


def test_a_setup_names_the_files_of_its_images(tmp_path, monkeypatch):
    monkeypatch.setattr("lemonade_tf.datasets.array_files._LARGE", 1000)
    with ArrayFiles(tmp_path) as files:
        x_train = files.allocate((1200, 8, 8, 1), np.uint8)
        x_train[...] = 7
        source = SharedDatasets.of(replace(load_dataset("digits"), x_train=x_train))
        setup = WorkerSetup(SEARCH_WORKER, source, SETTINGS, 2)
        assert setup.files.read == source.paths
        moved = setup.with_paths({path: f"/node{path}" for path in source.paths})
    assert len(source.paths) == 1
    assert moved.files.read == (f"/node{source.paths[0]}",)


def test_keras_and_the_module_of_the_entry_point_are_preloaded():
    modules = [
        WorkerSetup(entry_point, SOURCE, SETTINGS, 1).preload
        for entry_point in (SEARCH_WORKER, RETRAINING_WORKER)
    ]
    lean = "lemonade_tf.workers.lean_keras"
    assert modules == [
        (lean, "lemonade_tf.workers.worker"),
        (lean, "lemonade_tf.workers.retraining"),
    ]


def test_modules_that_preloading_skips_can_be_imported_later():
    modules = WorkerSetup(SEARCH_WORKER, SOURCE, SETTINGS, 1).preload
    script = (
        "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; "
        "print('keras' in sys.modules, sorted({'sklearn', 'matplotlib', 'scipy.stats',"
        " 'scipy.optimize'} & set(sys.modules))); "
        "import matplotlib.pyplot, sklearn.datasets"
    )
    command = [sys.executable, "-c", script, *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"


def test_the_driver_makes_setups_and_tasks_without_keras():
    code = (
        "import sys\n"
        "from lemonade_tf.training import augmentation, settings\n"
        "from lemonade_tf.workers import retraining_task, tasks, worker_setup\n"
        "print(sorted({'keras', 'tensorflow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def machine(monkeypatch):
    """Return a function that sets the numbers of GPUs and of other devices, and returns options."""
    made = []
    monkeypatch.setattr(worker_setup, "ProcessExecutor", lambda setup, **given: made.append(given))
    monkeypatch.setattr(worker_setup, "default_num_workers", lambda threads: 7)

    def division(strategy, num_gpus, num_devices=1, **options):
        monkeypatch.setattr(worker_setup, "count_gpus", lambda: num_gpus)
        monkeypatch.setattr(worker_setup, "count_devices", lambda: num_gpus or num_devices)
        setup = WorkerSetup(SEARCH_WORKER, SOURCE, SETTINGS, 1, strategy)
        make_executor(setup, SearchConfig(), **options)
        return made[-1]["num_workers"], made[-1]["gpus_per_worker"]

    return division


def test_mirrored_training_divides_the_gpus_among_the_workers(machine, caplog):
    assert machine("one_per_gpu", 4) == (7, 1)
    assert machine("mirrored", 4) == (1, 4)
    assert machine("mirrored", 4, num_workers=2) == (2, 2)
    assert machine("mirrored", 5, num_workers=2) == (2, 2)
    assert machine("mirrored", 4, num_workers=2, max_num_workers=1) == (1, 4)
    assert machine("mirrored", 0, num_devices=2, num_workers=3) == (3, 1)
    assert not caplog.records


def test_mirrored_training_on_a_single_device_is_announced_once(machine, caplog):
    worker_setup._warn_of_single_device.cache_clear()
    assert machine("mirrored", 0) == (7, 1)
    assert machine("mirrored", 1) == (7, 1)
    assert machine("mirrored", 4, num_workers=3) == (3, 1)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "--strategy mirrored has no effect" in record.getMessage()


def test_a_request_for_another_backend_is_announced_once(machine, caplog, monkeypatch):
    worker_setup._warn_of_other_backend.cache_clear()
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    machine("one_per_gpu", 0)
    machine("one_per_gpu", 0)
    [record] = caplog.records
    assert "KERAS_BACKEND=torch has no effect" in record.getMessage()
    worker_setup._warn_of_other_backend.cache_clear()
