"""Compare the speed of a search with two workers with that with one.

    python benchmarks/workers.py [--pairs 3] [--quick]

Both sides run the same search on scikit-learn's digits, with the same children, up to 100,000
parameters each, and one CPU thread per worker; on two CPU cores. The speed is that of the children
of one generation, from the start of the first to the end of the last: the start of the workers and
the initial networks do not count. Sides alternate: one worker, two, two, one, ...

The last line is the ratio of children per hour, two workers to one, the median over pairs.
Target: 1.7.
"""

import tempfile
from pathlib import Path

import numpy as np
from script import Parser, positive, run_benchmark

from lemonade_tf.runs import read_run
from lemonade_tf.search import search

SETTINGS = {
    "preset": "digits",
    "num_generations": 1,
    "num_proposed": 60,
    "num_accepted": 24,
    "limit": {"parameters": 100_000},
    "threads": 1,
}
QUICK = {"num_proposed": 4, "num_accepted": 4, "epochs": 1, "distillation_epochs": 1}


def children_per_hour(num_workers, settings):
    """Run the search, and return the speed and what was trained."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        search(workdir=str(workdir), workers=num_workers, **settings)
        records = [r for r in read_run(workdir).trained if r.generation == 1]
    start = min(record.timestamp - record.seconds["total"] for record in records)
    hours = (max(record.timestamp for record in records) - start) / 3600
    return len(records) / hours, {r.id: r.objectives for r in records}


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=positive(int), default=3, help="pairs of searches")
    parser.add_argument("--quick", action="store_true", help="one pair of short searches")
    options = parser.parse_args()
    settings = {**SETTINGS, **(QUICK if options.quick else {})}
    ratios = []
    print(f"{'pair':>4}{'one worker':>14}{'two workers':>14}{'ratio':>8}   children per hour")
    for pair in range(1 if options.quick else options.pairs):
        order = (1, 2) if pair % 2 == 0 else (2, 1)
        found = {number: children_per_hour(number, settings) for number in order}
        (one, networks), (two, same) = found[1], found[2]
        if networks != same:
            raise SystemExit("one worker and two found different networks.")
        ratios.append(two / one)
        print(f"{pair + 1:4}{one:14,.0f}{two:14,.0f}{ratios[-1]:8.2f}", flush=True)
    print(f"ratio: {np.median(ratios):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
