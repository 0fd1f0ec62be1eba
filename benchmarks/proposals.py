"""Measure children proposed per second, as graphs and as Keras models.

    python benchmarks/proposals.py [--space cells] [--quick]

Proposes 200 children of networks with ten blocks (with --space cells: of 8 cells with three blocks
each) and counts their parameters, like a generation of the search. Then builds the same children in
Keras and counts there, like tools that propose Keras models. The last line is seconds as graphs
over seconds in Keras. Targets: 2,000 children per second (cells: 200) and a ratio of at most 0.01.
"""

import time

import numpy as np
from script import Parser, run_benchmark

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layers import Conv2D
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.search_spaces import CELLS, NETWORKS

NUM_CONVOLUTIONS = {NETWORKS: 10, CELLS: 25}  # in cells, one is the stem


def population(space, size, rng):
    """Return children of an initial network after inserting blocks up to the required depth."""
    index = {NETWORKS: 0, CELLS: 2}[space]  # smallest with plain convolutions
    graph = space.initial_graphs((32, 32, 3), 10)[index].copy(weights=False)
    insert = space.exact[0]
    while (
        sum(isinstance(node.layer, Conv2D) for _, node in graph.items()) < NUM_CONVOLUTIONS[space]
    ):
        sites = insert.candidates(graph)
        graph = insert.apply(graph, sites[int(rng.integers(len(sites)))], rng=rng).graph
    return [space.propose(graph, rng=rng)[0] for _ in range(size)]


def propose(space, parents, number, rng):
    """Return children, and the seconds taken to propose them."""
    started = time.perf_counter()
    children = []
    for _ in range(number):
        child, _ = space.propose(parents[int(rng.integers(len(parents)))], rng=rng)
        count_parameters(child)
        canonical_hash(child)
        children.append(child)
    return children, time.perf_counter() - started


def build(children):
    """Return the seconds taken to build the children in Keras and count their parameters."""
    from lemonade_tf.keras_bridge import to_keras

    to_keras(children[0])  # warm-up: imports and one-time initialization
    started = time.perf_counter()
    for child in children:
        if to_keras(child).count_params() != count_parameters(child):
            raise SystemExit("the parameter counts of the graph and of Keras differ.")
    return time.perf_counter() - started


def main():
    parser = Parser(description=__doc__.splitlines()[0])
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
    print(f"as graphs: {number / as_graphs:,.0f} children per second (median of {rounds} rounds)")
    print(f"           {1000 * as_graphs:.0f} ms for {number}")
    print(f"in Keras:  {number / in_keras:,.0f} children per second, {in_keras:.1f} s for {number}")
    print(f"ratio: {as_graphs / in_keras:.4f}")


if __name__ == "__main__":
    run_benchmark(main)
