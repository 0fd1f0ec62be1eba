"""The estimated duration of a search."""

import time
from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.executors import InProcessExecutor
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.presets import make_config
from lemonade_tf.search import SearchError, search
from lemonade_tf.search.estimate import (
    MIN_NETWORKS,
    Workload,
    estimate,
    share_distilled,
    time_networks,
)
from lemonade_tf.search_spaces import CELLS, NETWORKS
from lemonade_tf.search_spaces.networks import NetworkSpace
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.tasks import Timing, TimingTask


def workload(**settings):
    training = TrainingSettings(epochs=10, distillation_epochs=2, batch_size=64)
    values = {
        "num_initial": 4,
        "num_generations": 5,
        "num_accepted": 8,
        "num_workers": 1,
        "num_turns": 1,
        "share_distilled": 0.5,
        "num_training_images": 650,  # ten batches; what does not fill another is left out
        "num_evaluated_images": 200,
        "settings": training,
    }
    return Workload(**{**values, **settings})


TIMINGS = [Timing(fixed=1.0, step=0.02, image=0.001), Timing(fixed=3.0, step=0.04, image=0.003)]
# fixed 2, an epoch 10 * 0.03, evaluation 200 * 0.002
INITIAL = 2 + 10 * 0.3 + 0.4
CHILD = INITIAL + 0.5 * (2 + 2 * 0.3 + 650 * 0.002)


def test_the_formula_against_a_calculation_by_hand():
    given = estimate(TIMINGS, workload())
    assert given.seconds_per_initial == pytest.approx(INITIAL)
    assert given.seconds_per_child == pytest.approx(CHILD)
    assert given.hours == pytest.approx((4 * INITIAL + 40 * CHILD) / 3600)
    assert (given.num_networks, given.num_workers) == (44, 1)


def test_the_fixed_cost_is_paid_on_each_data_set():
    given = estimate(TIMINGS, workload(num_datasets=3))
    assert given.seconds_per_initial == pytest.approx(INITIAL + 2 * 2)
    assert given.seconds_per_child == pytest.approx(CHILD + 1.5 * 2 * 2)


def test_objectives_are_measured_once_per_network_and_not_in_distillation():
    timings = [replace(timing, measuring=0.5) for timing in TIMINGS]
    given = estimate(timings, workload(num_datasets=3))
    assert given.seconds_per_initial == pytest.approx(INITIAL + 2 * 2 + 0.5)
    assert given.seconds_per_child == pytest.approx(CHILD + 1.5 * 2 * 2 + 0.5)


@pytest.mark.parametrize(("num_workers", "first", "each"), [(2, 2, 4), (3, 2, 3), (16, 1, 1)])
def test_workers_train_in_rounds_and_wait_for_the_end_of_a_generation(num_workers, first, each):
    given = estimate(TIMINGS, workload(num_workers=num_workers, num_turns=num_workers))
    assert given.hours == pytest.approx((first * INITIAL + 5 * each * CHILD) / 3600)


def test_workers_that_share_gpus_train_in_turns():
    given = estimate(TIMINGS, workload(num_workers=16, num_turns=2))
    training = 4 * 10 * 0.3 / 2  # longer than an initial network alone
    generation = 8 * (10 * 0.3 + 0.5 * 2 * 0.3) / 2
    assert given.hours == pytest.approx((training + 5 * generation) / 3600)


def test_workers_of_an_asynchronous_search_wait_for_its_end_only():
    given = estimate(TIMINGS, workload(num_workers=3, num_turns=3, is_asynchronous=True))
    assert given.hours == pytest.approx((2 * INITIAL + 14 * CHILD) / 3600)  # 40 / 3


def test_without_distillation_a_child_costs_as_much_as_an_initial_network():
    settings = TrainingSettings(epochs=10, distillation_epochs=0, batch_size=64)
    given = estimate(TIMINGS, workload(settings=settings))
    assert given.seconds_per_child == pytest.approx(INITIAL)


def test_fewer_images_than_a_batch_are_one_batch():
    given = estimate(TIMINGS, workload(num_training_images=30))
    assert given.seconds_per_initial == pytest.approx(2 + 10 * 0.03 + 0.4)


def test_the_share_of_children_that_are_distilled():
    assert share_distilled(NETWORKS) == pytest.approx((1 / 2 + 3 / 4 + 7 / 8) / 3)
    assert share_distilled(NetworkSpace(approximate=())) == 0
    assert share_distilled(CELLS) == 1 / 2


def test_the_share_is_above_that_of_initial_networks_to_which_fewer_operators_apply():
    rng = np.random.default_rng(0)
    graph = NETWORKS.initial_graphs((32, 32, 3), 10)[1]
    approximate = {operator.name for operator in NETWORKS.approximate}
    children = [NETWORKS.propose(graph, rng=rng)[1] for _ in range(300)]
    count = sum(any(entry["operator"] in approximate for entry in child) for child in children)
    assert 0.35 < count / 300 < share_distilled(NETWORKS)


@pytest.mark.parametrize(("num_workers", "num_tasks"), [(1, 3), (3, 3), (4, 6), (8, 9)])
def test_every_worker_has_a_network_to_time(num_workers, num_tasks):
    asked = []

    def answer(task):
        asked.append(task)
        return TIMINGS[0]

    executor = InProcessExecutor(lambda: answer)
    executor.num_workers = num_workers
    timings = time_networks(executor, ["a", "b", "c"], objectives=["x"])
    assert timings == [TIMINGS[0]] * num_tasks
    assert {task.objectives for task in asked} == {("x",)}
    assert {task.architecture for task in asked} == {"a", "b", "c"}


def test_networks_that_run_out_of_memory_are_left_out():
    def answer(task):
        if task.architecture == "large":
            raise MemoryError
        return TIMINGS[1]

    executor = InProcessExecutor(lambda: answer)
    assert time_networks(executor, ["small", "large"]) == [TIMINGS[1]]


def test_no_network_is_timed_after_the_deadline():
    executor = InProcessExecutor(lambda: pytest.fail)
    assert time_networks(executor, ["a"], deadline=time.monotonic()) == []


# --- In a search -----------------------------------------------------------------------------


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_search_begin(self, state):
        self.events.append("search begin")

    def on_estimate(self, state):
        self.events.append(state.estimate.num_networks)

    def on_network_end(self, state, record):
        self.events.append(record.id)


def answer(task):
    if isinstance(task, TimingTask):
        return TIMINGS[0]
    raise RuntimeError("not trained here")


@pytest.mark.parametrize("num_accepted", [MIN_NETWORKS - 5, MIN_NETWORKS - 4])
def test_a_search_is_estimated_unless_it_is_small(tmp_path, num_accepted):
    settings = {"num_generations": 1, "num_proposed": 20, "workers": 1}
    settings |= {"num_accepted": num_accepted, "workdir": str(tmp_path / "run")}
    recorder = Recorder()
    config = make_config("quick", **settings)
    executor = InProcessExecutor(lambda: answer)
    with pytest.raises(SearchError, match="not trained here"):
        search(config, callbacks=[recorder], executor=executor)
    expected = [] if 4 + num_accepted < MIN_NETWORKS else [4 + num_accepted]
    assert recorder.events == ["search begin", *expected, "0-0", "0-1", "0-2"]
