"""Composition of changes."""

import numpy as np
import pytest
from graphs import APPROXIMATE, EXACT, OPERATORS, grown, random_chain, small, tied

from lemonade_tf.architecture import check
from lemonade_tf.architecture.channel_groups import FRESH
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.operators import Change, FitOutputs, MeasureStatistics, record, replay
from lemonade_tf.operators.deepen import InsertSite
from lemonade_tf.operators.in_cells import InCells
from lemonade_tf.operators.prune import PruneSite
from lemonade_tf.operators.remove import RemoveSite
from lemonade_tf.operators.separate import SeparateSite
from lemonade_tf.operators.skip import SkipSite
from lemonade_tf.operators.widen import WidenSite
from lemonade_tf.search_spaces import NETWORKS, CellSpace


def _rng():
    return np.random.default_rng(0)


def _apply(graph, *steps):
    """Replay (operator, site) pairs."""
    records = [record(OPERATORS[name], site) for name, site in steps]
    return replay(graph, records, rng=_rng())


def test_affected_is_the_union_of_surviving_nodes_in_topological_order():
    graph = small()
    first = Change(graph, affected=("relu_3", "bn_1", "gone"))
    second = Change(graph, affected=("logits", "conv_2", "bn_1"))
    both = first.followed_by(second)
    assert both.affected == ("bn_1", "conv_2", "relu_3", "logits")
    assert both.graph is graph


INSERT = ("insert_convolution", InsertSite("relu_1", 3))
PRUNE = ("prune_filters", PruneSite("conv_3", "1/2"))
AFTER_PRUNING = ("conv_3", "bn_3", "logits")


@pytest.mark.parametrize(
    ("steps", "distilled"),
    [
        ([INSERT], ()),
        ([PRUNE], AFTER_PRUNING),
        ([INSERT, PRUNE], AFTER_PRUNING),
        ([PRUNE, INSERT], AFTER_PRUNING),
        ([PRUNE, ("remove", RemoveSite("conv_3"))], ("conv_2", "bn_2", "logits")),
        (
            [INSERT, ("separate_convolution", SeparateSite("conv_1")), PRUNE],
            ("conv_1", "bn_1", *AFTER_PRUNING),
        ),
    ],
)
def test_distilled_is_what_approximate_operators_affected(steps, distilled):
    change = _apply(small(), *steps)
    assert change.distilled == distilled
    assert set(distilled) <= set(change.affected)
    inserted = {"conv_4", "bn_4"} & set(change.affected)
    assert bool(inserted) == (INSERT in steps)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((), (), ()),
        ([("gone", None)], [("bn_2", (1, 2))], [("bn_2", (1, 2))]),
        ([("bn_2", (1, 2))], [("bn_1", None)], [("bn_1", None), ("bn_2", (1, 2))]),
        ([("bn_2", (4, 1))], [("bn_2", (2, 1))], [("bn_2", (1, 2, 4))]),
        ([("bn_2", None)], [("bn_2", (1,))], [("bn_2", None)]),
        ([("bn_2", (1,))], [("bn_2", None)], [("bn_2", None)]),
    ],
)
def test_statistics_repairs_are_the_union_of_channels(first, second, expected):
    graph = small()
    one = Change(graph, (), tuple(MeasureStatistics(n, c) for n, c in first))
    other = Change(graph, (), tuple(MeasureStatistics(n, c) for n, c in second))
    repairs = one.followed_by(other).repairs
    assert [(repair.node, repair.channels) for repair in repairs] == list(expected)


def test_fit_repairs_are_the_union_in_topological_order():
    graph = small()
    first = Change(graph, (), (FitOutputs("logits"), FitOutputs("gone"), MeasureStatistics("bn_1")))
    second = Change(graph, (), (FitOutputs("conv_2"), FitOutputs("logits")))
    both = first.followed_by(second)
    assert both.fit_repairs == (FitOutputs("conv_2"), FitOutputs("logits"))
    assert both.statistics_repairs == (MeasureStatistics("bn_1"),)
    assert both.repairs == (*both.fit_repairs, *both.statistics_repairs)


