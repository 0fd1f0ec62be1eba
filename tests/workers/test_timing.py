import gc
import time
from dataclasses import replace

import pytest

from lemonade_tf.architecture.text import to_json
from lemonade_tf.backends.batch_transform import NO_AUGMENTATION
from lemonade_tf.objectives import Objective
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers import timing
from lemonade_tf.workers.tasks import Timing, TimingTask
from lemonade_tf.workers.worker import Worker


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(timing, "MIN_SECONDS", 0.0)


def assert_positive(measured):
    assert isinstance(measured, Timing)
    assert min(measured.fixed, measured.step, measured.image) > 0


def test_all_parts_take_time(digits, network):
    settings = TrainingSettings(batch_size=32)
    assert_positive(timing.time_network(TimingTask(to_json(network)), digits, settings))


def _nap(trained):
    assert trained.probabilities.shape == (100, 10)
    time.sleep(0.2)
    return 1.0


NAP = Objective("nap", "linear", measure=_nap, reference=2.0)  # found by the name of this module


def test_measuring_objectives_is_timed_separately(digits, network):
    task = TimingTask(to_json(network), objectives=(f"{__name__}:NAP",))
    measured = timing.time_network(task, digits, TrainingSettings(batch_size=32))
    assert_positive(measured)
    assert measured.measuring >= 0.2
    without = timing.time_network(replace(task, objectives=()), digits, TrainingSettings())
    assert without.measuring == 0


def test_fewer_images_than_a_batch_can_be_timed(digits, network):
    few = replace(digits, x_train=digits.x_train[:20], y_train=digits.y_train[:20])
    assert_positive(timing.time_network(TimingTask(to_json(network)), few, TrainingSettings()))


def test_compiling_is_separated_from_later_calls(monkeypatch):
    clock = iter([0, 5, 5, 5, 6, 7])  # the first call ends at 5, the second at 6
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(timing, "MIN_SECONDS", 0.5)
    assert timing._time_calls(lambda: None) == (4, 1)


@pytest.mark.slow
def test_a_worker_times_networks(digits, network):
    worker = Worker(digits, TrainingSettings(batch_size=32), NO_AUGMENTATION)
    try:
        for _ in range(2):
            assert_positive(worker(TimingTask(to_json(network))))
    finally:
        gc.unfreeze()
