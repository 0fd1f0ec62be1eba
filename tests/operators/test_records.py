"""Records of operators, and their replay."""

import numpy as np
import pytest
from graphs import OPERATORS, small

from lemonade_tf.operators import SiteError, record, replay
from lemonade_tf.operators.widen import WidenSite


def _rng():
    return np.random.default_rng(0)


def test_replaying_no_records_returns_the_graph():
    graph = small()
    change = replay(graph, [], rng=_rng())
    assert change.graph is graph
    assert (change.affected, change.repairs) == ((), ())


def test_a_record_consists_of_plain_values():
    assert record(OPERATORS["widen_convolution"], WidenSite("conv_1", 2)) == {
        "operator": "widen_convolution",
        "site": {"node": "conv_1", "factor": 2},
    }


def test_a_record_contains_the_multiple_of_filters_if_there_is_one():
    entry = record(OPERATORS["widen_convolution"], WidenSite("conv_1", 2, 8))
    assert entry["site"] == {"node": "conv_1", "factor": 2, "multiple": 8}
    assert replay(small(), [entry], rng=_rng()).graph["conv_1"].layer.filters == 16


def test_an_unknown_operator_is_an_error():
    with pytest.raises(
        SiteError, match=r"operator 'mutate' is unknown; expected one of insert_convolution, widen_"
    ):
        replay(small(), [{"operator": "mutate", "site": {}}], rng=_rng())


def test_a_recorded_site_that_does_not_apply_is_an_error():
    entry = {"operator": "remove", "site": {"node": "conv_99"}}
    with pytest.raises(SiteError, match=r"remove does not apply at RemoveSite\(node='conv_99'\)"):
        replay(small(), [entry], rng=_rng())


def test_only_the_given_operators_are_known():
    entry = {"operator": "remove", "site": {"node": "conv_3"}}
    with pytest.raises(
        SiteError, match=r"operator 'remove' is unknown; expected one of add_skip\."
    ):
        replay(small(), [entry], rng=_rng(), operators=[OPERATORS["add_skip"]])
