"""Inference time of ten networks: measured twice, and predicted from a table.

    python benchmarks/latency.py [--quick] [--runtime NAME]

For digits (8x8x1) and CIFAR (32x32x3), in Keras, LiteRT and LiteRT in int8: measures a table like a
search at its start, then measures ten networks of very different sizes twice. They come from search
space I, by other seeds than those of the table. Prints the rank correlation (Spearman) of both
measurements and of predicted and measured times, and the ratios. Everything runs on one thread, in
this process. With --quick only digits, with a small table; with --runtime only in this runtime.

The last line is the ratio of predicted to measured times, the median over all networks, images and
runtimes. Target: 0.8 to 1.25, a rank correlation of at least 0.9, and less than 1 ms per
prediction.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy.stats import spearmanr
from script import Parser, run_benchmark

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.architecture.text import to_json
from lemonade_tf.backends.current import current_backend
from lemonade_tf.latency import DEFAULT, RUNTIMES, fit
from lemonade_tf.latency.measuring import measure_networks, measure_table
from lemonade_tf.latency.measuring_task import MeasuringTask
from lemonade_tf.latency.protocol import Protocol
from lemonade_tf.latency.sample import sample_networks
from lemonade_tf.search_spaces import NETWORKS

IMAGES = ((8, 8, 1), (32, 32, 3))
NUM_CLASSES = 10
QUICK = Protocol(max_standard_error=0.1, max_seconds=0.05, min_groups=3, warm_up=1)


def ten_networks(initial):
    """Return ten networks of a space, evenly spread over the logarithm of their multiply-adds."""
    rng = np.random.default_rng(1)
    found = sample_networks(initial, NETWORKS.propose, rng=rng, number=60)
    sizes = np.log([count_multiply_adds(graph) for graph in found])
    wanted = np.linspace(sizes.min(), sizes.max(), 10)
    chosen = dict.fromkeys(int(np.abs(sizes - size).argmin()) for size in wanted)
    rest = (i for i in range(len(found)) if i not in chosen)
    while len(chosen) < 10:
        chosen[next(rest)] = None
    return [found[i] for i in chosen]


def measured(graphs, runtime, protocol):
    """Return the seconds per image of each network."""
    task = MeasuringTask(runtime, tuple(map(to_json, graphs)), protocol)
    return np.array([result.seconds for result in measure_networks(task).results])


def prediction_seconds(model, graphs):
    """Return the seconds per prediction of networks without cached shapes."""
    rounds = []
    for _ in range(5):
        copies = [type(g).from_nodes(dict(g.items()), g.output) for g in graphs]
        start = time.perf_counter()
        for graph in copies:
            model.seconds(graph)
        rounds.append((time.perf_counter() - start) / len(copies))
    return float(np.median(rounds))


def compare(shape, runtime, quick):
    """Print a line for images and a runtime; return predicted over measured times."""
    initial = [g.copy(weights=False) for g in NETWORKS.initial_graphs(shape, NUM_CLASSES)]
    table = measure_table(
        runtime,
        initial,
        NETWORKS.propose,
        num_classes=NUM_CLASSES,
        threads=1,
        rng=np.random.default_rng(0),
        **({"protocol": QUICK, "channels": (8, 64), "num_networks": 8} if quick else {}),
    )
    model = fit(table)
    graphs = ten_networks(initial)
    first = measured(graphs, runtime, QUICK if quick else DEFAULT)
    second = measured(graphs[::-1], runtime, QUICK if quick else DEFAULT)[::-1]
    predicted = np.array([model.seconds(graph) for graph in graphs])
    mean = np.sqrt(first * second)
    ratios = predicted / mean
    print(
        f"{'x'.join(map(str, shape)):8} {runtime.name:13} {table.seconds:6.0f} s"
        f" {len(table.rows):5}"
        f"   {1e6 * mean.min():7.1f} to {1e6 * mean.max():7.1f}"
        f"   {spearmanr(first, second)[0]:.3f} ({np.median(second / first):.2f})"
        f"   {spearmanr(predicted, mean)[0]:.3f}"
        f"   {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
        f"   {1e3 * prediction_seconds(model, graphs):.2f} ms",
        flush=True,
    )
    return ratios


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="digits only, on a small table")
    parser.add_argument("--runtime", choices=list(RUNTIMES), help="only this one")
    options = parser.parse_args()
    quick = options.quick
    current_backend().set_up(1)
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"one thread{load}; microseconds per image")
    print(
        f"{'images':8} {'runtime':13} {'table':>8} {'rows':>5}   {'networks':>18}   again"
        "           predicted  predicted / measured  time"
    )
    ratios = [
        compare(shape, runtime, quick)
        for shape in IMAGES[: 1 if quick else None]
        for runtime in RUNTIMES.values()
        if options.runtime in (None, runtime.name)
    ]
    print(f"ratio: {np.median(np.concatenate(ratios)):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
