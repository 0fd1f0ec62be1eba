"""Compare ways of choosing networks on a table of trained networks, without training any.

    python experiments/tabular.py --table nas_bench_macro.json.xz [--seeds 30]

The table is NAS-Bench-Macro (Su et al., "Prioritized architecture sampling with Monte-Carlo tree
search", CVPR 2021): all 6,561 networks of eight layers, each an identity or an inverted residual
block with expansion 3 or 6, trained three times on CIFAR-10. It is a JSON file, perhaps compressed
(.gz, .xz), that maps an architecture, such as "02012100", to {"test_acc": [89.5, 88.9, 89.2],
"params": 890666, ...}. Evaluating a network here means to draw one of its three accuracies, so that
the search sees the noise of training; its result is judged by the mean of the three.

The methods:

- density: the loop of this project, Algorithm 1; a child changes one to --max_mutations layers;
- uniform: the same, sampled uniformly (A.2);
- nsga2: NSGA-II of pymoo, a population of 20, uniform crossover, one mutation per child on average;
- random: random architectures, none twice.

Nothing is inherited here, so only the choice of networks is compared. Objectives are the error and
the logarithm of the parameters. The result of a method after so many evaluations is the front of
what it saw, with mean errors: its hypervolume relative to that of the front of the whole table, the
reference point being the table's worst values. The script prints the mean over seeds, the standard
deviation, and the two-sided sign test of density against each other method; its last line is JSON.
"""

import gzip
import json
import lzma
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from absl import flags
from common import run_script
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UniformCrossover
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from scipy.stats import binomtest

from lemonade_tf.errors import LemonadeError
from lemonade_tf.evolution import (
    Evaluation,
    Evolution,
    EvolutionSettings,
    Individual,
    evolve,
    hypervolume,
    pareto_front,
)
from lemonade_tf.objectives import Objective

TABLE = flags.DEFINE_string("table", None, "File of the table.", required=True)
SEEDS = flags.DEFINE_integer("seeds", 30, "Number of seeds, starting at 0.", lower_bound=1)
MAX_MUTATIONS = flags.DEFINE_integer(
    "max_mutations", 1, "A child changes 1 to this many layers.", lower_bound=1
)
EVALUATIONS = flags.DEFINE_list(
    "evaluations", "52,84,164,300,600", "After how many evaluations methods are compared."
)

NUM_INITIAL, NUM_PROPOSED, NUM_ACCEPTED = 4, 40, 8
POPULATION = 20  # of NSGA-II
METHODS = ("density", "uniform", "nsga2", "random")


@dataclass(frozen=True)
class Table:
    """The networks of a table.

    Attributes:
        rows: The row of each architecture.
        errors: (n, trainings), fractions.
        parameters: (n,).
        num_choices: How many kinds of layer there are.
    """

    rows: dict[tuple[int, ...], int]
    errors: np.ndarray
    parameters: np.ndarray
    num_choices: int

    @property
    def points(self) -> np.ndarray:
        """(n, 2), the mean error and the logarithm of the parameters."""
        return np.column_stack([self.errors.mean(axis=1), np.log(self.parameters)])

    @property
    def num_layers(self) -> int:
        """The number of layers of each network."""
        return len(next(iter(self.rows)))

    def quality(self, seen: np.ndarray) -> float:
        """Return the relative hypervolume of networks.

        Args:
            seen: (n, 2), their rows and the errors that the method saw.
        """
        rows = seen[:, 0].astype(int)
        observed = np.column_stack([seen[:, 1], np.log(self.parameters[rows])])
        front = self.points[rows[pareto_front(observed)]]
        worst = self.points.max(axis=0)
        return hypervolume(front, worst) / hypervolume(self.points, worst)


def read_table(path):
    """Read a table.

    Raises:
        LemonadeError: If the file cannot be read, or is no such table.
    """
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(Path(path).suffix, open)
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            entries = json.load(file)
        return Table(
            rows={tuple(map(int, key)): row for row, key in enumerate(entries)},
            errors=1 - np.array([entry["test_acc"] for entry in entries.values()]) / 100,
            parameters=np.array([entry["params"] for entry in entries.values()], float),
            num_choices=1 + max(int(layer) for key in entries for layer in key),
        )
    except (OSError, lzma.LZMAError) as error:
        raise LemonadeError(f"{path} cannot be read: {error}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LemonadeError(
            f"{path} is no table of trained networks ({type(error).__name__}: {error}); expected"
            ' JSON like {"02012100": {"test_acc": [89.5, 88.9, 89.2], "params": 890666}, ...}.'
        ) from None


def read_counts(texts, num_networks):
    """Return the numbers of evaluations of a flag.

    Raises:
        LemonadeError: If one is no number, or more than there are networks.
    """
    counts = [int(text) if text.isdecimal() else 0 for text in texts]
    if not counts or not all(NUM_INITIAL <= count <= num_networks for count in counts):
        raise LemonadeError(
            f"--evaluations is {','.join(texts)}; expected numbers from {NUM_INITIAL} to"
            f" {num_networks}, the number of networks in the table."
        )
    return counts


class Trainings:
    """Stands in for training: draws one of the errors of a network, and records what was drawn."""

    def __init__(self, table, seed):
        self.table, self.rng, self.seen = table, np.random.default_rng([seed, 1]), []

    def error(self, architecture):
        """Return the error of one training of an architecture."""
        row = self.table.rows[tuple(architecture)]
        error = self.rng.choice(self.table.errors[row])
        self.seen.append((row, error))
        return float(error)


