import logging
import pickle
import subprocess
import sys

import pytest

from lemonade_tf.config import SearchConfig
from lemonade_tf.datasets.source import NamedDatasets
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


def record_arguments(source, settings, *, threads, strategy):
    return lambda task: (task, source, settings, threads, strategy)


def test_a_setup_calls_its_entry_point():
    setup = WorkerSetup(f"{__name__}:record_arguments", SOURCE, SETTINGS, 2, "mirrored")
    run = pickle.loads(pickle.dumps(setup))()
    assert run("task") == ("task", SOURCE, SETTINGS, 2, "mirrored")


def test_the_module_of_the_entry_point_is_preloaded():
    modules = [
        WorkerSetup(entry_point, SOURCE, SETTINGS, 1).preload
        for entry_point in (SEARCH_WORKER, RETRAINING_WORKER)
    ]
    assert modules == [("lemonade_tf.workers.worker",), ("lemonade_tf.workers.retraining",)]


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
