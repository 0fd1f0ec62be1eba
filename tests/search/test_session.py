"""A search with an executor of the caller."""

import pytest
from toy_training import SETTINGS, Toy, results

from lemonade_tf.datasets.source import NamedDatasets
from lemonade_tf.executors import Executor, Outcome
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.search import SearchError, search, worker_setup
from lemonade_tf.store import RunStore, StoreError
from lemonade_tf.workers.tasks import ChildTask, ObjectiveTask
from lemonade_tf.workers.worker_setup import SEARCH_WORKER


class LastFirst(Executor):
    """Runs all tasks of a call, the last one first, as a remote cluster might."""

    num_workers = 8

    def __init__(self, worker=None):
        self.worker = worker or Toy()
        self.calls, self.is_closed = [], False

    def run(self, tasks, *, deadline=None):
        tasks = list(tasks)
        self.calls.append(tasks)
        for task in reversed(tasks):
            yield Outcome(task, self.worker(task), None, worker=0, seconds=0.0)

    def close(self):
        self.is_closed = True


def test_any_executor_gives_the_same_search(tmp_path, whole):
    executor = LastFirst()
    result = search(workdir=str(tmp_path / "run"), executor=executor, **SETTINGS)
    assert result.complete
    assert results(tmp_path / "run") == whole
    assert {type(task) for tasks in executor.calls for task in tasks} == {ChildTask}


def test_the_executor_stays_open_and_the_folder_is_released(tmp_path):
    executor = LastFirst()
    for number in range(2):
        workdir = tmp_path / f"run-{number}"
        search(workdir=str(workdir), executor=executor, **{**SETTINGS, "num_generations": 0})
        assert not RunStore.open(workdir).is_locked()
    assert not executor.is_closed


def test_objectives_are_prepared_by_the_executor_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("toy_training.prepare_objective", lambda task, dataset: {"value": 3})
    (tmp_path / "prepared_objectives.py").write_text(
        "from lemonade_tf.objectives import Objective\n"
        "def compute(graph, prepared):\n    return prepared['value'] * len(graph)\n"
        "FIRST = Objective('first', 'log', compute=compute, prepare=len)\n"
        "SECOND = Objective('second', 'log', compute=compute, prepare=len)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = ("error", "prepared_objectives:FIRST", "prepared_objectives:SECOND")
    executor = LastFirst()
    settings = {**SETTINGS, "objectives": names, "num_generations": 0}
    search(workdir=str(tmp_path / "run"), executor=executor, **settings)
    prepared = [tasks for tasks in executor.calls if isinstance(tasks[0], ObjectiveTask)]
    assert [[task.name for task in tasks] for tasks in prepared] == [[names[1]], [names[2]]]
    recorded = read_run(tmp_path / "run").config.prepared
    assert recorded == {name: {"value": 3} for name in names[1:]}


def test_the_folder_is_released_if_the_executor_fails(tmp_path):
    class Broken(LastFirst):
        def run(self, tasks, *, deadline=None):
            raise SearchError("the cluster is gone")

    with pytest.raises(SearchError, match="the cluster is gone"):
        search(workdir=str(tmp_path / "run"), executor=Broken(), **SETTINGS)
    assert not RunStore.open(tmp_path / "run").is_locked()


def test_worker_setup_has_the_settings_that_results_depend_on():
    config = make_config("quick", threads=3, data_dir="archives", epochs=7)
    setup = worker_setup(config)
    assert setup.entry_point == SEARCH_WORKER
    assert setup.source == NamedDatasets("digits", "archives")
    assert (setup.settings.epochs, setup.threads) == (7, 3)


def test_workers_are_closed_if_the_search_cannot_continue(tmp_path, monkeypatch):
    search(workdir=str(tmp_path / "run"), executor=LastFirst(), **SETTINGS)
    store = RunStore.open(tmp_path / "run")
    store.models.path(read_run(store.path).front()[0].id).unlink()
    own = LastFirst()
    monkeypatch.setattr("lemonade_tf.search.session.search_workers", lambda *_, **__: own)
    with pytest.raises(StoreError, match="is missing"):
        search(workdir=str(tmp_path / "run"), resume=True)
    assert own.is_closed
