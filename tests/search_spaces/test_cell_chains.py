"""Random chains of operators on networks of cells: exact ones keep the function, cells stay alike.

    pytest tests/search_spaces/test_cell_chains.py -m slow -s

prints the figures that the README quotes.
"""

import numpy as np
import pytest
from graphs import as_if_trained, images
from reference import relative_difference

from lemonade_tf.architecture import check
from lemonade_tf.architecture.cells import cell_of, num_cells
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash, to_json
from lemonade_tf.operators import record, replay
from lemonade_tf.search_spaces import CellSpace

SPACE = CellSpace(filters=(16, 32))
MAX_LENGTH = 10
MAX_PARAMETERS = 150_000
TOLERANCE = 1e-10  # of logits in float64, relative to the largest, over a whole chain


def structures(graph):
    """Return the structure of each cell: kinds, wiring, and filters relative to the last block."""
    _, cells_per_block, _ = cell_of(graph)
    found = []
    for number in range(1, num_cells(cells_per_block) + 1):
        begin, outside = f"cell_{number}_", {f"cell_{number}_input", "stem_relu"}
        found.append(
            {
                name.removeprefix(begin): (
                    type(node.layer).__name__,
                    getattr(node.layer, "kernel_size", None),
                    getattr(node.layer, "filters", 0)
                    / {0: 1, 1: 2, 2: 4}[number // (cells_per_block + 1)],
                    tuple("input" if i in outside else i.removeprefix(begin) for i in node.inputs),
                )
                for name, node in graph.items()
                if name.startswith(begin) and name not in outside
            }
        )
    return found


def alike(graph):
    first, *others = structures(graph)
    return all(other == first for other in others)


def chain(seed, operators):
    """Return a trained-looking initial network, its descendant, and the operators' records."""
    rng = np.random.default_rng(seed)
    shape = ((8, 8, 1), (9, 8, 2), (4, 4, 3))[seed % 3]
    parent = SPACE.initial_graphs(shape, 4, rng=rng)[seed % 4]
    parent = graph = as_if_trained(parent, rng)
    records = []
    for _ in range(1 + seed // 4 % MAX_LENGTH):
        choices = [op for op in operators if op.candidates(graph)]
        operator = choices[int(rng.integers(len(choices)))]
        sites = operator.candidates(graph)
        site = sites[int(rng.integers(len(sites)))]
        change = operator.apply(graph, site, rng=rng)
        if count_parameters(change.graph) > MAX_PARAMETERS:
            continue
        assert alike(change.graph), (operator.name, site)
        assert operator.exact or count_parameters(change.graph) < count_parameters(graph)
        records.append(record(operator, site))
        graph = change.graph
    return parent, graph, records


def largest_change(seeds):
    worst = 0.0
    for seed in seeds:
        parent, graph, _ = chain(seed, SPACE.exact)
        check(graph)
        worst = max(worst, relative_difference(parent, graph, images(parent, 1, seed)))
    return worst


def test_chains_of_exact_operators_keep_the_function():
    assert largest_change(range(16)) < TOLERANCE


@pytest.mark.slow
def test_300_chains_of_exact_operators_keep_the_function():
    worst = largest_change(range(300))
    print(f"\n300 chains of up to {MAX_LENGTH} exact operators on networks of cells: {worst:.1e}")
    assert worst < TOLERANCE


@pytest.mark.parametrize("seed", range(24))
def test_a_chain_of_all_operators_keeps_the_cells_alike_and_can_be_replayed(seed):
    parent, graph, records = chain(seed, (*SPACE.exact, *SPACE.approximate))
    check(graph)
    shapes = replay(parent.copy(weights=False), records, rng=None).graph
    assert to_json(shapes.copy(weights=False)) == to_json(graph.copy(weights=False)) or (
        canonical_hash(shapes) == canonical_hash(graph)
    )
    again = replay(parent, records, rng=np.random.default_rng(0))
    assert canonical_hash(again.graph) == canonical_hash(graph)
    assert dict(again.graph.copy(weights=False).items()) == dict(shapes.items())
