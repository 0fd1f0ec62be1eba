"""Random search, a baseline: random networks, trained from scratch (section 5.1, no. 3).

"We generated random networks, trained and evaluated them and computed the resulting Pareto front.
The number and parameter range of these random networks as well as the training time was exactly
the same as for LEMONADE." For a random search matched to a run of LEMONADE, this means

- as many networks as it trained, including its initial ones;
- sizes drawn log-uniformly between its smallest and its largest network. The size is the number of
  parameters, or the first cheap objective if the run does not minimize parameters;
- the same training of each network (A.4.4: "all models are trained for 20 epochs"): as many epochs
  as a child, and all other settings. What LEMONADE has in addition, a child's inherited weights and
  its epochs of distillation, is what is compared.

A random network is the end of a random walk by the operators of the search space, on shapes: from
an initial network, first a number of free steps, then only steps that bring the size closer to the
size that was drawn, until it is within ten percent. All networks are different.

The run folder is that of a search with one generation, in which no network has a parent;
proposals.jsonl contains the walks. Its hypervolumes have the reference point of the matched run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.config import SearchConfig
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.loading import load_datasets, reading_text
from lemonade_tf.evolution import Batch, Individual, Proposal, Purpose, child_seed
from lemonade_tf.executors import Executor
from lemonade_tf.monitoring.callback import Callback, announce
from lemonade_tf.objectives.builtin import PARAMETERS
from lemonade_tf.objectives.limits import Limit, exceeded
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.runs import Run
from lemonade_tf.runs.same_images import check_same_images
from lemonade_tf.search.failures import SearchError
from lemonade_tf.search.session import SearchResult, Session, run_session
from lemonade_tf.search.setup import Setup
from lemonade_tf.search.start import start_run
from lemonade_tf.search.worker_processes import workers_text
from lemonade_tf.search_spaces import SearchSpace
from lemonade_tf.store import RandomSearchRecord

SIZE_TOLERANCE = 1.1  # sizes are close if neither is more than this factor times the other
NUM_FREE_STEPS = 10
MAX_PROPOSALS = 1000  # per walk
MAX_WALKS = 20  # per network: walks that fail, or end at a duplicate or over a limit


@dataclass(frozen=True)
class Walk:
    """Describe a random network and the walk that leads to it.

    Attributes:
        graph: The network; shapes only.
        initial: The number of the initial network at which the walk starts.
        operators: The records of the operators that lead from there to the network.
    """

    graph: Graph
    initial: int
    operators: tuple[dict[str, Any], ...]


def random_search(
    run: Run,
    workdir: str,
    *,
    seed: int,
    workers: int | None = None,
    callbacks: Sequence[Callback] = (),
    executor: Executor | None = None,
) -> SearchResult:
    """Train random networks, as many and as large as those of a run.

    The first Ctrl-C ends it when the running networks are finished; the result is then not
    `complete`, and cannot be resumed.

    Args:
        run: The run of LEMONADE to compare with; see `read_run`.
        workdir: The folder of the new run.
        seed: The random seed.
        workers: Worker processes; by default as for a search.
        callbacks: Informed of the progress.
        executor: Trains the networks; see `search`.

    Raises:
        SearchError: If the run has no trained network, or its range of sizes contains too few
            networks.
        DatasetError: If the data set cannot be read.
        StoreError: If the folder already holds a run, or cannot be written, or the images differ
            from those of the run.
    """
    started = time.monotonic()
    if not run.trained:
        raise SearchError(
            f"{run.store.path} has no trained network; choose a run of LEMONADE to compare with."
        )
    config = _config(run, workdir, seed, workers)
    size = size_of(run)
    sizes = [record.objectives[size.name] for record in run.trained]
    bounds = (min(sizes), max(sizes))

    def train(session: Session) -> bool:
        state = session.reporter.state
        state.num_expected, state.num_initial = config.num_accepted, 0
        session.reporter.begin_search()
        session.reporter.announce(f"Drawing {config.num_accepted} random networks.")
        walks = random_networks(
            session.setup.space,
            session.setup.initial,
            config.num_accepted,
            size=size,
            bounds=bounds,
            seed=seed,
            limits=session.setup.limits,
        )
        session.reporter.announce(f"Training them on {workers_text(session.executor)}.")
        session.reporter.begin_training()
        return _train(session, walks)

    with ArrayFiles(config.cache_dir) as files:
        announce(callbacks, reading_text(config.dataset))
        dataset, extra = _same_datasets(run, config, files)
        setup = start_run(
            config,
            dataset,
            extra=extra,
            matched=run.config,
            random_search=RandomSearchRecord(str(run.store.path), size.name, bounds),
        )
        return run_session(setup, train, callbacks=callbacks, started=started, executor=executor)


def _same_datasets(
    run: Run, config: SearchConfig, files: ArrayFiles
) -> tuple[Dataset, dict[str, Dataset]]:
    """Load the data sets of a run, and check that they have not changed."""
    dataset, extra = load_datasets(
        config.dataset,
        config.data_dir,
        allocate=files.allocate,
        cache_dir=config.cache_dir,
        image_size=config.image_size,
    )
    check_same_images(run.store.path, dataset, run.config.images)
    for name, data in extra.items():
        check_same_images(run.store.path, data, run.config.extra_datasets[name])
    return dataset, extra


def _train(session: Session, walks: Sequence[Walk]) -> bool:
    """Train the networks of the walks as one generation; return whether it is complete."""
    cheap = [_cheap(session.setup, walk.graph) for walk in walks]
    proposals = tuple(
        Proposal(
            Individual(1, n, f"0-{walk.initial}", walk.operators, walk.graph, cheap[n]), "accepted"
        )
        for n, walk in enumerate(walks)
    )
    session.begin_generation(Batch(1, len(proposals), proposals))
    networks = {
        network.id: network
        for network in (
            Individual(1, n, None, (), walk.graph, cheap[n]) for n, walk in enumerate(walks)
        )
    }
    num_evaluated = sum(1 for _ in session.evaluator.evaluate(list(networks.values())))
    session.end_generation([networks[id_] for id_ in session.evaluator.front.members])
    return num_evaluated == len(networks)


def size_of(run: Run) -> Objective:
    """Return the objective that random search takes as the size of a network."""
    cheap = [objective for objective in run.objectives if objective.cheap]
    return next((o for o in cheap if o.name == PARAMETERS.name), cheap[0])


def random_networks(
    space: SearchSpace,
    initial: Sequence[Graph],
    count: int,
    *,
    size: Objective,
    bounds: tuple[float, float],
    seed: int,
    limits: Sequence[Limit] = (),
) -> list[Walk]:
    """Draw random networks that are all different.

    Args:
        space: The search space.
        initial: Its initial networks; shapes only.
        count: The number of networks.
        size: The objective that is the size of a network.
        bounds: The smallest and the largest size.
        seed: The random seed.
        limits: The limits that no network may exceed.

    Raises:
        SearchError: If too few networks of such sizes are found.
    """
    walks: list[Walk] = []
    seen: set[str] = set()
    while len(walks) < count:
        rng = np.random.default_rng(child_seed(seed, 1, len(walks), Purpose.STRUCTURE))
        for _ in range(MAX_WALKS):
            target = exp(rng.uniform(log(bounds[0]), log(bounds[1])))
            walk = random_walk(space, initial, size=size, target=target, bounds=bounds, rng=rng)
            if walk is None or exceeded(limits, walk.graph):
                continue
            key = canonical_hash(walk.graph)
            if key not in seen:
                seen.add(key)
                walks.append(walk)
                break
        else:
            raise SearchError(
                f"random search found only {len(walks)} of {count} networks with"
                f" {bounds[0]:,.0f} to {bounds[1]:,.0f} {size.name}; compare with a longer run,"
                " whose networks differ more in size."
            )
    return walks


def random_walk(
    space: SearchSpace,
    initial: Sequence[Graph],
    *,
    size: Objective,
    target: float,
    bounds: tuple[float, float],
    rng: np.random.Generator,
) -> Walk | None:
    """Walk from a random initial network to a network of about a given size.

    Args:
        space: Proposes the steps.
        initial: The networks to start from; shapes only.
        size: The objective that is the size of a network.
        target: The size to reach, within `SIZE_TOLERANCE`.
        bounds: The smallest and the largest size allowed at the end.
        rng: The random generator.

    Returns:
        The network and its operators; None if the walk did not reach the size.
    """
    number = int(rng.integers(len(initial)))
    graph, num_steps = initial[number], 0
    operators: list[dict[str, Any]] = []
    low, high = max(bounds[0], target / SIZE_TOLERANCE), min(bounds[1], target * SIZE_TOLERANCE)
    for _ in range(MAX_PROPOSALS):
        if num_steps >= NUM_FREE_STEPS and low <= size.value(graph) <= high:
            return Walk(graph, number, tuple(operators))
        made = space.propose(graph, rng=rng)
        if made is None:
            continue
        step, records = made
        is_free = num_steps < NUM_FREE_STEPS
        if is_free or _distance(size, step, target) < _distance(size, graph, target):
            graph, num_steps = step, num_steps + 1
            operators.extend(records)
    return None


def _distance(size: Objective, graph: Graph, target: float) -> float:
    """Return how far the size of a network is from a target, as a logarithm."""
    return abs(log(size.value(graph) / target))


def _config(run: Run, workdir: str, seed: int, workers: int | None) -> SearchConfig:
    """Return the settings of a run for one generation of as many networks."""
    settings = SearchConfig.from_flat(run.config.settings)
    count = len(run.trained)
    return replace(
        settings,
        workdir=str(workdir),
        seed=seed,
        workers=workers,
        minutes=None,
        max_hours=None,
        initial_run=None,
        initial_models=(),
        mode="generational",
        replay=None,
        num_generations=1,
        num_proposed=count,
        num_accepted=count,
    )


def _cheap(setup: Setup, graph: Graph) -> Mapping[str, float]:
    return {o.name: o.value(graph) for o in setup.objectives if o.cheap}
