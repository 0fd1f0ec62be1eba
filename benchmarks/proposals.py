"""Children proposed a second, as graphs and as Keras models.

    python benchmarks/proposals.py [--space cells] [--quick]

Proposes 200 children of networks with ten blocks (with --space cells: of 8 cells with three blocks
each), with their numbers of parameters, as a generation of the search does; then builds the same
children in Keras and counts there, as tools do that propose models. The last line is seconds as
graphs over seconds in Keras. Target: 2,000 children a second (cells: 200); a ratio of at most 0.01.
"""

import argparse
import time

import numpy as np

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layers import Conv2D
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.search_spaces import CELLS, NETWORKS

NUM_CONVOLUTIONS = {NETWORKS: 10, CELLS: 25}  # of the latter, one is the stem


def population(space, size, rng):
    """Return networks with some blocks, each a child of an initial network grown deeper."""
    index = {NETWORKS: 0, CELLS: 2}[space]  # the smallest one of ordinary convolutions
    graph = space.initial_graphs((32, 32, 3), 10)[index].copy(weights=False)
    insert = space.exact[0]
    while (
        sum(isinstance(node.layer, Conv2D) for _, node in graph.items()) < NUM_CONVOLUTIONS[space]
    ):
        sites = insert.candidates(graph)
        graph = insert.apply(graph, sites[int(rng.integers(len(sites)))], rng=rng).graph
    return [space.propose(graph, rng=rng)[0] for _ in range(size)]


def propose(space, parents, number, rng):
    """Return children, and the seconds that each round of proposing them took."""
    started = time.perf_counter()
    children = []
    for _ in range(number):
        child, _ = space.propose(parents[int(rng.integers(len(parents)))], rng=rng)
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
    spaces = {space.name: space for space in NUM_CONVOLUTIONS}
    parser.add_argument("--space", choices=spaces, default="networks")
    options = parser.parse_args()
    quick, space = options.quick, spaces[options.space]
    rng = np.random.default_rng(0)
    number, rounds = (20, 1) if quick else (200, 7)
    parents = population(space, 20, rng)
    seconds = []
    for _ in range(rounds):
        children, took = propose(space, parents, number, rng)
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
