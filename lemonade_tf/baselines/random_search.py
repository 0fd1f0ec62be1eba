"""Random search, a baseline: networks drawn at random, trained from scratch (section 5.1, no. 3).

"We generated random networks, trained and evaluated them and computed the resulting Pareto front.
The number and parameter range of these random networks as well as the training time was exactly
the same as for LEMONADE." Compared with a run of LEMONADE, that means here

- as many networks as it trained, its initial ones included;
- sizes drawn log-uniformly between its smallest and its largest network. Size is the number of
  parameters; or the first cheap objective, of a run that does not minimise that;
- the same training of each network (A.4.4: "all models are trained for 20 epochs"): as many epochs
  as a child has, and all other settings. What LEMONADE has beyond that, a child's inherited weights
  and its epochs of distillation, is what is compared.

A random network is the end of a random walk by the operators of the search space, on shapes: from
an initial network, some steps to wherever they lead, and then only steps that lead nearer to the
size that was drawn, until it is within ten percent of that. All networks are different.

The run folder is that of a search with one generation, all of whose networks are without parents;
proposals.jsonl has the walks. Its hypervolumes refer to the same point as those of the run.
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
from lemonade_tf.datasets.loading import load_datasets
from lemonade_tf.evolution import Batch, Individual, Proposal, Purpose, child_seed
from lemonade_tf.executors import Executor
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.objectives.builtin import PARAMETERS
from lemonade_tf.objectives.limits import Limit, exceeded
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.runs import Run
from lemonade_tf.runs.same_images import check_same_images
from lemonade_tf.search.driver import SearchResult, conduct
from lemonade_tf.search.run import SearchError, SearchRun
from lemonade_tf.search.setup import begin
from lemonade_tf.search_spaces import SearchSpace
from lemonade_tf.store import RandomSearchRecord

NEAR = 1.1  # a size is near another if neither is more than this many times the other
NUM_FREE_STEPS = 10
MAX_PROPOSALS = 1000  # of one walk
MAX_WALKS = 20  # that fail, or end at a network that was met before or exceeds a limit, for one


@dataclass(frozen=True)
class Walk:
    """A random network, and how it was made.

    Attributes:
        graph: Its shapes.
        initial: The number of the initial network that the walk began at.
        operators: The records of the operators that lead from there.
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
) -> SearchResult:
    """Train random networks, as many and as large as those of a run.

    Ctrl-C once ends it when what runs is finished; what it leaves is then not `complete`, and
    cannot be gone on with.

    Args:
        run: The run of LEMONADE to compare with; see `read_run`.
        workdir: The folder of the new run.
        seed: Of everything random.
        workers: Processes that train; by default as for a search.
        callbacks: Told of the progress.

    Raises:
        SearchError: The run has no trained network, or its range of sizes has too few networks.
        DatasetError: The data set cannot be read.
        StoreError: The folder holds a run, or cannot be written; or the data set is not the one
            that the other run began with.
    """
    started = time.monotonic()
    if not run.trained:
        raise SearchError(f"{run.store.path} has no trained network to compare with.")
    config = _config(run, workdir, seed, workers)
    dataset, further = load_datasets(config.dataset, config.data_dir)
    check_same_images(run.store.path, dataset, run.config.images)
    for name, data in further.items():
        check_same_images(run.store.path, data, run.config.extra_datasets[name])
    size = size_of(run)
    sizes = [record.objectives[size.name] for record in run.trained]
    bounds = (min(sizes), max(sizes))
    setup = begin(
        config,
        dataset,
        further=further,
        matched=run.config,
        random_search=RandomSearchRecord(str(run.store.path), size.name, bounds),
    )

    def train(new: SearchRun, executor: Executor) -> bool:
        new.state.num_expected = config.num_accepted
        new.tell("on_search_begin")
        walks = random_networks(
            new.space,
            new.initial,
            config.num_accepted,
            size=size,
            bounds=bounds,
            seed=seed,
            limits=new.limits,
        )
        cheap = {number: _cheap(new, walk.graph) for number, walk in enumerate(walks)}
        proposals = tuple(_proposal(n, walk, cheap[n]) for n, walk in enumerate(walks))
        new.begin_generation(Batch(1, len(proposals), proposals))
        individuals = [
            Individual(1, n, None, (), walk.graph, cheap[n]) for n, walk in enumerate(walks)
        ]
        num_evaluated = sum(1 for _ in new.evaluate(executor, individuals))
        new.end_generation(executor)
        return num_evaluated == len(individuals)

    return conduct(setup, dataset, callbacks, started, train)


