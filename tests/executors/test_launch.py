"""The driver's hold on the server."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from lemonade_tf.executors import launch


@pytest.fixture
def thread():
    """Another thread, which takes the signals that the main thread holds back."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.parametrize("threads", [[], ["thread"]], ids=["alone", "with a thread"])
def test_an_interrupt_while_it_starts_does_not_lose_the_server(monkeypatch, request, threads):
    for name in threads:
        request.getfixturevalue(name)
    handler, started = signal.getsignal(signal.SIGINT), []

    def start(*arguments, **options):
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # in which the signal is delivered, wherever it can be
        return started[0]

    monkeypatch.setattr(launch, "_start", start)
    with pytest.raises(KeyboardInterrupt) as info:
        launch.Server([], {})
    del info  # it holds the frames, and with them the server
    assert started[0].returncode == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is handler
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
