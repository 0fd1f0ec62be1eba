import os
import signal
import threading

import pytest

from lemonade_tf.search.interrupt import Interruption


def test_the_first_is_a_request_the_second_an_interrupt():
    told = []
    with Interruption(lambda: told.append("stop")) as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert (interruption.requested, told) == (True, ["stop"])
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert told == ["stop"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_is_left_alone():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption(lambda: None) as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interruption.requested
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_than_the_main_one():
    ended = []

    def run():
        with Interruption(lambda: None) as interruption:
            ended.append(interruption.requested)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [False]
