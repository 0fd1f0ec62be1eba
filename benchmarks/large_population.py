"""Measure how the time of a generation grows with the history and with the population.

    python benchmarks/large_population.py [--quick]

Only the evolution runs, with a toy problem instead of networks: a "network" is a point and a child
is its parent moved a little. One child in thirty is better than its parent and replaces it, so that
the front keeps its size. Each generation proposes 200 children and evaluates 40, as in the paper.

For 3 and 5 cheap objectives, prints CPU seconds per generation and memory
- after 1,000 and after 100,000 evaluated children, with a front of 1,000;
- for fronts of 250, 500, 1,000 and 2,000.

The last line is the ratio of seconds per generation after 100,000 children to those after 1,000.
Target: at most 1.2. When the front doubles in size, n log n grows by a factor of 2.2.
"""

import itertools
import resource
import statistics
import time
from dataclasses import dataclass

import numpy as np
from script import Parser, run_benchmark

from lemonade_tf.evolution import Evaluation, Evolution, EvolutionSettings, Individual, evolve
from lemonade_tf.objectives import Objective

TARGET = 1.2


@dataclass(frozen=True)
class Toy:
    """A stand-in for a graph: its cheap objectives, and whether it is better than its parent."""

    values: tuple[float, ...]
    better: bool = False


def front(size, num_cheap, rng):
    """Return points on a simplex, none of which dominates another."""
    points = rng.dirichlet(np.ones(num_cheap + 1), size)
    return [1 + point for point in points]


def search(size, num_cheap, num_generations, seed=0):
    """Yield the seconds of each generation."""
    rng = np.random.default_rng(seed)
    cheap = [
        Objective(f"cheap_{k}", "log", compute=lambda toy, k=k: toy.values[k])
        for k in range(num_cheap)
    ]
    errors = {}

    def propose(parent, rng):
        better = rng.random() < 1 / 30
        factor = 1 - 1e-6 * rng.random() if better else 1 + 1e-3 * rng.random()
        values = tuple(factor * value for value in parent.architecture.values)
        return Toy(values, better), ({"operator": "move"},)

    def evaluate(children):
        for child in children:
            error = errors[child.parent] * (0.999999 if child.architecture.better else 1.001)
            errors[child.id] = error
            yield Evaluation(child.id, {"error": error})

    initial = []
    for number, point in enumerate(front(size, num_cheap, rng)):
        *values, error = map(float, point)
        toy = Toy(tuple(values))
        measured = {objective.name: objective.value(toy) for objective in cheap}
        errors[f"0-{number}"] = error
        initial.append(Individual(0, number, None, (), toy, measured, {"error": error}))
    evolution = Evolution(
        initial,
        propose=propose,
        cheap=cheap,
        settings=EvolutionSettings(num_generations=num_generations),
        seed=seed,
        canonical_hash=lambda toy: str(hash(toy)),
        same_architecture=lambda one, other: one == other,
    )
    start = time.process_time()
    for generation in evolve(evolution, evaluate):
        end = time.process_time()
        yield end - start, len(generation.population)
        start = time.process_time()


def megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer generations, smaller fronts")
    quick = parser.parse_args().quick
    last, sizes = (50, (50, 100)) if quick else (2500, (250, 500, 1000, 2000))
    ratios = []
    for num_cheap in (3, 5):
        seconds, fronts = zip(*search(sizes[-2], num_cheap, last), strict=True)
        early, late = statistics.median(seconds[5:25]), statistics.median(seconds[-20:])
        ratios.append(late / early)
        print(
            f"{num_cheap} cheap objectives, front of {fronts[-1]}: {1000 * early:.0f} ms per"
            f" generation after 1,000 children, {1000 * late:.0f} ms after {40 * last:,};"
            f" {megabytes():.0f} MB"
        )
        times = []
        for size in sizes:
            some = [s for s, _ in itertools.islice(search(size, num_cheap, 15), 15)]
            times.append(statistics.median(some[5:]))
        text = ", ".join(f"{n}: {1000 * t:.0f}" for n, t in zip(sizes, times, strict=True))
        factors = ", ".join(f"{b / a:.2f}" for a, b in itertools.pairwise(times))
        print(f"  ms per generation by size of the front: {text} (factors {factors})")
    print(f"target: at most {TARGET}")
    print(f"ratio: {max(ratios):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
