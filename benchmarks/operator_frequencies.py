"""How often each operator is drawn: proposals from all initial networks.

    python benchmarks/operator_frequencies.py [--proposals 20000] [--quick]

Operators are drawn uniformly from those with an allowed site (section 5.1: "The operators are
sampled uniformly at random"). For each space and each initial network for CIFAR-10, the script
prints the share of each operator among those of the proposals; in space I, a proposal has one to
three. An operator without a site in an initial network (there is nothing to remove) can only follow
others there. The last line is the lowest share over the highest in space I, of the operators that
apply to each initial network. Target: close to 1. It takes a minute.
"""

from collections import Counter

import numpy as np
from script import Parser, positive, run_benchmark

from lemonade_tf.search_spaces import CELLS, NETWORKS

IMAGE, CLASSES = (32, 32, 3), 10


def frequencies(space, graph, num_proposals, rng):
    """Return how often each operator was drawn, and the number of proposals without a child."""
    drawn, failed = Counter(), 0
    for _ in range(num_proposals):
        made = space.propose(graph, rng=rng)
        if made is None:
            failed += 1
        else:
            drawn.update(record["operator"] for record in made[1])
    return drawn, failed


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--proposals", type=positive(int), default=20_000, help="per space (default: 20000)"
    )
    parser.add_argument("--quick", action="store_true", help="400 proposals per space")
    options = parser.parse_args()
    ratio = 0.0
    for space in (CELLS, NETWORKS):
        initial = [g.copy(weights=False) for g in space.initial_graphs(IMAGE, CLASSES)]
        number = (400 if options.quick else options.proposals) // len(initial)
        operators = (*space.exact, *space.approximate)
        names = [operator.name for operator in operators]
        total = Counter()
        for index, graph in enumerate(initial):
            drawn, failed = frequencies(space, graph, number, np.random.default_rng(index))
            total.update(drawn)
            _print(f"{space.name}, initial network {index}", drawn, names, number - failed)
        _print(f"{space.name}, all", total, names, number * len(initial))
        shares = [total[o.name] for o in operators if all(o.candidates(g) for g in initial)]
        ratio = min(shares) / max(shares)
    print(f"ratio: {ratio:.2f}")


def _print(title, drawn, names, number):
    shares = ", ".join(f"{name} {drawn[name] / sum(drawn.values()):.1%}" for name in names)
    counts = f"{sum(drawn.values()):,} operators, {number:,} proposals"
    print(f"{title}: {shares} ({counts})", flush=True)


if __name__ == "__main__":
    run_benchmark(main)
