"""Values on the scale of an objective."""

import pytest
from run_folders import network

from lemonade_tf.objectives import Objective
from lemonade_tf.report.scales import extent, limits, tick_values

LOG = Objective("memory", "log", compute=len, unit="B")
LINEAR = Objective("any", "linear", compute=len)


def lines(*values):
    return [network("0-0", objectives={"memory": value, "any": value}) for value in values]


@pytest.mark.parametrize(
    ("objective", "low", "high", "most", "ticks"),
    [
        (LOG, 900, 2_000_000, 4, [1e3, 1e4, 1e5, 1e6]),
        (LOG, 900, 2_000_000, 3, [1e4, 1e6]),
        (LOG, 2_000, 90_000, 4, [3e3, 1e4, 3e4]),
        (LOG, 2_100, 9_000, 3, [2.5e3, 5e3, 7.5e3]),
        (LOG, 12_100, 12_900, 3, [12_250, 12_500, 12_750]),
        (LINEAR, 0, 1, 3, [0, 0.5, 1]),
        (LINEAR, 0.031, 0.456, 5, [0.1, 0.2, 0.3, 0.4]),
        (LINEAR, -3, 3, 4, [-2, 0, 2]),
    ],
)
def test_ticks_are_round_values(objective, low, high, most, ticks):
    assert tick_values(objective, low, high, most) == pytest.approx(ticks)


def test_the_extent_of_equal_values_is_widened():
    assert extent(LOG, lines(600, 600)) == (400, 900)
    assert extent(LINEAR, lines(3)) == (1.5, 4.5)
    assert extent(LINEAR, lines(0)) == (-1, 1)
    assert extent(LINEAR, lines(1, 3, 2)) == (1, 3)
    assert extent(LOG, []) == pytest.approx((1 / 1.5, 1.5))


def test_limits_leave_a_margin():
    assert limits(LINEAR, 0, 100) == (-6, 106)
    assert limits(LOG, 1, 100) == pytest.approx((10**-0.12, 10**2.12))