def size_of(run: Run) -> Objective:
    """Return the objective that is the size of a network in a run."""
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
    """Return random networks that are all different.

    Args:
        space: The search space.
        initial: Its initial networks, shapes only.
        count: How many networks.
        size: What the size of a network is.
        bounds: The smallest and the largest size.
        seed: Of everything random.
        limits: What no network may exceed.

    Raises:
        SearchError: Too few networks of such sizes were found.
    """
    walks: list[Walk] = []
    met: set[str] = set()
    while len(walks) < count:
        rng = np.random.default_rng(child_seed(seed, 1, len(walks), Purpose.STRUCTURE))
        for _ in range(MAX_WALKS):
            target = exp(rng.uniform(log(bounds[0]), log(bounds[1])))
            walk = random_walk(space, initial, size=size, target=target, bounds=bounds, rng=rng)
            key = None if walk is None else canonical_hash(walk.graph)
            if key is not None and key not in met and not exceeded(limits, walk.graph):
                met.add(key)
                walks.append(walk)
                break
        else:
            raise SearchError(
                f"only {len(walks)} of {count} random networks with {bounds[0]:,.0f} to"
                f" {bounds[1]:,.0f} {size.name} were found; compare with a longer run, whose"
                " networks differ more in size."
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
    """Walk from one of the initial networks to a network of a size.

    Args:
        space: Proposes the steps.
        initial: Where to begin, shapes only.
        size: What the size of a network is.
        target: The size to come near to.
        bounds: The smallest and the largest size to end at.
        rng: Draws all.

    Returns:
        The network and how it was made; None if the walk did not arrive.
    """
    number = int(rng.integers(len(initial)))
    graph, operators, num_steps = initial[number], [], 0
    low, high = max(bounds[0], target / NEAR), min(bounds[1], target * NEAR)
    for _ in range(MAX_PROPOSALS):
        if num_steps >= NUM_FREE_STEPS and low <= size.value(graph) <= high:
            return Walk(graph, number, tuple(operators))
        made = space.propose(graph, rng=rng)
        if made is None:
            continue
        step, records = made
        if num_steps < NUM_FREE_STEPS or _off(size, step, target) < _off(size, graph, target):
            graph, num_steps = step, num_steps + 1
            operators.extend(records)
    return None


def _off(size: Objective, graph: Graph, target: float) -> float:
    return abs(log(size.value(graph) / target))


def _config(run: Run, workdir: str, seed: int, workers: int | None) -> SearchConfig:
    """Return the settings of a run as those of one generation of as many networks."""
    settings = SearchConfig.from_flat(run.config.settings)
    count = len(run.trained)
    return replace(
        settings,
        workdir=str(workdir),
        seed=seed,
        workers=workers,
        max_hours=None,
        initial_run=None,
        num_generations=1,
        num_proposed=count,
        num_accepted=count,
    )


def _cheap(run: SearchRun, graph: Graph) -> Mapping[str, float]:
    return {objective.name: objective.value(graph) for objective in run.cheap}


def _proposal(number: int, walk: Walk, cheap: Mapping[str, float]) -> Proposal:
    """Return what is put on record of a walk, as if its end were a child of its beginning."""
    child = Individual(1, number, f"0-{walk.initial}", walk.operators, walk.graph, cheap)
    return Proposal(child, outcome="accepted")
