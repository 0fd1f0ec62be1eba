"""Sizing a search to a time budget, with measured steps and a clock that are made up."""

import math
from dataclasses import replace

import pytest
from toy_training import Break, ShuffledExecutor, Toy

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.executors import Outcome
from lemonade_tf.executors.base import TaskQueue
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.search import search
from lemonade_tf.search.estimate import Workload
from lemonade_tf.search.failures import BudgetError
from lemonade_tf.search.sizing import (
    BUDGETED,
    GROWTH,
    MIN_CHILDREN,
    MIN_EPOCHS,
    MIN_IMAGES,
    sized,
)
from lemonade_tf.search.time_budget import TimeBudget
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.workers.tasks import Timing, TimingTask

TIMING = Timing(fixed=1.0, step=0.02, image=0.0001)
NUM_IMAGES = 45_000


def chosen(seconds, *, num_workers=2, timing=TIMING, **given):
    config = make_config("paper", dataset="cifar10", minutes=1.0, **given)
    workload = Workload(
        num_initial=4,
        num_generations=config.num_generations,
        num_accepted=config.num_accepted,
        num_workers=num_workers,
        num_turns=num_workers,
        share_distilled=0.5,
        num_training_images=config.training_images or NUM_IMAGES,
        num_evaluated_images=15_000,
        settings=config.training,
    )
    result, why = sized(
        config,
        workload,
        [timing],
        seconds=seconds,
        spent=10.0,
        num_images=NUM_IMAGES,
        num_classes=10,
        budgeted=[name for name in BUDGETED if name not in given],
    )
    assert result.minutes == 1.0
    assert why.startswith("Chosen for --minutes 1: ")
    return result


def seconds_of(config, num_workers=2):
    """Calculate by hand how long a search takes, with the growth of its children."""
    training = config.training
    epoch = config.training_images // 64 * 0.02
    initial = 1.0 + training.epochs * epoch + 1.5
    child = initial + 0.5 * (
        1.0 + training.distillation_epochs * epoch + config.training_images * 1e-4
    )
    children = config.num_generations * config.num_accepted
    return math.ceil(4 / num_workers) * initial + children * GROWTH * child / num_workers


@pytest.mark.parametrize("num_workers", [1, 2, 16])
@pytest.mark.parametrize("seconds", [400, 1000, 3600, 36_000, 1e6])
def test_the_search_fills_its_time(seconds, num_workers):
    config = chosen(seconds, num_workers=num_workers)
    children = config.num_generations * config.num_accepted
    assert children >= MIN_CHILDREN
    # The last generation is started even if only a part of it fits.
    one = GROWTH * (seconds_of(config, num_workers) / max(children / num_workers, 1))
    assert 0.7 * seconds <= seconds_of(config, num_workers) <= seconds + config.num_accepted * one
    assert config.num_accepted % num_workers == 0 or config.num_accepted == children
    assert config.num_proposed == 5 * config.num_accepted


def test_epochs_are_reduced_before_images():
    sizes = [chosen(seconds) for seconds in (1e6, 8e3, 5e3, 2e3, 1e3, 4e2)]
    epochs = [config.training.epochs for config in sizes]
    images = [config.training_images for config in sizes]
    assert epochs == sorted(epochs, reverse=True)
    assert images == sorted(images, reverse=True)
    assert (epochs[0], images[0]) == (20, NUM_IMAGES)
    assert MIN_EPOCHS < epochs[1] < 20
    assert (epochs[-1], sizes[-1].training.distillation_epochs) == (MIN_EPOCHS, 1)
    assert MIN_IMAGES <= images[-1] < NUM_IMAGES
    assert all(each == NUM_IMAGES for each, e in zip(images, epochs, strict=True) if e > MIN_EPOCHS)


def test_short_trainings_from_new_weights_take_larger_steps():
    rates = [chosen(seconds).training.learning_rate for seconds in (1e6, 8e3, 4e2)]
    assert rates == [0.01, 0.01, 0.05]
    assert chosen(4e2, learning_rate=0.02).training.learning_rate == 0.02
    assert chosen(4e2, initial_models=("a.keras",)).training.learning_rate == 0.01


@pytest.mark.parametrize(
    "given",
    [
        {"epochs": 5},
        {"training_images": 3000},
        {"num_accepted": 6},
        {"num_generations": 3},
        {"num_generations": 0},
        {"num_proposed": 50},
        {"epochs": 1, "training_images": 1000, "num_generations": 2, "num_accepted": 2},
    ],
)
def test_given_settings_stay(given):
    config = chosen(600, **given).as_json()
    assert {name: config[name] for name in given} == given


def test_a_budget_that_is_too_short_is_refused_with_one_that_is_not():
    with pytest.raises(BudgetError, match=r"--minutes 1 is too short: starting") as error:
        chosen(15)
    enough = int(str(error.value).partition("at least --minutes ")[2].partition(",")[0])
    assert chosen(60 * enough - 10)


@pytest.mark.parametrize("name", ["max_hours", "replay"])
def test_contradictions_are_refused(name):
    other = {"max_hours": 1.0} if name == "max_hours" else {"replay": "r", "mode": "asynchronous"}
    with pytest.raises(ValueError, match=f"--minutes.*--{name}"):
        make_config(minutes=1.0, **other)


