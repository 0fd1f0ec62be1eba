import io

import pytest
from rich.console import Console
from run_folders import network

from lemonade_tf.config import SearchConfig
from lemonade_tf.monitoring.progress import ProgressDisplay, display, duration, line
from lemonade_tf.monitoring.search_state import SearchState


@pytest.fixture
def state(tmp_path):
    front = {
        "0-1": network("0-1", objectives={"error": 0.125, "parameters": 1000}),
        "1-4": network("1-4", objectives={"error": 0.25, "parameters": 900}),
    }
    return SearchState(
        SearchConfig(num_generations=7),
        tmp_path / "run",
        num_expected=84,
        generation=2,
        num_trained=20,
        num_failed=1,
        front=front,
        hypervolume=1.23456,
        seconds=65.4,
        seconds_left=200,
    )


def test_a_line_says_it_all(state):
    assert line(state) == (
        "generation 2/7  trained 20/84 (1 failed)  front 2  best error 12.50 %"
        "  hypervolume 1.2346  time 1:05 min  left about 3:20 min"
    )


@pytest.mark.parametrize(
    ("objectives", "text"),
    [
        (["own:TIME"], "Preparing own:TIME.\n"),
        (
            ["own:TIME", "latency"],
            "Preparing own:TIME, latency: measuring some 180 netw",
        ),
    ],
)
def test_what_is_prepared_is_said(objectives, text):
    console = Console(file=io.StringIO())
    ProgressDisplay(console).on_prepare(SearchConfig(), objectives)
    assert console.file.getvalue().startswith(text)


def test_what_a_failure_says_is_no_markup(state):
    display = ProgressDisplay(Console(file=io.StringIO()))
    for failure in ("OSError: cannot read [/data/x]", "no kernel for [[node a/b]] of [a, b]"):
        display.on_network_end(state, network("1-2", failure=failure))
        assert display.console.file.getvalue().endswith(f"network 1-2 failed: {failure}\n")


def test_before_the_first_network(tmp_path):
    state = SearchState(SearchConfig(), tmp_path, num_expected=4)
    assert "best error -  hypervolume 0.0000  time 0 s  left -" in line(state)


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_without_a_terminal_there_is_a_line_a_generation(state):
    out = console(terminal=False)
    progress = ProgressDisplay(out)
    progress.on_search_begin(state)
    progress.on_network_end(state, network("2-5"))
    progress.on_generation_end(state)
    progress.on_search_end(state)
    text = out.file.getvalue()
    assert "Run folder:" in text
    assert text.count("generation 2/7") == 1


def test_on_a_terminal_the_display_is_live_and_stops(state):
    out = console(terminal=True)
    progress = ProgressDisplay(out)
    progress.on_search_begin(state)
    progress.on_network_end(state, network("2-5"))
    progress.on_search_end(state)
    assert "best error" in out.file.getvalue()
    progress.on_search_end(state)  # ending twice is harmless


def test_failures_are_said(state):
    out = console(terminal=False)
    progress = ProgressDisplay(out)
    progress.on_network_end(state, network("2-5", failure="diverged"))
    assert "network 2-5 failed: diverged" in out.file.getvalue()


def test_the_display_has_a_column_a_fact(state):
    out = console(terminal=False)
    out.print(display(state))
    text = out.file.getvalue()
    for fact in ("generation", "2/7", "20/84 (1 failed)", "12.50 %", "1.2346", "about 3:20 min"):
        assert fact in text


def test_the_display_goes_on_between_two_networks(state):
    out = console(terminal=False)
    out.print(display(state, since=10.0))
    assert "1:15 min" in out.file.getvalue()
    assert "about 3:10 min" in out.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1:00 min"), (185, "3:05 min"), (7500, "2:05 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
