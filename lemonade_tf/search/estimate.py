"""Estimate the duration of a search before it starts, from a few timed steps.

The workers time the initial networks: the fixed cost of each (compiling, writing, reading), a
training step at the real batch size, and the evaluation per image. A network then takes

    fixed + steps * step + images * image + measuring,

and a child that is distilled, in addition, another `fixed`, the steps of distillation, and the
evaluation of its parent on the training images; `measuring` is the time of the objectives that are
measured on trained networks, except for the error. With several data sets, a network is trained on
each but measured once: the steps and images are those of all. A search consists of its initial
networks and then, for each generation, as many rounds as the workers need to train the children; an
asynchronous one needs no more rounds than for all children together. Workers that share GPUs take
turns at training steps, so a generation takes at least as long as the steps of all its children on
these GPUs.

The estimate assumes that children cost as much as the initial networks on average, and that every
generation is full. Children that have grown take longer, those that have shrunk take less: a search
that reaches networks many times as large as the initial ones takes longer than estimated. While it
runs, the time left is estimated from the networks trained so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING

from lemonade_tf.architecture.text import to_json
from lemonade_tf.monitoring.callback import Estimate
from lemonade_tf.training.out_of_memory import effective_batch_size
from lemonade_tf.workers.tasks import Timing, TimingTask

if TYPE_CHECKING:
    from lemonade_tf.datasets.dataset import Dataset
    from lemonade_tf.executors import Executor
    from lemonade_tf.search.setup import Setup
    from lemonade_tf.search_spaces import SearchSpace
    from lemonade_tf.training.settings import TrainingSettings

MIN_NETWORKS = 20  # for a smaller search, the estimate would take too large a share of the time


@dataclass(frozen=True)
class Workload:
    """Describe the work of a search.

    Attributes:
        num_initial: Initial networks.
        num_generations: Generations after them.
        num_accepted: Children trained per generation.
        num_workers: Workers that train them.
        num_turns: How many of them train at a time; see `Executor.num_turns`.
        share_distilled: The share of children that are distilled.
        num_training_images: Images per epoch, of all data sets.
        num_evaluated_images: Images on which a trained network is evaluated, of all data sets.
        settings: The training settings.
        num_datasets: The number of data sets.
        is_asynchronous: Whether no worker waits for the end of a generation.
    """

    num_initial: int
    num_generations: int
    num_accepted: int
    num_workers: int
    num_turns: int
    share_distilled: float
    num_training_images: int
    num_evaluated_images: int
    settings: TrainingSettings
    num_datasets: int = 1
    is_asynchronous: bool = False

    @classmethod
    def of(cls, setup: Setup, executor: Executor) -> Workload:
        """Return the work of a run."""
        datasets = (setup.dataset, *(extra.dataset for extra in setup.extra_datasets))
        return cls(
            num_initial=len(setup.initial),
            num_generations=setup.config.num_generations,
            num_accepted=setup.config.num_accepted,
            num_workers=executor.num_workers,
            num_turns=executor.num_turns,
            share_distilled=share_distilled(setup.space),
            num_training_images=sum(
                min(len(data.x_train), setup.config.training_images or len(data.x_train))
                for data in datasets
            ),
            num_evaluated_images=sum(map(_num_evaluated, datasets)),
            settings=setup.config.training,
            num_datasets=len(datasets),
            is_asynchronous=setup.config.mode == "asynchronous",
        )

    @property
    def num_networks(self) -> int:
        """The number of networks that the search trains."""
        return self.num_initial + self.num_generations * self.num_accepted


def estimate_search(
    setup: Setup, executor: Executor, *, deadline: float | None = None
) -> Estimate | None:
    """Estimate the duration of a search by timing its initial networks.

    Args:
        setup: The run.
        executor: Its workers time the networks.
        deadline: When to stop, a value of `time.monotonic`.

    Returns:
        The estimate; None for a small search, or if no network could be timed.
    """
    workload = Workload.of(setup, executor)
    if workload.num_networks < MIN_NETWORKS:
        return None
    timings = time_networks(
        executor,
        [to_json(graph) for graph in setup.initial],
        objectives=setup.measured_objectives,
        deadline=deadline,
    )
    return estimate(timings, workload) if timings else None


def share_distilled(space: SearchSpace) -> float:
    """Return the share of children with at least one approximate operator.

    A child has k operators, k uniform on 1 to n, each drawn uniformly; so the share is the mean of
    1 - (exact / all) ** k: 0.71 for the six operators of the paper and n = 3. On large networks,
    all operators apply; of the initial networks' children, about half are distilled.
    """
    share = len(space.exact) / (len(space.exact) + len(space.approximate))
    return fmean(1 - share**k for k in range(1, space.max_operators + 1))


def estimate(timings: Sequence[Timing], workload: Workload) -> Estimate:
    """Estimate the duration of a search from the timings of its initial networks."""
    settings = workload.settings
    fixed = workload.num_datasets * fmean(timing.fixed for timing in timings)
    step = fmean(timing.step for timing in timings)
    image = fmean(timing.image for timing in timings)
    measuring = fmean(timing.measuring for timing in timings)
    images = workload.num_training_images
    epoch = step * (images // effective_batch_size(settings, images))

    training, distilling = settings.epochs * epoch, settings.distillation_epochs * epoch
    is_distilled = workload.share_distilled if settings.distillation_epochs else 0.0
    initial = fixed + training + workload.num_evaluated_images * image + measuring
    child = initial + is_distilled * (fixed + distilling + images * image)

    def seconds_of(count: int, each: float, in_turn: float) -> float:
        rounds = ceil(count / workload.num_workers)
        return max(rounds * each, count * in_turn / workload.num_turns)

    num_batches, batch = workload.num_generations, workload.num_accepted
    if workload.is_asynchronous:
        num_batches, batch = 1, num_batches * batch
    seconds = seconds_of(workload.num_initial, initial, training)
    seconds += num_batches * seconds_of(batch, child, training + is_distilled * distilling)
    return Estimate(
        seconds_per_initial=initial,
        seconds_per_child=child,
        hours=seconds / 3600,
        num_networks=workload.num_networks,
        num_workers=workload.num_workers,
    )


def time_networks(
    executor: Executor,
    architectures: Sequence[str],
    *,
    objectives: Sequence[str] = (),
    deadline: float | None = None,
) -> list[Timing]:
    """Time networks on the workers.

    All workers are kept busy, as in the search: with more workers than networks, each network is
    timed several times.

    Args:
        executor: Its workers time the networks.
        architectures: The networks, as JSON of `architecture.text`.
        objectives: The expensive objectives to measure in addition to the error, by name.
        deadline: When to stop, a value of `time.monotonic`.

    Returns:
        The timings; fewer or none if networks run out of memory, or time is up.
    """
    num_repeats = ceil(executor.num_workers / len(architectures))
    tasks = [TimingTask(each, tuple(objectives)) for each in [*architectures] * num_repeats]
    outcomes = executor.run(tasks, deadline=deadline)
    return [outcome.result for outcome in outcomes if outcome.failure is None]


def _num_evaluated(dataset: Dataset) -> int:
    """Return the number of images on which a trained network is evaluated."""
    return len(dataset.x_validation) + (0 if dataset.x_test is None else len(dataset.x_test))