def test_repairs_move_with_their_channels():
    graph = small()
    first = Change(graph, (), (MeasureStatistics("bn_2", (1, 5)), MeasureStatistics("bn_3")))
    sources = {"bn_2": np.array([5, 0, 1, -1, 1]), "bn_3": np.array([0])}
    both = first.followed_by(Change(graph, (), (), sources))
    assert both.repairs == (MeasureStatistics("bn_2", (0, 2, 4)), MeasureStatistics("bn_3"))


def test_repairs_of_removed_channels_are_dropped():
    graph = small()
    first = Change(graph, (), (MeasureStatistics("bn_2", (1, 5)),))
    both = first.followed_by(Change(graph, (), (), {"bn_2": np.array([0, 2])}))
    assert both.repairs == ()


def _sources(first, second):
    """Return the sources of bn_2 after two changes of its channels."""
    graph = small()
    changes = [Change(graph, (), (), {"bn_2": np.array(s)} if s else {}) for s in (first, second)]
    return list(changes[0].followed_by(changes[1]).sources.get("bn_2", ()))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([2, 0, 1], [], [2, 0, 1]),
        ([], [2, 0, 1], [2, 0, 1]),
        ([3, 5, 4], [2, 0], [4, 3]),  # the first change's source at the second's
        ([3, 5, FRESH], [2, 1], [FRESH, 5]),  # fresh in the first change
        ([3, 5, 4], [1, FRESH, 0], [5, FRESH, 3]),  # fresh in the second, not the last channel
        ([7, 7, 1], [0, 1, 1, 2], [7, 7, 7, 1]),
    ],
)
def test_sources_compose(first, second, expected):
    assert _sources(first, second) == expected


def test_sources_of_removed_nodes_are_dropped():
    graph = small()
    source = {"bn_2": np.array([0]), "gone": np.array([1])}
    change = Change(graph, (), (), source).followed_by(Change(graph, (), (), {"lost": source}))
    assert list(change.sources) == ["bn_2"]


def test_composed_sources_match_the_weights_of_the_child():
    """Operators keep the offset of a batch norm, so it shows where each channel comes from."""
    operators = [*EXACT[1:], *APPROXIMATE]  # inserted blocks are new nodes
    compared = 0
    for seed in range(40):
        parent = grown(seed % 4) if seed % 2 else tied(seed)
        change = Change(parent, affected=())
        rng = np.random.default_rng(seed)
        for *_, step in random_chain(parent, operators, 5, rng, retrained=False):
            change = change.followed_by(step)
        for name, source in change.sources.items():
            if name in parent and isinstance(parent[name].layer, BatchNormalization):
                old, beta = source >= 0, change.graph[name].weights["beta"]
                np.testing.assert_array_equal(beta[old], parent[name].weights["beta"][source[old]])
                assert (beta[~old] == 0).all()
                compared += 1
    assert compared > 40


def test_an_inserted_block_stays_the_identity():
    graph = small()
    inserted = Change(graph, (), (MeasureStatistics("bn_2", identity=True),))
    widened = Change(graph, (), (MeasureStatistics("bn_2", (6, 7)),))
    expected = (MeasureStatistics("bn_2", None, identity=True),)
    assert inserted.followed_by(widened).repairs == expected


def test_widening_then_pruning_measures_the_fresh_channels_that_stay():
    change = _apply(
        small(),
        ("widen_convolution", WidenSite("conv_2", 2)),
        ("prune_filters", PruneSite("conv_2", "1/2")),
    )
    check(change.graph)
    (measured,) = [repair for repair in change.repairs if repair.node == "bn_2"]
    kernel = change.graph["conv_2"].weights["pointwise_kernel"]
    old = small()["conv_2"].weights["pointwise_kernel"]
    fresh = [
        channel
        for channel in range(kernel.shape[-1])
        if not (kernel[..., channel, None] == old).all(axis=(0, 1, 2)).any()
    ]
    assert 0 < len(fresh) < 8
    assert measured.channels == tuple(fresh)
    assert {"conv_2", "bn_2", "conv_3", "bn_3"} <= set(change.affected)


