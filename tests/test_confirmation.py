"""The question before a long search without a budget."""

import io
import os
import pty
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from rich.console import Console
from toy_training import toy_search

from lemonade_tf.cli.confirmation import LONG_HOURS, Confirmation, is_long_by_default
from lemonade_tf.config import SearchConfig
from lemonade_tf.monitoring.callback import Estimate, SearchState
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.search.failures import BudgetError, NotStartedError


def state(hours=300.0, **settings):
    return SearchState(SearchConfig(**settings), None, 4004, estimate=estimate(hours))


def estimate(hours):
    return Estimate(10.0, 20.0, hours, 4004, 2)


def ask(answer, given=None, hours=300.0, yes=False, **settings):
    """Return whether the search starts, and what was printed."""
    asked = []

    def read():
        asked.append(True)
        if answer == "Ctrl-C":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        return answer

    console = Console(file=io.StringIO(), width=100)
    confirmation = Confirmation(
        ProgressDisplay(console), given or {}, yes=yes, read=None if answer is None else read
    )
    confirmation.on_estimate(state(hours, **settings))
    return bool(asked), console.file.getvalue()


@pytest.mark.parametrize("answer", ["y\n", "YES\n", " y "])
def test_a_yes_starts_the_search(answer):
    asked, text = ask(answer)
    assert asked
    assert "about 12 days, until about " in text
    assert "--minutes 60" in text


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yess\n"])
def test_any_other_answer_does_not(answer):
    with pytest.raises(NotStartedError, match="the answer was not yes") as error:
        ask(answer)
    assert error.value.exit_status == 1


def test_ctrl_c_does_not():
    earlier = signal.getsignal(signal.SIGINT)
    with pytest.raises(NotStartedError, match="stopped by Ctrl-C"):
        ask("Ctrl-C")
    assert signal.getsignal(signal.SIGINT) is earlier


def test_without_a_terminal_a_long_search_is_refused():
    with pytest.raises(BudgetError, match=r"takes about 12 days.*or give --yes") as error:
        ask(None)
    assert error.value.exit_status == 2


@pytest.mark.parametrize(
    "options",
    [
        {"yes": True},
        {"given": {"max_hours": 1.0}},
        {"given": {"num_generations": 100}},
        {"given": {"preset": "paper"}},
        {"hours": LONG_HOURS - 0.01},
        {"max_hours": 300.0},  # that of a run that is resumed
        {"num_generations": 10},
    ],
)
def test_there_is_no_question(options):
    for answer in ("n", None):
        asked, _ = ask(answer, **options)
        assert not asked


def test_a_search_without_an_estimate_is_not_long():
    assert not is_long_by_default(SearchState(SearchConfig(), None, 5))


class Refusal(Confirmation):
    def __init__(self):
        super().__init__(None, {}, yes=False, read=None)


def test_a_refused_search_leaves_nothing_but_the_files_of_others(tmp_path, monkeypatch):
    name = "lemonade_tf.search.algorithm.estimate_search"
    monkeypatch.setattr(name, lambda *_, **__: estimate(9))
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("")
    for name in ("new", "kept"):
        with pytest.raises(BudgetError):
            toy_search(tmp_path / name, in_process=True, callbacks=[Refusal()], num_generations=100)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "notes.txt"]


FAKE = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that it gets the signals of this terminal
from unittest.mock import patch
from lemonade_tf.cli import main
from lemonade_tf.monitoring.callback import Estimate
long = lambda *_, **__: Estimate(10.0, 20.0, 300.0, 4004, 2)
with patch("lemonade_tf.search.algorithm.estimate_search", long):
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("answer", [b"n\n", b"\x03", b"\x04"], ids=["n", "Ctrl-C", "Ctrl-D"])
def test_in_a_real_terminal(tmp_path, answer):
    data = tmp_path / "small.npz"
    images = np.random.default_rng(0).integers(256, size=(40, 8, 8, 1), dtype=np.uint8)
    np.savez(data, x_train=images, y_train=np.arange(40) % 2)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", FAKE, "search", "--dataset", "small.npz"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    text = b""
    timer = threading.Timer(100, process.kill)
    timer.start()
    try:
        while b"[y/N]" not in text and (part := os.read(ours, 4096)):
            text += part
        time.sleep(0.2)
        os.write(ours, answer)
        while True:
            try:
                text += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
    finally:
        timer.cancel()
        os.close(ours)
    assert process.wait() == 1
    assert b"about 12 days" in text
    assert b"Traceback" not in text
    assert [path.name for path in tmp_path.rglob("*")] == ["small.npz"]
