"""Operators in all cells at once."""

import json

import numpy as np
import pytest
from graphs import all_sites, as_if_trained, cells, images, initial, small
from reference import relative_difference

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as L
from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import to_json
from lemonade_tf.operators import (
    APPROXIMATE,
    APPROXIMATE_IN_CELLS,
    EXACT,
    EXACT_IN_CELLS,
    OPERATORS,
    InCells,
    Operator,
    SiteError,
    WidenConvolution,
    record,
    replay,
)
from lemonade_tf.operators.deepen import InsertSite
from lemonade_tf.operators.prune import PruneSite
from lemonade_tf.operators.remove import RemoveSite
from lemonade_tf.operators.separate import SeparateSite
from lemonade_tf.operators.skip import SkipSite
from lemonade_tf.operators.widen import WidenSite

IN_CELLS = (*EXACT_IN_CELLS, *APPROXIMATE_IN_CELLS)
INSERT, WIDEN, SKIP = EXACT_IN_CELLS
REMOVE, PRUNE, SEPARATE = APPROXIMATE_IN_CELLS
NUMBERS = range(1, 9)

every_operator = pytest.mark.parametrize("operator", IN_CELLS, ids=lambda o: o.name)


def _rng():
    return np.random.default_rng(5)


def convolution(index=3):
    """Return a network with one convolution per cell; a separable one for index 0 and 1."""
    return cells(index, length=0)


def grow(graph, *steps):
    """Apply operators at sites, each of which must be a candidate."""
    for operator, site in steps:
        assert site in operator.candidates(graph), (operator.name, site)
        graph = operator.apply(graph, site, rng=_rng()).graph
        check(graph)
    return graph


def filters(graph, local):
    return [graph[f"cell_{n}_{local}"].layer.filters for n in NUMBERS]


# --- All operators -----------------------------------------------------------------------------


@every_operator
def test_attributes(operator):
    assert isinstance(operator, Operator)
    assert isinstance(operator, InCells)
    assert operator.name == f"{operator.operator.name}_in_cells"
    assert operator.exact == (operator in EXACT_IN_CELLS) == (operator.operator in EXACT)
    assert [o.name for o in OPERATORS].count(operator.name) == 1
    assert operator.site is operator.operator.site
    assert len({*EXACT, *APPROXIMATE, *IN_CELLS}) == 12


@every_operator
def test_it_has_no_candidates_in_networks_without_cells(operator):
    assert operator.candidates(initial()) == ()


@every_operator
@pytest.mark.parametrize("seed", range(6))
def test_children_pass_the_check_and_their_cells_are_alike(operator, seed):
    graph = cells(seed, length=seed)
    before = {name: dict(node.weights) for name, node in graph.items()}
    text, x = to_json(graph), images(graph, 1)
    sites = operator.candidates(graph)
    assert len(set(sites)) == len(sites)
    assert operator.candidates(graph.copy(weights=False)) == sites
    for site in sites:
        change = operator.apply(graph, site, rng=_rng())
        check(change.graph)
        extract_cell(change.graph)
        assert change.affected
        assert set(change.affected) <= set(change.graph)
        for repair in change.statistics_repairs:
            assert isinstance(change.graph[repair.node].layer, L.BatchNormalization)
        if operator.exact:
            assert relative_difference(graph, change.graph, x) < 1e-10, site
        else:
            assert count_parameters(change.graph) <= count_parameters(graph), site
        entry = json.loads(json.dumps(record(operator, site)))
        again = replay(graph, [entry], rng=_rng())
        assert to_json(again.graph) == to_json(change.graph)
        shapes = operator.apply(graph.copy(weights=False), site, rng=None)
        assert not shapes.graph.has_weights
        assert dict(shapes.graph.items()) == dict(change.graph.copy(weights=False).items())
        assert (shapes.affected, set(shapes.sources)) == (change.affected, set(change.sources))
    assert to_json(graph) == text
    for name, weights in before.items():
        assert all(graph[name].weights[key] is value for key, value in weights.items())


@every_operator
@pytest.mark.parametrize("seed", range(3))
def test_candidates_are_the_sites_that_are_not_refused(operator, seed):
    graph = cells(seed, length=seed + 1)
    candidates = set(operator.candidates(graph))
    for site in all_sites(operator.site, extract_cell(graph)[0].graph):
        reason = operator.refusal(graph, site)
        assert (reason is None) == (site in candidates), (site, reason)


