"""Compare the time between children on a local Ray cluster with that in worker processes.

    python benchmarks/ray_overhead.py [--pairs 3] [--quick]

Both sides run the same search on scikit-learn's digits with one worker, which trains the same
children. On Ray, the parent's file travels to the worker and the child's file back. The time
between two children is what passes from the end of one to the end of the next, less the seconds of
the worker for the latter: sending the task, returning the result, recording the child. Printed are
the time until the first child, which includes the start of the worker (and of Ray), and the medians
of the time between children and of the worker's seconds, over the children of one generation. Sides
alternate.

The last line is the ratio of children per hour, Ray to worker processes, if training takes equally
long: the median over pairs. Target: 0.95.
"""

import tempfile
import time
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
    "threads": 1,
    "workers": 1,
}
QUICK = {"num_proposed": 4, "num_accepted": 4, "epochs": 1, "distillation_epochs": 1}
SIDES = {"processes": {}, "ray": {"executor": "ray", "ray_address": "local"}}


def measure(side, settings):
    """Run the search on a side.

    Returns:
        Seconds until the first child starts, seconds between children, seconds of the worker per
        child, and what was trained.
    """
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        search(workdir=str(workdir), **settings, **SIDES[side])
        records = read_run(workdir).trained
    first = records[0].timestamp - records[0].seconds["total"] - started
    children = [record for record in records if record.generation == 1]
    training = np.array([record.seconds["total"] for record in children])
    ends = [record.timestamp for record in records]
    between = np.diff(ends)[-len(children) :] - training
    networks = {record.id: (record.objectives, record.file) for record in records}
    return first, np.median(between), np.median(training), networks


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=positive(int), default=3, help="pairs of searches")
    parser.add_argument("--quick", action="store_true", help="one pair of short searches")
    options = parser.parse_args()
    settings = {**SETTINGS, **(QUICK if options.quick else {})}
    ratios = []
    print(f"{'pair':>4}  {'side':<10}{'first':>10}{'between':>12}{'training':>10}")
    for pair in range(1 if options.quick else options.pairs):
        found = {}
        for side in SIDES if pair % 2 == 0 else reversed(SIDES):
            found[side] = measure(side, settings)
            first, between, training, _ = found[side]
            line = (
                f"{pair + 1:4}  {side:<10}{first:8.1f} s{1000 * between:9.1f} ms{training:8.2f} s"
            )
            print(line, flush=True)
        if found["ray"][3] != found["processes"][3]:
            raise SystemExit("Ray and worker processes found different networks.")
        training = np.mean([found[side][2] for side in SIDES])
        seconds = {side: found[side][1] + training for side in SIDES}
        ratios.append(seconds["processes"] / seconds["ray"])
    print(f"ratio: {np.median(ratios):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
