"""Changes one after the other, records, and what is refused."""

import numpy as np
import pytest
from graphs import OPERATORS, small

from lemonade_tf.architecture import check
from lemonade_tf.operators import Change, FitOutputs, MeasureStatistics, SiteError, record, replay
from lemonade_tf.operators.deepen import InsertSite
from lemonade_tf.operators.in_cells import InCells
from lemonade_tf.operators.prune import PruneSite
from lemonade_tf.operators.remove import RemoveSite
from lemonade_tf.operators.skip import SkipSite
from lemonade_tf.operators.widen import WidenSite
from lemonade_tf.search_spaces import CellSpace


def _rng():
    return np.random.default_rng(0)


def _apply(graph, *steps):
    """Replay (operator, site) pairs."""
    records = [record(OPERATORS[name], site) for name, site in steps]
    return replay(graph, records, rng=_rng())


# --- followed_by ---------------------------------------------------------------------------------


def test_affected_nodes_are_united_in_order_and_gone_ones_dropped():
    graph = small()
    first = Change(graph, affected=("relu_3", "bn_1", "gone"))
    second = Change(graph, affected=("logits", "conv_2", "bn_1"))
    both = first.followed_by(second)
    assert both.affected == ("bn_1", "conv_2", "relu_3", "logits")
    assert both.graph is graph


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
def test_repairs_are_united(first, second, expected):
    graph = small()
    one = Change(graph, (), tuple(MeasureStatistics(n, c) for n, c in first))
    other = Change(graph, (), tuple(MeasureStatistics(n, c) for n, c in second))
    repairs = one.followed_by(other).repairs
    assert [(repair.node, repair.channels) for repair in repairs] == list(expected)


def test_what_wants_to_be_fitted_is_united_in_order():
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


def test_repairs_of_channels_that_are_gone_are_dropped():
    graph = small()
    first = Change(graph, (), (MeasureStatistics("bn_2", (1, 5)),))
    both = first.followed_by(Change(graph, (), (), {"bn_2": np.array([0, 2])}))
    assert both.repairs == ()


def test_an_inserted_block_stays_the_identity():
    graph = small()
    inserted = Change(graph, (), (MeasureStatistics("bn_2", identity=True),))
    widened = Change(graph, (), (MeasureStatistics("bn_2", (6, 7)),))
    expected = (MeasureStatistics("bn_2", None, identity=True),)
    assert inserted.followed_by(widened).repairs == expected


def test_widened_then_pruned():
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


def test_widened_then_connected():
    change = _apply(
        small(),
        ("widen_convolution", WidenSite("conv_3", 2)),
        ("add_skip", SkipSite("relu_1", "relu_3", "concatenate")),
    )
    assert change.repairs == (MeasureStatistics("bn_3", tuple(range(10, 20))),)


def test_inserted_then_removed():
    graph = small()
    change = _apply(
        graph,
        ("insert_convolution", InsertSite("relu_1", 3)),
        ("remove", RemoveSite("conv_4")),
    )
    assert set(change.graph) == set(graph)
    assert all(name in change.graph for name in change.affected)
    assert all(repair.node in change.graph for repair in change.repairs)


def _named_again(graph):
    """Remove conv_2, and insert another behind relu_3 that is called conv_2, too."""
    return (
        _apply(graph, ("remove", RemoveSite("conv_2"))),
        lambda other: _apply(other, ("insert_convolution", InsertSite("relu_3", 3))),
    )


def test_what_is_new_is_told_even_under_an_old_name():
    graph = small()
    removed, insert = _named_again(graph)
    assert removed.new_nodes == frozenset()
    both = removed.followed_by(insert(removed.graph))
    assert both.new_nodes == {"conv_2", "bn_2", "relu_2"}
    assert both.graph["conv_2"].inputs == ("relu_3",)
    gone = both.followed_by(_apply(both.graph, ("remove", RemoveSite("conv_2"))))
    assert gone.new_nodes == frozenset()


def test_what_an_operator_adds_in_all_cells_is_new():
    (graph, *_) = CellSpace(filters=(16,), cells_per_block=1).initial_graphs((8, 8, 3), 4)
    operator = InCells(OPERATORS["insert_convolution"])
    (site, *_) = operator.candidates(graph)
    change = operator.apply(graph, site, rng=_rng())
    assert change.new_nodes == set(change.graph) - set(graph)
    assert len(change.new_nodes) == 3 * 5


def test_a_new_node_takes_over_nothing_from_the_one_that_had_its_name():
    graph = small(widths=(8, 8, 8))
    pruned = Change(
        graph,
        (),
        (FitOutputs("conv_2"), MeasureStatistics("bn_2", (1,))),
        {"conv_2": np.array([3, 1]), "bn_2": np.array([3, 1])},
    )
    removed, insert = _named_again(graph)
    inserted = insert(removed.graph)
    in_turn = pruned.followed_by(removed).followed_by(inserted)
    at_once = pruned.followed_by(removed.followed_by(inserted))
    for change in (in_turn, at_once):
        assert not {"conv_2", "bn_2"} & set(change.sources)
        assert FitOutputs("conv_2") not in change.fit_repairs
        assert MeasureStatistics("bn_2", identity=True) in change.statistics_repairs


# --- Records -------------------------------------------------------------------------------------


def test_no_records_make_no_change():
    graph = small()
    change = replay(graph, [], rng=_rng())
    assert change.graph is graph
    assert (change.affected, change.repairs) == ((), ())


def test_a_record_is_plain():
    assert record(OPERATORS["widen_convolution"], WidenSite("conv_1", 2)) == {
        "operator": "widen_convolution",
        "site": {"node": "conv_1", "factor": 2},
    }


def test_an_unknown_operator_is_refused():
    with pytest.raises(
        SiteError, match=r"operator 'mutate' is unknown; expected one of insert_convolution, widen_"
    ):
        replay(small(), [{"operator": "mutate", "site": {}}], rng=_rng())


def test_a_recorded_site_that_does_not_apply_is_refused():
    entry = {"operator": "remove", "site": {"node": "conv_99"}}
    with pytest.raises(SiteError, match=r"remove does not apply at RemoveSite\(node='conv_99'\)"):
        replay(small(), [entry], rng=_rng())


def test_operators_can_be_chosen():
    entry = {"operator": "remove", "site": {"node": "conv_3"}}
    with pytest.raises(
        SiteError, match=r"operator 'remove' is unknown; expected one of add_skip\."
    ):
        replay(small(), [entry], rng=_rng(), operators=[OPERATORS["add_skip"]])