def test_widening_then_adding_a_skip_keeps_the_repairs():
    change = _apply(
        small(),
        ("widen_convolution", WidenSite("conv_3", 2)),
        ("add_skip", SkipSite("relu_1", "relu_3", "concatenate")),
    )
    assert change.repairs == (MeasureStatistics("bn_3", tuple(range(10, 20))),)


def test_inserting_then_removing_leaves_no_reference_to_the_block():
    graph = small()
    change = _apply(
        graph,
        ("insert_convolution", InsertSite("relu_1", 3)),
        ("remove", RemoveSite("conv_4")),
    )
    assert set(change.graph) == set(graph)
    assert all(name in change.graph for name in change.affected)
    assert all(repair.node in change.graph for repair in change.repairs)


def _reusing_a_name(graph):
    """Remove conv_2, and insert a block after relu_3 whose convolution is named conv_2 again."""
    return (
        _apply(graph, ("remove", RemoveSite("conv_2"))),
        lambda other: _apply(other, ("insert_convolution", InsertSite("relu_3", 3))),
    )


def test_new_nodes_include_those_that_reuse_a_name():
    graph = small()
    removed, insert = _reusing_a_name(graph)
    assert removed.new_nodes == frozenset()
    both = removed.followed_by(insert(removed.graph))
    assert both.new_nodes == {"conv_2", "bn_2", "relu_2"}
    assert both.graph["conv_2"].inputs == ("relu_3",)
    wider = both.followed_by(_apply(both.graph, ("widen_convolution", WidenSite("conv_1", 2))))
    assert wider.new_nodes == both.new_nodes
    gone = both.followed_by(_apply(both.graph, ("remove", RemoveSite("conv_2"))))
    assert gone.new_nodes == frozenset()


def test_new_nodes_of_an_operator_in_all_cells():
    (graph, *_) = CellSpace(filters=(16,), cells_per_block=1).initial_graphs((8, 8, 3), 4)
    operator = InCells(OPERATORS["insert_convolution"])
    (site, *_) = operator.candidates(graph)
    change = operator.apply(graph, site, rng=_rng())
    assert change.new_nodes == set(change.graph) - set(graph)
    assert len(change.new_nodes) == 3 * 5


def test_a_new_node_inherits_nothing_from_the_one_that_had_its_name():
    graph = small(widths=(8, 8, 8))
    pruned = Change(
        graph,
        (),
        (FitOutputs("conv_2"), MeasureStatistics("bn_2", (1,))),
        {"conv_2": np.array([3, 1]), "bn_2": np.array([3, 1])},
    )
    removed, insert = _reusing_a_name(graph)
    inserted = insert(removed.graph)
    in_turn = pruned.followed_by(removed).followed_by(inserted)
    at_once = pruned.followed_by(removed.followed_by(inserted))
    for change in (in_turn, at_once):
        assert not {"conv_2", "bn_2"} & set(change.sources)
        assert FitOutputs("conv_2") not in change.fit_repairs
        assert MeasureStatistics("bn_2", identity=True) in change.statistics_repairs


def test_a_removed_block_passes_on_other_channels():
    """The pool after a block that was pruned, then removed, has the channels before the block."""
    graph = NETWORKS.initial_graphs((8, 8, 1), 10)[0]
    inserted = replay(
        graph,
        [{"operator": "insert_convolution", "site": {"node": "relu_3", "kernel_size": 3}}],
        rng=np.random.default_rng(0),
    ).graph
    records = [
        {"operator": "prune_filters", "site": {"node": "conv_4", "fraction": "1/4"}},
        {"operator": "remove", "site": {"node": "conv_4"}},
        {"operator": "widen_convolution", "site": {"node": "conv_3", "factor": 4 / 3}},
    ]
    change = replay(inserted, records, rng=np.random.default_rng(0))
    shapes = change.graph.shapes()
    assert shapes["global_pool"] == (61,)
    assert all(len(source) == shapes[name][-1] for name, source in change.sources.items())
    assert change.sources["global_pool"].tolist() == [-1] * 61
    np.testing.assert_array_equal(change.sources["conv_3"][:46], np.arange(46))
