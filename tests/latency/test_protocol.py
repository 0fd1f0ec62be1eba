"""Measurements with a simulated clock."""

from dataclasses import replace
from math import inf

import pytest

from lemonade_tf.latency import protocol as module
from lemonade_tf.latency.protocol import DEFAULT, PAPER, TABLE, Protocol, measure


class Machine:
    """A clock that only passes advance, in turn by each of the given seconds."""

    def __init__(self, *seconds):
        self.seconds, self.num_passes, self.now = seconds, 0, 100.0

    def run(self):
        self.now += self.seconds[self.num_passes % len(self.seconds)]
        self.num_passes += 1

    def measure(self, protocol):
        return measure(self.run, protocol, clock=lambda: self.now)


def test_identical_passes_need_the_minimum_number_of_groups():
    machine = Machine(0.01)
    found = machine.measure(replace(DEFAULT, min_groups=7, warm_up=2))
    assert found.seconds == pytest.approx(0.01)
    assert found.num_passes == 7
    assert machine.num_passes == 2 + 1 + 7  # the third pass sets the size of a group
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_short_passes_are_timed_in_groups():
    found = Machine(1e-5).measure(replace(DEFAULT, group_seconds=1e-3, min_groups=10))
    assert found.num_passes == pytest.approx(1000, abs=10)
    assert found.seconds == pytest.approx(1e-5)


def test_varying_passes_are_repeated_until_the_standard_error_is_small():
    protocol = replace(DEFAULT, max_standard_error=0.02, max_seconds=inf)
    steady = Machine(0.010, 0.0102, 0.0101).measure(protocol)
    unsteady = Machine(0.010, 0.012, 0.011).measure(protocol)
    assert unsteady.num_passes > steady.num_passes
    assert unsteady.standard_error <= 0.02


def test_the_time_limit_stops_the_measurement():
    found = Machine(0.1, 0.5).measure(replace(DEFAULT, max_standard_error=1e-9, max_seconds=3.0))
    assert 3.0 <= found.num_passes * 0.3 <= 4.0
    assert found.standard_error > 1e-9


def test_the_median_is_robust_to_slow_passes():
    passes = [0.01] * 9 + [1.0]
    protocol = Protocol(warm_up=1, max_passes=50, max_seconds=inf, max_standard_error=0.0)
    assert Machine(*passes).measure(protocol).seconds == pytest.approx(0.01)
    mean = Machine(*passes).measure(replace(protocol, average="mean"))
    assert mean.seconds == pytest.approx(0.109)


def test_by_default_the_shortest_time_counts_as_most_passes_may_be_slow():
    busy = [0.03, 0.01, 0.05, 0.02, 0.04]
    assert Machine(*busy).measure(DEFAULT).seconds == pytest.approx(0.01)
    assert Machine(*busy).measure(TABLE).seconds == pytest.approx(0.01)
    median = Machine(*busy).measure(replace(DEFAULT, average="median"))
    assert median.seconds == pytest.approx(0.03)
    assert PAPER.average == "mean"


def test_the_protocol_of_the_paper_averages_5000_passes_of_100_images():
    assert PAPER.batch_size == 100
    found = Machine(1e-4, 3e-4).measure(PAPER)
    assert found.num_passes == 5000
    assert found.seconds == pytest.approx(2e-4)


def test_the_standard_error_of_four_passes():
    four = Protocol(warm_up=3, group_seconds=0, max_standard_error=0, max_passes=4, max_seconds=inf)
    found = Machine(1.0, 2.0, 3.0, 4.0).measure(four)
    assert found.seconds == 2.5
    interquartile_range = 3.75 - 1.25
    median_error = 1.2533 * interquartile_range / 1.349 / 4**0.5
    assert found.standard_error == pytest.approx(median_error / 2.5)
    found = Machine(1.0, 2.0, 3.0, 4.0).measure(replace(four, average="mean"))
    variance = (1.5**2 + 0.5**2 + 0.5**2 + 1.5**2) / 3
    assert found.standard_error == pytest.approx((variance / 4) ** 0.5 / 2.5)


@pytest.mark.parametrize("protocol", [DEFAULT, PAPER])
def test_only_passes_are_timed(protocol, monkeypatch):
    """Advance the clock by a second between two groups."""
    machine = Machine(0.01)

    def slow(*arguments):
        machine.now += 1.0
        return is_enough(*arguments)

    is_enough = module._is_enough
    monkeypatch.setattr(module, "_is_enough", slow)
    found = machine.measure(
        replace(protocol, max_passes=40, max_seconds=inf, max_standard_error=0.0)
    )
    assert found.seconds == pytest.approx(0.01)


def test_the_standard_error_is_computed_once_if_it_is_no_condition(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "_standard_error", lambda *args: calls.append(args) or 0.0)
    assert Machine(1e-4).measure(PAPER).num_passes == 5000
    assert len(calls) == 1  # for the result


@pytest.mark.parametrize("protocol", [DEFAULT, PAPER])
def test_json_round_trip(protocol):
    assert Protocol.from_json(protocol.as_json()) == protocol


def test_invalid_settings_are_refused():
    with pytest.raises(ValueError, match="average is 'mode'; expected one of"):
        Protocol(average="mode")
    with pytest.raises(ValueError, match="batch_size is 0; expected at least 1"):
        Protocol(batch_size=0)
    with pytest.raises(ValueError, match="expected a condition that stops"):
        Protocol(max_standard_error=0.0, max_seconds=inf)
    with pytest.raises(ValueError, match="unknown settings of a protocol: color"):
        Protocol.from_json({"color": 1})
