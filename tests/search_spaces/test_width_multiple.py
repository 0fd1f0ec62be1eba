"""Numbers of filters as multiples of a number, in both search spaces."""

import numpy as np
import pytest
from graphs import SMALL_CELLS

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import same_architecture
from lemonade_tf.operators import replay
from lemonade_tf.operators.blocks import CONVOLUTIONS
from lemonade_tf.search_spaces import NETWORKS

CHANGES_WIDTH = ("widen_convolution", "prune_filters")


def filters(graph):
    layers = {name: node.layer for name, node in graph.items()}
    return {n: layer.filters for n, layer in layers.items() if isinstance(layer, CONVOLUTIONS)}


def changed_filters(parent, records):
    """Yield the operator, old and new filters of each convolution that has more or fewer."""
    graph, rng = parent, np.random.default_rng(0)
    for entry in records:
        change = replay(graph, [entry], rng=rng)
        before, after = filters(graph), filters(change.graph)
        for name in before.keys() & after.keys() - change.new_nodes:
            if before[name] != after[name]:
                yield entry["operator"].removesuffix("_in_cells"), before[name], after[name]
        graph = change.graph


@pytest.mark.parametrize(
    ("space", "num_proposals"),
    [
        (NETWORKS, 150),
        (SMALL_CELLS, 60),
        pytest.param(NETWORKS, 1000, marks=pytest.mark.slow),
        pytest.param(SMALL_CELLS, 1000, marks=pytest.mark.slow),
    ],
)
def test_all_filters_that_change_become_multiples_of_8(space, num_proposals):
    rounded = space.with_width_multiple(8)
    rng = np.random.default_rng(0)
    parents = [graph.copy(weights=False) for graph in rounded.initial_graphs((32, 32, 3), 10)]
    changes = []
    for _ in range(num_proposals):
        parent = parents[int(rng.integers(len(parents)))]
        child, records = rounded.propose(parent, rng=rng)
        changes += changed_filters(parent, records)
        # A worker replays the records without knowing the setting.
        assert same_architecture(child, replay(parent, records, rng=rng).graph)
        if count_parameters(child) < 500_000:
            parents.append(child)
    assert all(after % 8 == 0 for _, _, after in changes)
    assert {operator for operator, _, _ in changes} == set(CHANGES_WIDTH)
    assert all((after > before) == (name == CHANGES_WIDTH[0]) for name, before, after in changes)
    assert len(changes) > num_proposals / 4


@pytest.mark.parametrize("space", [NETWORKS, SMALL_CELLS], ids=lambda space: space.name)
def test_the_default_has_the_operators_of_the_paper(space):
    assert space.with_width_multiple(1) is space
    rounded = space.with_width_multiple(8)
    for before, after in ((space.exact, rounded.exact), (space.approximate, rounded.approximate)):
        assert [operator.name for operator in before] == [operator.name for operator in after]
