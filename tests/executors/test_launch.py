"""The driver's handle on the server."""

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
    """Another thread, which receives the signals that the main thread blocks."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.parametrize("threads", [[], ["thread"]], ids=["alone", "with a thread"])
def test_an_interrupt_during_the_start_kills_the_server(monkeypatch, request, threads):
    for name in threads:
        request.getfixturevalue(name)
    handler, started = signal.getsignal(signal.SIGINT), []

    def start(*arguments, **options):
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # the signal is delivered now, to any thread that accepts it
        return started[0]

    monkeypatch.setattr(launch, "_start", start)
    with pytest.raises(KeyboardInterrupt) as info:
        launch.Server([], {})
    del info  # it refers to the frames, and so to the server
    assert started[0].returncode == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is handler
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