def test_no_network_starts_that_would_end_too_late():
    now = [0.0]
    budget = TimeBudget(100.0, clock=lambda: now[0])
    small, *_, large = sorted(NETWORKS.initial_graphs((32, 32, 3), 10), key=count_multiply_adds)
    assert budget.fits(large)
    budget.note(small, 10.0)
    now[0] = 89.0
    assert budget.fits(small)
    now[0] = 91.0
    assert not budget.fits(small)
    for seconds in (20.0, 30.0, 40.0, 50.0, 900.0):
        budget.note(large, seconds)
    assert budget.expected(large) == 40.0
    assert budget.mean_seconds == 175.0


class Clock:
    """Seconds that pass only when somebody says so."""

    now = 1000.0

    def __call__(self):
        return self.now


class Timed(ShuffledExecutor):
    """Trains toys in turn, each of which takes a second of a clock."""

    def __init__(self, clock, seconds=1.0):
        super().__init__(1, seed=0)
        self.clock, self.seconds, self.worker = clock, seconds, Toy(seconds=0.0)
        self.settings, self.num_timed = [], 0

    def run(self, tasks, *, deadline=None):
        for task in TaskQueue(tasks, deadline):
            if isinstance(task, TimingTask):
                self.num_timed += 1
                self.clock.now += 0.5
                yield Outcome(task, Timing(fixed=3.0, step=1e-3, image=1e-6), None, 0, 0.5)
                continue
            self.settings.append((task.settings.epochs, task.num_images))
            if (self.clock.now + self.seconds) > self.abort_at:
                self.clock.now = self.abort_at
                return
            self.clock.now += self.seconds
            result = replace(self.worker(task), seconds={"total": self.seconds})
            yield Outcome(task, result, None, 0, self.seconds)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    monkeypatch.setattr("time.time", clock)
    return clock


def recorded(run):
    config = read_run(run).config
    return {**config.settings, "budgeted": config.budgeted_settings}, len(read_run(run).history)


@pytest.mark.parametrize("mode", ["generational", "asynchronous"])
def test_a_search_uses_its_time_and_resumes_with_the_same_size(tmp_path, mode, clock):
    run, executor = tmp_path / "run", Timed(clock, 3.0)
    settings = {"workdir": str(run), "executor": executor, "preset": "quick", "resume": True}
    settings |= {"mode": mode, "num_accepted": 2}
    result = search(minutes=1.0, **settings)
    config, num_trained = recorded(run)
    # 60 s, less 6 that are reserved and 2 in which 4 networks are timed; each takes 3.
    assert (num_trained, executor.num_timed, clock.now) == (17, 4, 1053.0)
    assert not result.complete
    assert config["num_generations"] == 7  # 3 were planned
    assert set(executor.settings) == {(config["epochs"], config["training_images"])}
    assert (config["num_accepted"], config["num_proposed"], config["minutes"]) == (2, 12, 1.0)
    assert config["budgeted"] == [name for name in BUDGETED if name != "num_accepted"]

    search(**{**settings, "minutes": 0.5})  # the same command, with less than it took
    assert recorded(run) == ({**config, "minutes": 0.5}, num_trained)

    search(**{**settings, "minutes": 1.25})
    after, num_after = recorded(run)
    assert num_after == num_trained + 6  # 75 s, less 51 of training and 6 that are reserved
    same = [name for name in BUDGETED if name != "num_generations"]
    assert [after[name] for name in same] == [config[name] for name in same]
    assert executor.num_timed == 4


def test_a_search_of_given_generations_is_complete_before_its_time(tmp_path, clock):
    run = tmp_path / "run"
    settings = {"workdir": str(run), "executor": Timed(clock), "num_generations": 2}
    assert search(preset="quick", minutes=10.0, **settings).complete
    config, num_trained = recorded(run)
    assert config["num_generations"] == 2
    assert search(resume=True, workdir=str(run), executor=Timed(clock)).complete
    assert recorded(run) == (config, num_trained)


def test_networks_that_take_too_long_are_aborted(tmp_path, clock):
    run, executor = tmp_path / "run", Timed(clock)

    class Slow(Callback):
        def on_network_end(self, state, record):
            executor.seconds = 1000.0 if state.num_trained == 10 else 1.0

    search(preset="quick", minutes=1.0, workdir=str(run), executor=executor, callbacks=[Slow()])
    assert recorded(run)[1] == 10
    assert clock.now == 1057.0  # 5 % of the time later than the end
    assert executor.abort_at == math.inf


def test_a_search_killed_before_it_was_sized_keeps_what_was_given(tmp_path, clock):
    class Killed(Callback):
        def on_search_begin(self, state):
            raise KeyboardInterrupt

    run = tmp_path / "run"
    settings = {"workdir": str(run), "executor": Timed(clock), "num_generations": 3}
    with pytest.raises(KeyboardInterrupt):
        search(preset="quick", minutes=1.0, callbacks=[Killed()], **settings)
    config, _ = recorded(run)
    assert config["training_images"] is None
    del settings["num_generations"]
    search(resume=True, **settings)
    config, _ = recorded(run)
    assert config["num_generations"] == 3
    assert config["training_images"] is not None


def test_a_budget_of_a_search_that_had_none_only_ends_it(tmp_path, clock):
    run = tmp_path / "run"
    settings = {"workdir": str(run), "executor": Timed(clock), "num_generations": 3}
    with pytest.raises(KeyboardInterrupt):
        search(preset="quick", callbacks=[Break(2)], **settings)
    before, _ = recorded(run)
    search(resume=True, minutes=0.25, **settings)
    after, num_trained = recorded(run)
    assert after == {**before, "minutes": 0.25}
    assert num_trained == 9  # 15 s less 6 that are reserved
