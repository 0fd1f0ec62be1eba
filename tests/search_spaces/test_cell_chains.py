"""Random chains of operators on networks of cells: exact ones keep the function, cells stay alike.

    pytest tests/search_spaces/test_cell_chains.py -m slow -s

prints the figures in docs/measured.md.
"""

import numpy as np
import pytest
from graphs import SMALL_CELLS, as_if_trained, images
from reference import relative_difference

from lemonade_tf.architecture import check
from lemonade_tf.architecture.cells import extract_cell, num_cells
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.operators import record, replay

MAX_LENGTH = 10
MAX_PARAMETERS = 100_000
TOLERANCE = 1e-10  # of logits in float64, relative to the largest, by one operator


def structures(graph):
    """Return the structure of each cell: kinds, wiring, and filters relative to the last block."""
    _, cells_per_block, _ = extract_cell(graph)
    found = []
    for number in range(1, num_cells(cells_per_block) + 1):
        prefix, outside = f"cell_{number}_", {f"cell_{number}_input", "stem_relu"}
        found.append(
            {
                name.removeprefix(prefix): (
                    type(node.layer).__name__,
                    getattr(node.layer, "kernel_size", None),
                    getattr(node.layer, "filters", 0)
                    / {0: 1, 1: 2, 2: 4}[number // (cells_per_block + 1)],
                    tuple("input" if i in outside else i.removeprefix(prefix) for i in node.inputs),
                )
                for name, node in graph.items()
                if name.startswith(prefix) and name not in outside
            }
        )
    return found


def alike(graph):
    first, *others = structures(graph)
    return all(other == first for other in others)


def chain(seed, operators):
    """Yield the operator, the site, the parent and the child of each link; all look trained."""
    rng = np.random.default_rng(seed)
    shape = ((8, 8, 1), (9, 8, 2), (4, 4, 3))[seed % 3]
    graph = as_if_trained(SMALL_CELLS.initial_graphs(shape, 4, rng=rng)[seed % 4], rng)
    length, links = 1 + seed // 4 % MAX_LENGTH, 0
    for _ in range(3 * length):  # at some point, all children may be too large
        if links == length:
            return
        choices = [op for op in operators if op.candidates(graph)]
        operator = choices[int(rng.integers(len(choices)))]
        sites = operator.candidates(graph)
        site = sites[int(rng.integers(len(sites)))]
        child = operator.apply(graph, site, rng=rng).graph
        if count_parameters(child) <= MAX_PARAMETERS:
            yield operator, site, graph, child
            graph, links = as_if_trained(child, rng), links + 1


def largest_change(seeds):
    """Return the largest relative change of the logits by an operator, and how many were tried."""
    worst, tried = 0.0, 0
    for seed in seeds:
        for operator, site, parent, child in chain(seed, SMALL_CELLS.exact):
            check(child)
            assert alike(child), (operator.name, site)
            x = images(parent, 1, seed)
            worst, tried = max(worst, relative_difference(parent, child, x)), tried + 1
    return worst, tried


def test_chains_of_exact_operators_keep_the_function():
    worst, tried = largest_change(range(0, 300, 20))
    assert tried > 30
    assert worst < TOLERANCE


@pytest.mark.slow
def test_300_chains_of_exact_operators_keep_the_function():
    worst, tried = largest_change(range(300))
    print(f"\n300 chains, {tried} exact operators in all cells; largest change: {worst:.1e}")
    assert worst < TOLERANCE


@pytest.mark.parametrize("seed", range(24))
def test_chains_of_all_operators_keep_the_cells_alike_and_can_be_replayed(seed):
    records, parents = [], []
    for operator, site, parent, child in chain(
        seed, (*SMALL_CELLS.exact, *SMALL_CELLS.approximate)
    ):
        check(child)
        assert alike(child), (operator.name, site)
        assert operator.exact or count_parameters(child) < count_parameters(parent)
        parents.append(parent)
        records.append(record(operator, site))
    shapes = replay(parents[0].copy(weights=False), records, rng=None)
    weighted = replay(parents[0], records, rng=np.random.default_rng(0))
    assert canonical_hash(weighted.graph) == canonical_hash(shapes.graph) == canonical_hash(child)
    assert weighted.affected == shapes.affected
