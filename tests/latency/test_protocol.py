"""Measuring, by a clock that the test makes."""

from dataclasses import replace
from math import inf

import pytest

from lemonade_tf.latency import protocol as module
from lemonade_tf.latency.protocol import DEFAULT, PAPER, Protocol, measure


class Machine:
    """A pass takes what the list says, over and over; the clock stands still otherwise."""

    def __init__(self, *seconds):
        self.seconds, self.num_passes, self.now = seconds, 0, 100.0

    def run(self):
        self.now += self.seconds[self.num_passes % len(self.seconds)]
        self.num_passes += 1

    def measure(self, protocol):
        return measure(self.run, protocol, clock=lambda: self.now)


def test_a_steady_machine_is_measured_with_the_least_number_of_groups():
    machine = Machine(0.01)
    found = machine.measure(replace(DEFAULT, least_groups=7, warm_up=2))
    assert found.seconds == pytest.approx(0.01)
    assert found.num_passes == 7
    assert machine.num_passes == 2 + 1 + 7  # a pass tells how large a group is
    assert found.error == pytest.approx(0, abs=1e-9)


def test_short_passes_are_timed_in_groups():
    found = Machine(1e-5).measure(replace(DEFAULT, group_seconds=1e-3, least_groups=10))
    assert found.num_passes == pytest.approx(1000, abs=10)
    assert found.seconds == pytest.approx(1e-5)


def test_an_unsteady_machine_is_measured_until_the_error_is_small():
    protocol = replace(DEFAULT, error=0.02, most_seconds=inf)
    steady = Machine(0.010, 0.0102, 0.0101).measure(protocol)
    unsteady = Machine(0.010, 0.012, 0.011).measure(protocol)
    assert unsteady.num_passes > steady.num_passes
    assert unsteady.error <= 0.02


def test_time_is_up():
    found = Machine(0.1, 0.5).measure(replace(DEFAULT, error=1e-9, most_seconds=3.0))
    assert 3.0 <= found.num_passes * 0.3 <= 4.0
    assert found.error > 1e-9


def test_the_median_leaves_out_what_else_the_machine_did():
    passes = [0.01] * 9 + [1.0]
    protocol = Protocol(warm_up=1, most_passes=50, most_seconds=inf, error=0.0)
    assert Machine(*passes).measure(protocol).seconds == pytest.approx(0.01)
    mean = Machine(*passes).measure(replace(protocol, average="mean"))
    assert mean.seconds == pytest.approx(0.109)


def test_the_papers_protocol_is_the_mean_of_5000_passes_of_100_images():
    assert PAPER.batch_size == 100
    found = Machine(1e-4, 3e-4).measure(PAPER)
    assert found.num_passes == 5000
    assert found.seconds == pytest.approx(2e-4)


@pytest.mark.parametrize("protocol", [DEFAULT, PAPER])
def test_only_passes_are_timed(protocol, monkeypatch):
    """What is done between two groups takes a second by this clock."""
    machine = Machine(0.01)

    def slow(*arguments):
        machine.now += 1.0
        return suffices(*arguments)

    suffices = module._suffices
    monkeypatch.setattr(module, "_suffices", slow)
    found = machine.measure(replace(protocol, most_passes=40, most_seconds=inf, error=0.0))
    assert found.seconds == pytest.approx(0.01)


def test_where_no_error_ends_it_none_is_computed_in_between(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "_error", lambda *arguments: calls.append(arguments) or 0.0)
    assert Machine(1e-4).measure(PAPER).num_passes == 5000
    assert len(calls) == 1  # of the result


@pytest.mark.parametrize("protocol", [DEFAULT, PAPER])
def test_json_round_trip(protocol):
    assert Protocol.from_json(protocol.as_json()) == protocol


def test_values_that_make_no_sense():
    with pytest.raises(ValueError, match="average is 'mode'; expected 'median' or 'mean'"):
        Protocol(average="mode")
    with pytest.raises(ValueError, match="batch_size is 0; expected at least 1"):
        Protocol(batch_size=0)
    with pytest.raises(ValueError, match="set no end"):
        Protocol(error=0.0, most_seconds=inf)
    with pytest.raises(ValueError, match="has no colour"):
        Protocol.from_json({"colour": 1})
