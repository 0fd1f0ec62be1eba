"""The progress of a search on the terminal."""

import io
import re
from datetime import datetime
from threading import Event

import pytest
from rich.console import Console
from run_folders import network

from lemonade_tf.config import SearchConfig
from lemonade_tf.monitoring.callback import Estimate, Preparation, SearchState
from lemonade_tf.monitoring.durations import time_in
from lemonade_tf.monitoring.preparation_display import PreparationDisplay
from lemonade_tf.monitoring.progress import (
    ProgressDisplay,
    ProgressTable,
    estimate_lines,
    progress_line,
)


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


def test_the_line_has_all_columns(state):
    assert progress_line(state) == (
        "generation 2/7  trained 20/84 (1 failed)  front 2  best error 12.50 %"
        "  hypervolume 1.2346  time 1:05 min  left about 3:20 min"
    )


@pytest.mark.parametrize(
    ("objectives", "text"),
    [
        (["own:TIME"], "Preparing own:TIME.\n"),
        (
            ["own:TIME", "latency"],
            "Preparing own:TIME, latency: timing about 180 layers and networks",
        ),
    ],
)
def test_the_prepared_objectives_are_printed(objectives, text):
    console = Console(file=io.StringIO())
    ProgressDisplay(console).on_prepare(SearchConfig(), objectives)
    assert console.file.getvalue().startswith(text)


def test_brackets_in_a_failure_are_not_markup(state):
    display = ProgressDisplay(Console(file=io.StringIO()))
    for failure in ("OSError: cannot read [/data/x]", "no kernel for [[node a/b]] of [a, b]"):
        display.on_network_end(state, network("1-2", failure=failure))
        assert display.console.file.getvalue().endswith(f"network 1-2 failed: {failure}\n")


def test_columns_without_a_network_are_empty(tmp_path):
    state = SearchState(SearchConfig(), tmp_path, num_expected=4)
    assert "best error -  hypervolume 0.0000  time 0 s  left -" in progress_line(state)


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def test_without_a_terminal_each_generation_has_a_line(state):
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


def test_failures_are_printed(state):
    out = console(terminal=False)
    progress = ProgressDisplay(out)
    progress.on_network_end(state, network("2-5", failure="diverged"))
    assert "network 2-5 failed: diverged" in out.file.getvalue()


def test_the_table_has_all_columns(state):
    out = console(terminal=False)
    out.print(ProgressTable(state))
    text = out.file.getvalue()
    for fact in ("generation", "2/7", "20/84 (1 failed)", "12.50 %", "1.2346", "about 3:20 min"):
        assert fact in text


def test_the_progress_is_whole_on_a_narrow_terminal(state):
    out = Console(file=io.StringIO(), width=30)
    out.print(ProgressTable(state))
    lines = out.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 30
    assert [line.rstrip() for line in lines[:3]] == [
        "generation  2/7",
        "trained     20/84 (1 failed)",
        "front       2",
    ]


def test_initial_networks_are_printed_where_there_is_no_live_display(state):
    out, state.num_initial = console(terminal=False), 4
    progress = ProgressDisplay(out)
    for number, (id_, objectives) in enumerate(
        (("0-1", {"error": 0.125}), ("0-0", {"error": None}))
    ):
        state.num_trained, state.num_failed = 1, number
        progress.on_network_end(state, network(id_, objectives=objectives))
    progress.on_network_end(state, network("1-0", objectives={"error": 0.1}))
    assert out.file.getvalue().splitlines() == [
        "initial network 1 of 4: validation error 12.50 %",
        "initial network 2 of 4: failed",
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_the_progress_of_a_preparation_is_shown(terminal):
    out, calls = console(terminal), Event()

    def progress():
        calls.set()
        return 90, 360

    display = PreparationDisplay(Preparation("latency", progress), out, interval=0.01)
    display.start()
    assert calls.wait(10)
    assert re.fullmatch(r"latency: 90 of 360 in \d s, about \d+ s left", display.line())
    display.stop()
    assert re.fullmatch(r"latency: 90 of 360 in \d s", display.line())
    assert "latency: 90 of 360 in " in out.file.getvalue()
    assert PreparationDisplay(Preparation("own:TIME", lambda: None), out).line().endswith(" s")


def test_the_clock_of_the_table_advances(state):
    out = console(terminal=False)
    out.print(ProgressTable(state, elapsed=10.0))
    assert "1:15 min" in out.file.getvalue()
    assert "about 3:10 min" in out.file.getvalue()


def estimated(hours, num_workers=2, max_hours=None):
    return estimate_lines(Estimate(10, 20, hours, 4004, num_workers), max_hours)


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0.05, "about 3:00 min for"),
        (0.99, "about 59:24 min for"),
        (1, "about 1 hour, until about"),
        (1.52, "about 1.5 hours, until about"),
        (9.98, "about 10 hours, until about"),
        (47, "about 47 hours, until about"),
        (48, "about 2 days, until about"),
        (2913, "about 120 days, until about"),
        (2913, ", for 4,004 networks on 2 workers"),
    ],
)
def test_the_estimate_is_a_line(hours, text):
    assert text in estimated(hours)[0]


def test_a_long_estimate_comes_with_advice():
    assert len(estimated(11)) == 1
    _, advice = estimated(13)
    for option in ("GPUs", "--max_hours", "--num_generations", "--preset"):
        assert option in advice


def test_an_estimate_beyond_max_hours_names_that_option():
    (line,) = estimated(2913, num_workers=1, max_hours=8)
    assert "on 1 worker," in line
    assert line.endswith("--max_hours ends the search after 8.")


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (1.5, "14:05"),
        (11.5, "0:05 on Saturday"),
        (100, "16:35 on Tuesday"),
        (12 * 24, "12:35 on 9 December"),
        (2913, "21:35 on 28 March 2027"),
        (1e9, "the end of time"),
    ],
)
def test_the_time_of_day_at_the_end(hours, text):
    assert time_in(3600 * hours, datetime(2026, 11, 27, 12, 35)) == text
