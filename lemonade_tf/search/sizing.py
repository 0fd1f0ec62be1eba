"""Size a search to a time budget, from measured training steps: the setting `minutes`.

The search starts from the settings of its preset. The seconds that are left after the workers have
started and timed the initial networks are those of the initial networks and of the children; a
child takes GROWTH times as long as estimated from the initial networks, as children grow, and
workers wait for the end of a generation. If fewer than WANTED_CHILDREN children can be trained, or
fewer than WANTED_ROUNDS per worker, epochs are reduced first, down to MIN_EPOCHS (those of
distillation in proportion), and then the number of training images, down to MIN_IMAGES, or
MIN_IMAGES_PER_CLASS for each class. At least MIN_CHILDREN children must remain. A generation then
has about as many children as there are generations, at most those of the preset, and a multiple of
the workers. If a network trains for fewer than SHORT_STEPS steps, the learning rate becomes
SHORT_LEARNING_RATE, unless the search starts from trained networks. Settings that the user gave
stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from math import ceil, sqrt
from typing import TYPE_CHECKING

from lemonade_tf.monitoring.durations import format_duration
from lemonade_tf.search.estimate import Workload, estimate
from lemonade_tf.search.failures import BudgetError
from lemonade_tf.store import StoreError

if TYPE_CHECKING:
    from lemonade_tf.config import SearchConfig
    from lemonade_tf.search.setup import Setup
    from lemonade_tf.workers.tasks import Timing

GROWTH = 1.4
WANTED_CHILDREN, WANTED_ROUNDS, MIN_CHILDREN = 40, 8, 4
MIN_EPOCHS = 3
MIN_IMAGES, MIN_IMAGES_PER_CLASS = 1000, 20
SHORT_STEPS, SHORT_LEARNING_RATE = 2000, 0.05

BUDGETED = (
    "training_images",
    "epochs",
    "distillation_epochs",
    "num_generations",
    "num_proposed",
    "num_accepted",
    "learning_rate",
)


def with_time_budget(setup: Setup, given: Collection[str], *, is_new: bool) -> Setup:
    """Return a setup that tells which settings its time budget chooses, and record them.

    They are known from the start of the search on; a setting that is given when it is resumed stays
    as well.

    Args:
        setup: The run.
        given: The names of the settings that the user gave.
        is_new: Whether the run starts; one that started without a budget keeps its settings.

    Raises:
        StoreError: If config.json cannot be written; the folder is released then.
    """
    recorded = setup.store.read_config()
    names = recorded.budgeted_settings
    if names is None and setup.config.minutes is not None and is_new:
        names = [name for name in BUDGETED if name not in given]
        try:
            setup.store.write_config(replace(recorded, budgeted_settings=names))
        except StoreError:
            setup.store.release()
            raise
    return replace(setup, budgeted=[name for name in names or () if name not in given])


def sized(
    config: SearchConfig,
    workload: Workload,
    timings: Sequence[Timing],
    *,
    seconds: float,
    spent: float,
    num_images: int,
    num_classes: int,
    budgeted: Collection[str] = BUDGETED,
) -> tuple[SearchConfig, str]:
    """Return the settings of a search that fits into a time, and why, in one line.

    Args:
        config: The settings of the preset, and those given.
        workload: The work of the search with them.
        timings: Those of the initial networks.
        seconds: How long the search may still train.
        spent: How long it took until now, in seconds, for the error message.
        num_images: All training images of the first data set.
        num_classes: Its classes.
        budgeted: The names of the settings to choose; the others stay.

    Raises:
        BudgetError: If the time is too short.
    """
    start = min(num_images, config.training_images or num_images)
    wanted = _wanted(config, workload.num_workers, budgeted)
    chosen, count = config, 0
    for chosen in _candidates(replace(config, training_images=start), num_classes, budgeted):
        count = _num_children(chosen, workload, timings, seconds, num_images)
        if count >= wanted:
            break
    if count < min(MIN_CHILDREN, wanted):
        raise BudgetError(_too_short(chosen, workload, timings, spent, num_images))
    result = replace(chosen, **_generations(chosen, count, workload.num_workers, budgeted))
    if "learning_rate" in budgeted and _is_short(result):
        training = replace(result.training, learning_rate=SHORT_LEARNING_RATE)
        result = replace(result, training=training)
    epochs, images = result.training.epochs, result.training_images
    each = _seconds_per_child(chosen, workload, timings, num_images)
    return result, (
        f"Chosen for --minutes {config.minutes:g}: {epochs} of {config.training.epochs} epochs on"
        f" {images:,} of {start:,} images, a learning rate of {result.training.learning_rate:g},"
        f" {result.num_accepted} children per generation. A child"
        f" takes about {format_duration(each)}, so about {count:,} can be trained in the"
        f" {format_duration(seconds)} that are left."
    )


def _wanted(config: SearchConfig, num_workers: int, budgeted: Collection[str]) -> int:
    """Return the number of children for which epochs and images are reduced."""
    if "num_generations" not in budgeted and (
        config.num_generations == 0 or "num_accepted" not in budgeted
    ):
        return config.num_generations * config.num_accepted
    return max(WANTED_CHILDREN, WANTED_ROUNDS * num_workers)


def _candidates(
    config: SearchConfig, num_classes: int, budgeted: Collection[str]
) -> Iterator[SearchConfig]:
    """Yield settings, each cheaper than the one before."""
    yield config
    training = config.training
    if "epochs" in budgeted:
        for epochs in range(training.epochs - 1, min(training.epochs, MIN_EPOCHS) - 1, -1):
            changes = {"epochs": epochs}
            if "distillation_epochs" in budgeted and training.distillation_epochs:
                share = epochs / training.epochs
                changes["distillation_epochs"] = max(1, round(share * training.distillation_epochs))
            config = replace(config, training=replace(training, **changes))
            yield config
    least = max(MIN_IMAGES, MIN_IMAGES_PER_CLASS * num_classes)
    images = config.training_images or 0
    while "training_images" in budgeted and images > least:
        images = max(least, int(0.9 * images))
        yield replace(config, training_images=images)


def _is_short(config: SearchConfig) -> bool:
    """Return whether a training from new weights has few steps."""
    steps = config.training.epochs * (config.training_images or 0) / config.training.batch_size
    return steps < SHORT_STEPS and not (config.initial_models or config.initial_run)


def _workload(config: SearchConfig, workload: Workload, num_images: int) -> Workload:
    """Return the work of a search with other settings."""
    share = (config.training_images or num_images) / num_images
    images = round(share * workload.num_training_images)
    return replace(workload, settings=config.training, num_training_images=images)


def _seconds(timings: Sequence[Timing], workload: Workload, num_children: int) -> float:
    work = replace(workload, num_generations=1, num_accepted=num_children)
    return 3600 * estimate(timings, work).hours


def _seconds_per_child(
    config: SearchConfig, workload: Workload, timings: Sequence[Timing], num_images: int
) -> float:
    """Return the seconds of a child on its worker."""
    work = _workload(config, workload, num_images)
    return GROWTH * estimate(timings, work).seconds_per_child


def _num_children(
    config: SearchConfig,
    workload: Workload,
    timings: Sequence[Timing],
    seconds: float,
    num_images: int,
) -> int:
    """Return how many children can be trained in a time."""
    work, many = _workload(config, workload, num_images), 10 * workload.num_workers
    initial = _seconds(timings, work, 0)
    each = GROWTH * (_seconds(timings, work, many) - initial) / many
    return max(0, int((seconds - initial) / each))


def _generations(
    config: SearchConfig, count: int, num_workers: int, budgeted: Collection[str]
) -> dict[str, int]:
    """Return the settings that divide children among generations."""
    accepted, generations = config.num_accepted, config.num_generations
    if "num_accepted" in budgeted:
        even = sqrt(count) if "num_generations" in budgeted else count / max(1, generations)
        most = max(1, accepted // num_workers) * num_workers
        accepted = max(1, min(count, ceil(even / num_workers) * num_workers, most))
    if "num_generations" in budgeted:
        generations = max(1, ceil(count / accepted))
    proposed = config.num_proposed
    if "num_proposed" in budgeted:
        proposed = ceil(accepted * config.num_proposed / config.num_accepted)
    return {
        "num_generations": generations,
        "num_accepted": min(accepted, proposed),
        "num_proposed": proposed,
    }


def _too_short(
    config: SearchConfig,
    workload: Workload,
    timings: Sequence[Timing],
    spent: float,
    num_images: int,
) -> str:
    work = _workload(config, workload, num_images)
    initial = _seconds(timings, work, 0)
    each = (_seconds(timings, work, 10 * work.num_workers) - initial) / (10 * work.num_workers)
    needed = spent + initial + GROWTH * MIN_CHILDREN * each
    return (
        f"--minutes {config.minutes:g} is too short: starting and timing took"
        f" {format_duration(spent)}, and {workload.num_initial} initial networks and"
        f" {MIN_CHILDREN} children, with {config.training.epochs} epochs of"
        f" {config.training_images:,} images, take about {format_duration(needed - spent)} more;"
        f" give at least --minutes {ceil(1.1 * needed / 60)}, or fewer --epochs."
    )
