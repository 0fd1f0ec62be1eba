"""Children proposed a second, as graphs and as Keras models.

    python benchmarks/proposals.py [--quick]

Proposes 200 children of networks with ten blocks, each with its number of parameters, as a
generation of the search does; then builds the same children in Keras and counts there, as tools do
that propose models. The last line is seconds as graphs over seconds in Keras. Target: 2,000
children a second; a ratio of at most 0.01.
"""

import argparse
import time

import numpy as np

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layers import Conv2D
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.operators import InsertConvolution
from lemonade_tf.search_spaces import NETWORKS


def population(num_blocks, size, rng):
    """Return networks with some blocks, each a child of the smallest initial network."""
    graph = NETWORKS.initial_graphs((32, 32, 3), 10)[0].copy(weights=False)
    insert = InsertConvolution()
    while sum(isinstance(node.layer, Conv2D) for _, node in graph.items()) < num_blocks:
        sites = insert.candidates(graph)
        graph = insert.apply(graph, sites[int(rng.integers(len(sites)))], rng=rng).graph
    return [NETWORKS.propose(graph, rng=rng)[0] for _ in range(size)]


def propose(parents, number, rng):
    """Return children, and the seconds that each round of proposing them took."""
    started = time.perf_counter()
    children = []
    for _ in range(number):
        child, _ = NETWORKS.propose(parents[int(rng.integers(len(parents)))], rng=rng)
        count_parameters(child)
        canonical_hash(child)
        children.append(child)
    return children, time.perf_counter() - started


def build(children):
    """Return the seconds that building and counting the children in Keras takes."""
    from lemonade_tf.keras_bridge import to_keras

    to_keras(children[0])  # the import, and whatever happens once
    started = time.perf_counter()
    for child in children:
        if to_keras(child).count_params() != count_parameters(child):
            raise SystemExit("the graph and Keras count differently")
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer children, fewer rounds")
    quick = parser.parse_args().quick
    rng = np.random.default_rng(0)
    number, rounds = (20, 1) if quick else (200, 7)
    parents = population(10, 20, rng)
    seconds = []
    for _ in range(rounds):
        children, took = propose(parents, number, rng)
        seconds.append(took)
    as_graphs = float(np.median(seconds))
    built = children[: 3 if quick else 20]
    in_keras = build(built) * number / len(built)
    print(f"as graphs: {number / as_graphs:,.0f} children a second (median of {rounds} rounds)")
    print(f"           {1000 * as_graphs:.0f} ms for {number}")
    print(f"in Keras:  {number / in_keras:,.0f} children a second, {in_keras:.1f} s for {number}")
    print(f"ratio: {as_graphs / in_keras:.4f}")


if __name__ == "__main__":
    main()
