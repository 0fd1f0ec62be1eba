"""Train networks from new weights by the workers of a search, and NSGA-II on its space.

NSGA-II (Deb et al., 2002) is that of pymoo, which brings its selection and survival. A network is a
variable of one integer, its place in the list of all networks made so far. It is mutated by what
makes a child in the search: one to three of its operators at random sites. There is no crossover,
as networks of space I are graphs of any form, without corresponding places. The first population
consists of the initial networks of the search, and of children of them.
"""

import os
import tempfile

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash, to_json
from lemonade_tf.evolution import Purpose, child_seed
from lemonade_tf.objectives.limits import exceeded
from lemonade_tf.search.failures import SearchError
from lemonade_tf.workers.tasks import ChildTask

MAX_REDRAWS = 50


def train_from_scratch(executor, graphs, settings, seed, generation=0):
    """Train networks from new weights; return those that did not fail, by their numbers.

    Args:
        executor: The workers of a search.
        graphs: The networks; shapes only.
        settings: The training settings of each.
        seed: The random seed.
        generation: Enters the seeds of the networks.
    """
    with tempfile.TemporaryDirectory() as folder:
        tasks = [
            ChildTask(
                id=str(number),
                operators=(),
                output=os.path.join(folder, f"{number}.h5"),
                architecture=to_json(graph),
                weights_seed=child_seed(seed, generation, number, Purpose.WEIGHTS),
                training_seed=child_seed(seed, generation, number, Purpose.TRAINING),
                settings=each,
            )
            for number, (graph, each) in enumerate(zip(graphs, settings, strict=True))
        ]
        results = [outcome.result for outcome in executor.run(tasks) if outcome.failure is None]
    return {
        int(result.id): {
            "parameters": result.parameters,
            "error": result.error,
            "test_error": result.test_error,
            "epochs": result.epochs,
            "seconds": result.seconds["total"],
            "multiply_adds": result.multiply_adds * result.num_images,
        }
        for result in results
        if result.failure is None
    }


class _Copy(Crossover):
    """Copies each parent. (pymoo's NoCrossover does not: mutation would change the parents.)"""

    def __init__(self):
        super().__init__(n_parents=1, n_offsprings=1)

    def _do(self, problem, X, **kwargs):
        return X.copy()


class _Propose(Mutation):
    """Replaces each network by a child of it."""

    def __init__(self, networks):
        super().__init__()
        self._networks = networks

    def _do(self, problem, X, **kwargs):
        return np.array([[self._networks.child_of(int(row[0]))] for row in X])


class _Networks:
    """All networks that were made so far; none twice, if that is possible."""

    def __init__(self, space, limits, initial, rng):
        self.graphs, self._space, self._limits, self._rng = list(initial), space, limits, rng
        self._seen = set(map(canonical_hash, initial))

    def child_of(self, number):
        """Make a child of a network; return its number, or that of the network if there is none."""
        for _ in range(MAX_REDRAWS):
            made = self._space.propose(self.graphs[number], rng=self._rng)
            if made is None or exceeded(self._limits, made[0]):
                continue
            key = canonical_hash(made[0])
            if key not in self._seen:
                self._seen.add(key)
                self.graphs.append(made[0])
                return len(self.graphs) - 1
        return number


def nsga2(executor, space, limits, initial, config, count):
    """Run NSGA-II; return its networks, generation by generation.

    Args:
        executor: The workers of a search.
        space: The search space.
        limits: The limits that no network may exceed.
        initial: The initial networks.
        config: The settings of the search; the population is as large as its generations.
        count: The number of networks to train.

    Raises:
        SearchError: If all networks of a generation failed.
    """
    networks = _Networks(space, limits, initial, np.random.default_rng(config.seed))
    numbers = list(range(len(initial)))
    while len(numbers) < config.num_accepted:
        numbers.append(networks.child_of(numbers[len(numbers) % len(initial)]))
    algorithm = NSGA2(
        pop_size=config.num_accepted,
        sampling=np.array(numbers)[:, None],
        crossover=_Copy(),
        mutation=_Propose(networks),
        eliminate_duplicates=False,
    )
    problem = Problem(n_var=1, n_obj=2, xl=0, xu=10**9, vtype=int)
    algorithm.setup(problem, seed=config.seed, termination=("n_gen", count), verbose=False)
    trained = []
    while len(trained) < count:
        asked = algorithm.ask()
        graphs = [networks.graphs[int(row[0])] for row in asked.get("X")]
        settings = [config.training] * len(graphs)
        found = train_from_scratch(executor, graphs, settings, config.seed, algorithm.n_iter)
        if not found:
            raise SearchError(
                f"all {len(graphs)} networks of generation {algorithm.n_iter} failed."
            )
        trained += [{"id": f"{algorithm.n_iter}-{n}", **found[n]} for n in sorted(found)]
        worst = [
            (found[n]["error"] if n in found else 1.0, np.log(count_parameters(graph)))
            for n, graph in enumerate(graphs)
        ]
        asked.set("F", np.array(worst))
        algorithm.tell(infills=asked)
    return trained[:count]
