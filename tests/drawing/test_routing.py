"""Where arrows meet boxes, and that those on one track stay apart."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lemonade_tf.drawing.routing import ports, tracks

COORDINATES = st.floats(-200, 200)


@given(st.lists(COORDINATES, min_size=1, max_size=30), st.floats(30, 90), st.floats(8, 16))
def test_ports_stay_in_their_room_and_in_order(wishes, room, gap):
    found = ports(wishes, room, gap)
    assert len(found) == len(wishes)
    assert all(abs(x) <= room + 1e-6 for x in found)
    least = min(gap, 5.0, 2 * room / max(len(wishes) - 1, 1))
    assert all(after - before >= least - 1e-6 for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ([70.0], [0.0]),  # out of reach
        ([12.0], [12.0]),
        ([-80.0, 0.0, 3.0, 90.0], [-10.0, 0.0, 10.0, 20.0]),
        ([-30.0, 0.0, 25.0], [-30.0, 0.0, 25.0]),
        ([-90.0, 90.0], [-5.0, 5.0]),
    ],
)
def test_ports_that_can_get_their_wish(wishes, expected):
    assert ports(wishes, 40.0, 10.0) == pytest.approx(expected)


@given(st.lists(st.tuples(COORDINATES, COORDINATES), max_size=12))
def test_arrows_on_one_track_do_not_meet(segments):
    for (a, at), (b, other) in combinations(zip(segments, tracks(segments), strict=True), 2):
        assert at != other or max(a) < min(b) or max(b) < min(a)


def test_arrows_that_need_not_cross_do_not():
    assert tracks([(0, 50), (10, 60), (20, 70)]) == [2, 1, 0]
    assert tracks([(0, -50), (10, -40), (20, -30)]) == [0, 1, 2]
    assert tracks([(0, 30), (40, 70)]) == [0, 0]


def test_an_arrow_ends_below_one_that_starts_at_its_end():
    assert tracks([(0, 50), (50, 100)]) == [1, 0]
    assert tracks([(50, 100), (0, 50)]) == [0, 1]
