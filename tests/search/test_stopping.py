"""Stopping a search early."""

import os
import signal
import threading
import time

import pytest

from lemonade_tf.search.stopping import Interruption, StopCondition, StoppableTasks


def test_the_first_sigint_is_a_request_and_the_second_an_interrupt():
    calls = []
    with Interruption(lambda: calls.append("stop")) as interruption:
        assert not interruption.is_requested
        os.kill(os.getpid(), signal.SIGINT)
        assert (interruption.is_requested, calls) == (True, ["stop"])
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert calls == ["stop"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_is_left_alone():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption(lambda: None) as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interruption.is_requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_sigint_is_left_alone():
    ended = []

    def run():
        with Interruption(lambda: None) as interruption:
            ended.append(interruption.is_requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [False]


def test_the_condition_is_met_at_the_deadline_or_on_request():
    assert not StopCondition().is_met()
    assert not StopCondition(deadline=time.monotonic() + 60).is_met()
    assert StopCondition(deadline=time.monotonic()).is_met()
    assert StopCondition(is_requested=lambda: True).is_met()


def test_tasks_end_when_the_condition_is_met():
    done = []
    tasks = StoppableTasks(["a", "b", "c"], stop_when=lambda: len(done) == 2)
    assert len(tasks) == 3
    for task in tasks:
        done.append(task)
    assert done == ["a", "b"]
