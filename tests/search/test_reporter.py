"""The state of a search, and the events that callbacks receive."""

import time
from types import SimpleNamespace

import pytest
from run_folders import network

from lemonade_tf.config import SearchConfig
from lemonade_tf.evolution import Batch
from lemonade_tf.monitoring.callback import Callback, SearchState
from lemonade_tf.search.reporter import Reporter

FRONT = SimpleNamespace(members={"0-0": network("0-0")}, hypervolume=0.5)


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_generation_begin(self, state, proposals):
        self.events.append(("generation", state.generation, proposals))

    def on_network_end(self, state, record):
        self.events.append((record.id, state.num_trained, state.num_failed))


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def reporter(tmp_path, recorder):
    state = SearchState(SearchConfig(), tmp_path, num_expected=12)
    return Reporter(state, [Callback(), recorder], started=time.monotonic() - 60, deadline=None)


def test_callbacks_see_the_state_after_the_event(reporter, recorder):
    reporter.begin_generation(Batch(3, 1, ("a proposal",)))
    reporter.end_network(network("3-1"), FRONT)
    reporter.end_network(network("3-2", failure="diverged"), FRONT)
    assert recorder.events == [("generation", 3, ("a proposal",)), ("3-1", 1, 0), ("3-2", 1, 1)]
    assert (reporter.state.front, reporter.state.hypervolume) == (FRONT.members, 0.5)


def test_the_time_left_follows_from_the_networks_since_resuming(reporter):
    reporter.restore([network("0-0"), network("0-1", failure="diverged")], FRONT)
    state = reporter.state
    assert (state.num_recalled, state.num_trained, state.num_failed) == (2, 1, 1)
    assert state.seconds_left is None
    for number in range(4):
        reporter.end_network(network(f"1-{number}"), FRONT)
    assert state.seconds == pytest.approx(60, abs=5)
    assert state.seconds_left == pytest.approx((12 - 6) * 60 / 4, abs=10)


def test_the_time_left_does_not_include_what_came_before_training(reporter):
    reporter.begin_search()
    assert reporter.state.seconds == pytest.approx(60, abs=5)
    reporter.begin_training()
    reporter.end_network(network("0-0"), FRONT)
    assert reporter.state.seconds_left < 11 * 5  # instead of 11 * 60
    assert reporter.state.seconds == pytest.approx(60, abs=5)


def test_the_time_left_is_at_most_that_until_the_deadline(tmp_path):
    state = SearchState(SearchConfig(), tmp_path, num_expected=1000)
    now = time.monotonic()
    reporter = Reporter(state, [], started=now - 60, deadline=now + 30)
    reporter.end_network(network("0-0"), FRONT)
    assert state.seconds_left == pytest.approx(30, abs=5)
