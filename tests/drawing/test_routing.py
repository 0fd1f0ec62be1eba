"""Ports keep their order and gaps; arrows on one track do not touch."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lemonade_tf.drawing.routing import assign_ports, assign_tracks

COORDINATES = st.floats(-200, 200)


@given(st.lists(COORDINATES, min_size=1, max_size=30), st.floats(30, 90), st.floats(8, 16))
def test_ports_stay_in_the_room_and_in_order(preferred, room, gap):
    found = assign_ports(preferred, room, gap)
    assert len(found) == len(preferred)
    assert all(abs(x) <= room + 1e-6 for x in found)
    least = min(gap, 5.0, 2 * room / max(len(preferred) - 1, 1))
    assert all(after - before >= least - 1e-6 for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("preferred", "expected"),
    [
        ([70.0], [0.0]),  # out of reach
        ([12.0], [12.0]),
        ([-80.0, 0.0, 3.0, 90.0], [-10.0, 0.0, 10.0, 20.0]),
        ([-30.0, 0.0, 25.0], [-30.0, 0.0, 25.0]),
        ([-90.0, 90.0], [-5.0, 5.0]),
    ],
)
def test_preferred_ports_are_used_where_possible(preferred, expected):
    assert assign_ports(preferred, 40.0, 10.0) == pytest.approx(expected)


@given(st.lists(st.tuples(COORDINATES, COORDINATES), max_size=12))
def test_arrows_on_one_track_do_not_touch(segments):
    for (a, at), (b, other) in combinations(zip(segments, assign_tracks(segments), strict=True), 2):
        assert at != other or max(a) < min(b) or max(b) < min(a)


def test_tracks_avoid_crossings():
    assert assign_tracks([(0, 50), (10, 60), (20, 70)]) == [2, 1, 0]
    assert assign_tracks([(0, -50), (10, -40), (20, -30)]) == [0, 1, 2]
    assert assign_tracks([(0, 30), (40, 70)]) == [0, 0]


def test_arrow_that_leaves_where_another_enters_runs_below_it():
    assert assign_tracks([(0, 50), (50, 100)]) == [1, 0]
    assert assign_tracks([(50, 100), (0, 50)]) == [0, 1]
