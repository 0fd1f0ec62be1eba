"""How long a search will take, told before it starts, from a few timed steps.

The workers time the initial networks: what each costs once (to compile, write and read), for a
training step at the real batch size, and for the evaluation of an image. A network then takes

    fixed + steps * step + images * image + measuring,

and a child that is distilled, once more fixed, the steps of distillation, and the evaluation of
its parent on the training images; `measuring` is what objectives of trained networks take beside
the error. With several data sets, a network takes so for each, but is measured once: the steps and
the images are those of all. A search is its initial networks and then, generation by
generation, as many rounds as it takes the workers to train the children.

Assumed is that children cost what the initial networks do on average, and that every generation is
full. Children that have grown take longer, those that have shrunk less: a search that comes to
networks many times as large as the initial ones takes longer than this says. While it runs, what
is left is told from the networks that were trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from lemonade_tf.executors import Executor
from lemonade_tf.monitoring.search_state import Estimate
from lemonade_tf.search_spaces import SearchSpace
from lemonade_tf.training.out_of_memory import effective_batch_size
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.tasks import Timing, TimingTask

FEWEST_NETWORKS = 20  # a search of fewer is not worth the seconds that an estimate takes


@dataclass(frozen=True)
class Workload:
    """What a search will do.

    Attributes:
        num_initial: Initial networks.
        num_generations: Generations after them.
        num_accepted: Children trained in each.
        num_workers: Processes that train them.
        share_distilled: The share of children that are distilled.
        num_training_images: Images of an epoch, of all data sets.
        num_evaluated_images: Images on which a trained network is evaluated, of all data sets.
        settings: How networks are trained.
        num_data_sets: On how many data sets.
    """

    num_initial: int
    num_generations: int
    num_accepted: int
    num_workers: int
    share_distilled: float
    num_training_images: int
    num_evaluated_images: int
    settings: TrainingSettings
    num_data_sets: int = 1


def share_distilled(space: SearchSpace) -> float:
    """Return the share of children with at least one approximate operator.

    A child has k operators, k uniform on 1 to n, each drawn uniformly; so it is the mean of
    1 - (exact / all) ** k: 0.71 for the six operators of the paper and n = 3. That all of them
    apply is true of large networks; of the initial ones' children, about half are distilled.
    """
    share = len(space.exact) / (len(space.exact) + len(space.approximate))
    return fmean(1 - share**k for k in range(1, space.max_operators + 1))


def estimate(timings: Sequence[Timing], workload: Workload) -> Estimate:
    """Return how long a search will take whose initial networks take what was measured."""
    settings = workload.settings
    fixed = workload.num_data_sets * fmean(timing.fixed for timing in timings)
    step = fmean(timing.step for timing in timings)
    image = fmean(timing.image for timing in timings)
    measuring = fmean(timing.measuring for timing in timings)
    images = workload.num_training_images
    epoch = step * (images // effective_batch_size(settings, images))

    initial = fixed + settings.epochs * epoch + workload.num_evaluated_images * image + measuring
    distillation = fixed + settings.distillation_epochs * epoch + images * image
    is_distilled = workload.share_distilled if settings.distillation_epochs else 0.0
    child = initial + is_distilled * distillation

    seconds = initial * ceil(workload.num_initial / workload.num_workers)
    rounds = ceil(workload.num_accepted / workload.num_workers)
    seconds += child * rounds * workload.num_generations
    return Estimate(
        seconds_per_initial=initial,
        seconds_per_child=child,
        hours=seconds / 3600,
        num_networks=workload.num_initial + workload.num_generations * workload.num_accepted,
        num_workers=workload.num_workers,
    )


def measure(
    executor: Executor,
    architectures: Sequence[str],
    *,
    objectives: Sequence[str] = (),
    num_workers: int,
    deadline: float | None = None,
) -> list[Timing]:
    """Have the workers time networks, and return what they measured.

    Every worker has something to do, for that is how busy the machine will be: where there are
    more workers than networks, these are timed several times.

    Args:
        executor: Has workers that `start_worker` sets up.
        architectures: The networks, as JSON of `architecture.text`.
        objectives: The expensive objectives to measure beside the error, by name.
        num_workers: How many workers it has.
        deadline: When to stop, as a value of `time.monotonic`.

    Returns:
        The timings; fewer or none, if networks do not fit into memory or time was up.
    """
    times = ceil(num_workers / len(architectures))
    tasks = [TimingTask(each, tuple(objectives)) for each in [*architectures] * times]
    outcomes = executor.run(tasks, deadline=deadline)
    return [outcome.result for outcome in outcomes if outcome.failure is None]