@every_operator
def test_applying_at_an_unknown_node_is_an_error(operator):
    graph = convolution()
    values = dict.fromkeys(operator.site.__dataclass_fields__, "nowhere")
    with pytest.raises(SiteError, match=f"{operator.name} does not apply at"):
        operator.apply(graph, operator.site(**values), rng=_rng())


@every_operator
def test_nodes_of_every_cell_are_affected(operator):
    graph = grow(convolution(), (INSERT, InsertSite("relu_1", 3)))
    for site in operator.candidates(graph):
        change = operator.apply(graph, site, rng=_rng())
        for number in NUMBERS:
            assert any(name.startswith(f"cell_{number}_") for name in change.affected), site


# --- Each operator -----------------------------------------------------------------------------


def test_a_block_is_inserted_in_every_cell_under_the_same_name():
    graph = grow(convolution(), (INSERT, InsertSite("relu_1", 3)))
    for number in NUMBERS:
        assert graph[f"cell_{number}_conv_2"].inputs == (f"cell_{number}_relu_1",)
        assert graph[f"cell_{number}_relu_2"].inputs == (f"cell_{number}_bn_2",)
    assert graph["cell_2_input"].inputs == ("cell_1_relu_2", "stem_relu")
    assert filters(graph, "conv_2") == [8, 8, 16, 16, 16, 32, 32, 32]


def test_no_block_is_inserted_after_the_input_of_a_cell():
    sites = INSERT.candidates(convolution())
    assert {site.node for site in sites} == {"relu_1"}


def test_a_kernel_that_is_too_large_for_the_last_cell_does_not_apply():
    """With 8x8 images, the last three cells have 2x2 pixels, too few for a 5x5 kernel."""
    assert INSERT.candidates(convolution()) == (InsertSite("relu_1", 3),)
    large = cells(3, length=0, shape=(16, 16, 1))
    assert INSERT.candidates(large) == (InsertSite("relu_1", 3), InsertSite("relu_1", 5))


def test_a_block_is_inserted_after_a_convex_sum():
    graph = grow(
        convolution(),
        (INSERT, InsertSite("relu_1", 3)),
        (SKIP, SkipSite("relu_1", "relu_2", "convex_sum")),
    )
    assert {site.node for site in INSERT.candidates(graph)} == {"relu_1", "relu_2", "skip_sum_1"}


def test_filters_are_rounded_in_the_first_block_and_then_doubled():
    graph = convolution()
    wider = InCells(WidenConvolution(factors=(4 / 3,)))
    graph = grow(graph, (wider, WidenSite("conv_1", 4 / 3)))  # 8 * 4 / 3 = 10.67
    assert filters(graph, "conv_1") == [11, 11, 22, 22, 22, 44, 44, 44]
    graph = grow(graph, (PRUNE, PruneSite("conv_1", "1/4")))  # 11 - 2, not 22 - 5
    assert filters(graph, "conv_1") == [9, 9, 18, 18, 18, 36, 36, 36]
    graph = grow(graph, (PRUNE, PruneSite("conv_1", "1/2")))
    assert filters(graph, "conv_1") == [5, 5, 10, 10, 10, 20, 20, 20]


def test_net2wider_splits_in_every_cell_and_keeps_the_function():
    graph = convolution()
    split = InCells(WidenConvolution(split=True))
    change = split.apply(graph, WidenSite("conv_1", 2), rng=_rng())
    assert relative_difference(graph, change.graph, images(graph, 1)) < 1e-10
    assert filters(change.graph, "conv_1") == [16, 16, 32, 32, 32, 64, 64, 64]


def test_no_site_is_the_stem_or_the_input_of_a_cell():
    graph = cells(3, length=4)
    for operator in IN_CELLS:
        for site in operator.candidates(graph):
            for name in ("node", "target"):
                assert getattr(site, name, "conv_1") != "input"


def test_a_sum_with_the_input_of_the_cell_is_projected_in_every_cell():
    """In the third cell, the numbers of channels happen to agree: 8 + 8 and 16."""
    graph = convolution()
    assert graph.shapes()["cell_3_input"][-1] == graph.shapes()["cell_3_relu_1"][-1]
    graph = grow(graph, (SKIP, SkipSite("input", "relu_1", "convex_sum")))
    for number in NUMBERS:
        assert graph[f"cell_{number}_skip_conv_1"].layer.kernel_size == (1, 1)
        assert graph[f"cell_{number}_skip_sum_1"].inputs == (
            f"cell_{number}_relu_1",
            f"cell_{number}_skip_conv_1",
        )
    assert SkipSite("input", "relu_1", "convex_sum") not in SKIP.candidates(graph)


