import pickle
import subprocess
import sys

from lemonade_tf.datasets.source import NamedDatasets
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.worker_setup import RETRAINING_WORKER, SEARCH_WORKER, WorkerSetup

SETTINGS = TrainingSettings(epochs=3)


SOURCE = NamedDatasets("digits", "folder")


def record_arguments(source, settings, *, threads):
    return lambda task: (task, source, settings, threads)


def test_a_setup_calls_its_entry_point():
    setup = WorkerSetup(f"{__name__}:record_arguments", SOURCE, SETTINGS, 2)
    run = pickle.loads(pickle.dumps(setup))()
    assert run("task") == ("task", SOURCE, SETTINGS, 2)


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
