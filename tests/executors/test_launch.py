"""The driver's hold on the server."""

import os
import signal
import subprocess
import sys

import pytest

from lemonade_tf.executors import launch


def test_an_interrupt_while_it_starts_does_not_lose_the_server(monkeypatch):
    started = []

    def start(*arguments, **options):
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        os.kill(os.getpid(), signal.SIGINT)
        return started[0]

    monkeypatch.setattr(launch, "_start", start)
    with pytest.raises(KeyboardInterrupt) as info:
        launch.Server([], {})
    del info  # it holds the frames, and with them the server
    assert started[0].returncode == -signal.SIGKILL
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
