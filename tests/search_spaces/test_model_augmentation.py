"""Model augmentation: cells in networks of other sizes."""

import numpy as np
import pytest
from graphs import cells

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cells import CellError, extract_cell
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.search_spaces import CELLS, NETWORKS, augment

N, F = (2, 4, 6, 8), (64, 128, 256, 512)  # A.4.3


def augmented(graph, **settings):
    given = {"cells_per_block": 2, "filters": extract_cell(graph)[2], **settings}
    return augment(graph, **given)


def inherited(graph, source):
    """Return the nodes of a graph that share their weights with a node of another."""
    arrays = {id(a) for _, node in source.items() for a in node.weights.values()}
    return {
        name
        for name, node in graph.items()
        if node.weights and all(id(a) in arrays for a in node.weights.values())
    }


def test_the_same_size_inherits_all_weights():
    graph = cells(3, length=4)
    again = augmented(graph)
    assert dict(again.copy(weights=False).items()) == dict(graph.copy(weights=False).items())
    for name, node in graph.items():
        assert all(again[name].weights[key] is value for key, value in node.weights.items())


def test_more_cells_inherit_from_the_same_place_or_the_last_of_the_block():
    graph = cells(3, length=0)
    more = augmented(graph, cells_per_block=4)
    check(more)
    assert extract_cell(more)[:2] == (extract_cell(graph)[0], 4)
    # Cells 1 to 4, 5 of stride 2, 6 to 9, 10, 11 to 14 come from 1, 2, 2, 2, 3, 4, 5, 5, 5, ...
    for number, origin in {1: 1, 2: 2, 4: 2, 5: 3, 6: 4, 7: 5, 9: 5, 10: 6, 11: 7, 14: 8}.items():
        before = graph[f"cell_{origin}_bn_1"].weights["gamma"]
        assert more[f"cell_{number}_bn_1"].weights["gamma"] is before
    names = inherited(more, graph)
    assert {"stem_conv", "stem_bn", "logits", "cell_1_conv_1", "cell_7_conv_1"} <= names


def test_fewer_cells_inherit_from_the_same_place():
    less = augmented(cells(3, length=2), cells_per_block=1)
    check(less)
    assert extract_cell(less)[1] == 1


def test_weights_of_other_shapes_are_new():
    graph = cells(3, length=0)
    wider = augmented(graph, filters=2 * extract_cell(graph)[2])
    check(wider)
    assert inherited(wider, graph) == set()
    other = augmented(graph, num_classes=9)
    assert other["logits"].layer == L.Dense(9)
    weighted = {name for name, node in graph.items() if node.weights}
    assert inherited(other, graph) == weighted - {"logits"}


def test_a_cell_is_used_for_another_task():
    """Section 5.2: cells found on CIFAR-10, used on ImageNet64x64."""
    graph = cells(3, length=3)
    graph.set_layer("rescaling", L.Rescaling((0.5,), (-0.1,)))
    other = augmented(graph, input_shape=(64, 48, 3), num_classes=1000)
    check(other)
    assert other.shapes()[other.input] == (64, 48, 3)
    assert other.shapes()[other.output] == (1000,)
    assert other["rescaling"].layer == L.Rescaling(1 / 127.5, -1.0)  # not per channel
    assert augmented(graph, input_shape=(9, 9, 1))["rescaling"] == graph["rescaling"]
    rescaling = L.Rescaling(2.0)
    assert augmented(graph, rescaling=rescaling)["rescaling"].layer == rescaling


def test_a_cell_makes_a_network_with_new_weights():
    cell, _, _ = extract_cell(cells(3, length=3))
    sizes = {"cells_per_block": 3, "filters": 32, "input_shape": (8, 8, 1), "num_classes": 4}
    graph, other = (augment(cell, **sizes, rng=np.random.default_rng(s)) for s in (0, 1))
    check(graph)
    assert extract_cell(graph) == (cell.scaled(32), 3, 32)
    assert (graph["stem_conv"].weights["kernel"] != other["stem_conv"].weights["kernel"]).any()
    default = augment(cell, **sizes)["stem_conv"].weights["kernel"]
    np.testing.assert_array_equal(default, graph["stem_conv"].weights["kernel"])


def test_invalid_arguments_are_errors():
    graph = cells(3, length=0)
    with pytest.raises(CellError, match="does not consist of cells"):
        augment(NETWORKS.initial_graphs((8, 8, 1), 3)[0], cells_per_block=2, filters=64)
    with pytest.raises(
        CellError, match="input_shape is None and num_classes is 3; a cell needs both"
    ):
        augment(extract_cell(graph)[0], cells_per_block=2, filters=64, num_classes=3)
    with pytest.raises(CellError, match="filters is 65; expected a positive multiple of 4"):
        augmented(graph, filters=65)
    with pytest.raises(ValueError, match=r"input_shape is \(1, 1, 1\)"):
        augmented(graph, input_shape=(1, 1, 1))


def found(seed):
    """Return a network of a cell that a random walk reaches from an initial one."""
    rng = np.random.default_rng(seed)
    graph = CELLS.initial_graphs((32, 32, 3), 10)[0].copy(weights=False)
    while len(extract_cell(graph)[0].nodes) < 9:
        child, _ = CELLS.propose(graph, rng=rng)
        graph = child if count_parameters(child) < 250_000 else graph
    return graph


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 5])
def test_all_sixteen_augmentations_have_the_parameters_that_keras_counts(seed):
    graph = found(seed)
    cell, _, _ = extract_cell(graph)
    assert any(isinstance(node.layer, L.ConvexSum | L.Concatenate) for node in cell.nodes.values())
    counts = {}
    for n in N:
        for filters in F:
            large = augmented(graph, cells_per_block=n, filters=filters)
            assert extract_cell(large) == (cell.scaled(filters), n, filters)
            counts[n, filters] = count_parameters(large)
            assert to_keras(large.copy(weights=False)).count_params() == counts[n, filters]
    assert sorted(counts.values())[0] == counts[2, 64]
    assert sorted(counts.values())[-1] == counts[8, 512]
    print(f"\n{len(cell.nodes)} nodes: {counts[2, 64]:,} to {counts[8, 512]:,} parameters")


def test_every_convolution_keeps_a_filter():
    cell, _, _ = extract_cell(cells(3, length=0))
    tiny = augment(cell, cells_per_block=2, filters=4, input_shape=(8, 8, 1), num_classes=2)
    assert tiny["cell_1_conv_1"].layer.filters == 1
    check(tiny)