def test_a_sum_inside_a_cell_is_projected_if_filters_differ():
    graph = grow(
        convolution(),
        (INSERT, InsertSite("relu_1", 3)),
        (SKIP, SkipSite("relu_1", "relu_2", "convex_sum")),
    )
    assert "cell_1_skip_conv_1" not in graph
    graph = grow(
        convolution(),
        (INSERT, InsertSite("relu_1", 3)),
        (WIDEN, WidenSite("conv_1", 2)),
        (SKIP, SkipSite("relu_1", "relu_2", "convex_sum")),
    )
    assert filters(graph, "skip_conv_1") == filters(graph, "conv_2")


def test_the_input_of_a_cell_never_becomes_part_of_its_output():
    one = convolution()
    assert SkipSite("input", "relu_1", "concatenate") not in SKIP.candidates(one)
    two = grow(
        one,
        (INSERT, InsertSite("relu_1", 3)),
        (SKIP, SkipSite("input", "relu_1", "concatenate")),  # conv_2 is between
    )
    for number in NUMBERS:
        inner = "stem_relu" if number == 1 else f"cell_{number}_input"
        assert graph_inputs(two, number, "skip_concat_1") == (f"cell_{number}_relu_1", inner)
    kinds = {(s.source, s.target) for s in SKIP.candidates(two) if s.kind == "concatenate"}
    assert ("relu_1", "relu_2") in kinds
    assert kinds.isdisjoint({("skip_concat_1", "relu_2"), ("input", "relu_2")})
    assert RemoveSite("conv_2") not in REMOVE.candidates(two)
    assert RemoveSite("conv_1") in REMOVE.candidates(two)
    assert {site.node for site in INSERT.candidates(two)} == {"relu_1", "relu_2"}


def graph_inputs(graph, number, local):
    return graph[f"cell_{number}_{local}"].inputs


def test_the_only_convolution_of_a_cell_is_not_removed():
    assert REMOVE.candidates(convolution()) == ()
    two = grow(convolution(), (INSERT, InsertSite("relu_1", 3)))
    assert REMOVE.candidates(two) == (RemoveSite("conv_1"), RemoveSite("conv_2"))
    one = grow(two, (REMOVE, RemoveSite("conv_1")))
    assert extract_cell(one)[0].output == "relu_2"
    assert REMOVE.candidates(one) == ()


def test_a_convolution_is_separated_in_every_cell():
    graph = grow(convolution(), (SEPARATE, SeparateSite("conv_1")))
    for number in NUMBERS:
        assert isinstance(graph[f"cell_{number}_conv_1"].layer, L.SeparableConv2D)
    assert SEPARATE.candidates(graph) == ()


def test_a_skip_is_removed_in_every_cell():
    parent = grow(convolution(), (INSERT, InsertSite("relu_1", 3)))
    graph = grow(parent, (SKIP, SkipSite("relu_1", "relu_2", "concatenate")))
    change = REMOVE.apply(graph, RemoveSite("skip_concat_1"), rng=_rng())
    assert dict(change.graph.copy(weights=False).items()) == dict(
        parent.copy(weights=False).items()
    )
    assert relative_difference(parent, change.graph, images(parent, 1)) < 1e-10


def test_pruning_repairs_the_statistics_in_every_cell():
    graph = as_if_trained(grow(convolution(), (INSERT, InsertSite("relu_1", 3))), _rng())
    change = PRUNE.apply(graph, PruneSite("conv_1", "1/2"), rng=_rng())
    assert {repair.node for repair in change.repairs} >= {f"cell_{n}_bn_2" for n in NUMBERS}


def test_refusals():
    graph = cells()
    widen, insert = WIDEN, INSERT
    assert widen.refusal(graph, WidenSite("conv_1", 2)) is None
    why = widen.refusal(graph, WidenSite("conv_7", 2))
    assert why.startswith("in cell 1, there is no layer 'cell_1_conv_7'")
    assert "the factor is 3" in widen.refusal(graph, WidenSite("conv_1", 3))
    with pytest.raises(SiteError, match="in cell 1, there is no layer"):
        widen.apply(graph, WidenSite("conv_7", 2), rng=np.random.default_rng(0))
    why = insert.refusal(graph, InsertSite("input", 3))
    assert why == "the number of channels of 'input' differs between cells"
    assert "cell" in widen.refusal(small(), WidenSite("conv_1", 2))