# --- Methods: each evaluates `num` networks or a few more --------------------------------------


def lemonade(trainings, seed, num, *, sampling, max_mutations):
    """Run the loop of this project."""
    table = trainings.table
    parameters = Objective(
        "parameters", "log", compute=lambda network: table.parameters[table.rows[network]]
    )

    def propose(parent, *, rng):
        layers = list(parent.architecture)
        for _ in range(rng.integers(1, max_mutations + 1)):
            layer = rng.integers(len(layers))
            layers[layer] = (layers[layer] + int(rng.integers(1, table.num_choices))) % (
                table.num_choices
            )
        return tuple(layers), [{"operator": "mutate"}]

    def individual(attempt, network):
        return Individual(
            generation=0,
            attempt=attempt,
            parent=None,
            operators=(),
            architecture=network,
            cheap={"parameters": parameters.value(network)},
            expensive={"error": trainings.error(network)},
        )

    def evaluate(children):
        return [Evaluation(c.id, {"error": trainings.error(c.architecture)}) for c in children]

    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(table.rows), NUM_INITIAL, replace=False)
    networks = list(table.rows)
    evolution = Evolution(
        [individual(attempt, networks[row]) for attempt, row in enumerate(chosen)],
        propose=propose,
        cheap=[parameters],
        settings=EvolutionSettings(
            num_generations=num,
            num_proposed=NUM_PROPOSED,
            num_accepted=NUM_ACCEPTED,
            sampling=sampling,
        ),
        seed=seed,
        canonical_hash=repr,
        same_architecture=lambda first, second: first == second,
    )
    generations = evolve(evolution, evaluate)
    while len(trainings.seen) < num:
        next(generations)


class _ChangeLayers(Mutation):
    """Changes each layer with probability 1 / layers to another kind."""

    def _do(self, problem, X, *, random_state=None, **kwargs):
        rng = random_state
        changed = rng.random(X.shape) < 1 / X.shape[1]
        other = (X + rng.integers(1, problem.xu[0] + 1, X.shape)) % (problem.xu[0] + 1)
        return np.where(changed, other, X).astype(int)


def nsga2(trainings, seed, num):
    """Run NSGA-II."""
    table = trainings.table
    problem = Problem(n_var=table.num_layers, n_obj=2, xl=0, xu=table.num_choices - 1, vtype=int)
    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=IntegerRandomSampling(),
        crossover=UniformCrossover(),
        mutation=_ChangeLayers(),
    )
    algorithm.setup(problem, seed=seed, termination=("n_gen", num), verbose=False)
    while len(trainings.seen) < num:
        networks = algorithm.ask()
        layers = networks.get("X").astype(int)
        cost = [np.log(table.parameters[table.rows[tuple(network)]]) for network in layers]
        networks.set("F", np.column_stack([[trainings.error(n) for n in layers], cost]))
        algorithm.tell(infills=networks)


def random(trainings, seed, num):
    """Evaluate random networks."""
    networks = list(trainings.table.rows)
    for row in np.random.default_rng(seed).choice(len(networks), num, replace=False):
        trainings.error(networks[row])


def qualities(method, seed, table, max_mutations, counts):
    """Run a method; return the relative hypervolume after so many evaluations each."""
    loop = partial(lemonade, max_mutations=max_mutations)
    run = {
        "density": partial(loop, sampling="density"),
        "uniform": partial(loop, sampling="uniform"),
        "nsga2": nsga2,
        "random": random,
    }[method]
    trainings = Trainings(table, seed)
    run(trainings, seed, max(counts))
    seen = np.array(trainings.seen)
    return [table.quality(seen[:count]) for count in counts]


def main(argv):
    """Run all methods with all seeds, and print the comparison."""
    table = read_table(TABLE.value)
    counts = read_counts(EVALUATIONS.value, len(table.rows))
    runs = list(product(METHODS, range(SEEDS.value)))
    run = partial(qualities, table=table, max_mutations=MAX_MUTATIONS.value, counts=counts)
    with ProcessPoolExecutor() as pool:
        found = np.array(list(pool.map(run, *zip(*runs, strict=True))))
    results = dict(zip(METHODS, found.reshape(len(METHODS), SEEDS.value, -1), strict=True))
    print("Relative hypervolume: mean (standard deviation) after so many evaluations")
    print(_row("", counts))
    for name, values in results.items():
        cells = zip(values.mean(axis=0), values.std(axis=0), strict=True)
        print(_row(name, (f"{mean:.4f} ({spread:.4f})" for mean, spread in cells)))
    print("Seeds in which density is ahead, and those in which it is behind; sign test")
    for name in METHODS[1:]:
        pairs = zip(results["density"].T, results[name].T, strict=True)
        print(_row(name, (_sign(*pair) for pair in pairs)))
    print(json.dumps(_means(results, counts)))


def _means(results, counts):
    """Return the mean per number of evaluations and method."""
    return {
        str(count): {name: round(float(v[:, column].mean()), 4) for name, v in results.items()}
        for column, count in enumerate(counts)
    }


def _row(name, cells):
    return f"{name:<10}" + "".join(f"{cell:>17}" for cell in cells)


def _sign(first, second):
    """Return in how many seeds the first is ahead of the second, ties left out, and p."""
    ahead, behind = int((first > second).sum()), int((first < second).sum())
    p = binomtest(ahead, ahead + behind).pvalue if ahead + behind else 1.0
    return f"{ahead}:{behind} p={p:.3f}"


if __name__ == "__main__":
    run_script(main)
