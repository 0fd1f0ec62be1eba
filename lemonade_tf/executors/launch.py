"""The driver's handle on the server: start it, request workers, shut it down."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection

from lemonade_tf.executors.logs import WorkerLog
from lemonade_tf.executors.server import describe_exit, send_descriptors

# The path is set first, so that the server imports the same modules as the driver.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from lemonade_tf.executors.server import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
_DEFERRED = {signal.SIGINT, signal.SIGTERM}
_SHUTDOWN_SECONDS = 5.0


class ServerEnded(Exception):
    """The server exited unexpectedly."""


class Server:
    """A running server (see `server`); it and its workers end with this object.

    `control` is the connection to wait on before `receive`.

    Args:
        preload: Modules to import before any worker is forked.
        environment: The environment of the server and its workers.
    """

    def __init__(self, preload: Sequence[str], environment: Mapping[str, str]):
        self._log = WorkerLog()
        ours, theirs = socket.socketpair()
        self.control = Connection(ours.detach())
        self._owner = os.getpid()
        with theirs, _deferred_signals():  # an interrupted driver must still end the server
            self._process = _start(theirs.fileno(), environment, self._log)
            # During its imports the server cannot notice that the driver closed the connection.
            self._end = self._finalizer(timeout=0.0)
        self._send(list(preload))

    def start_worker(
        self, serial: int, environment: Mapping[str, str], log: WorkerLog
    ) -> Connection:
        """Request a worker and return the connection to it.

        Args:
            serial: The number that identifies the worker.
            environment: Variables to add to its environment.
            log: The file for its output.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._send(("start", serial, environment), [theirs.fileno(), log.fileno()])
        return Connection(ours.detach())

    def kill(self, serial: int) -> None:
        """Kill a worker, unless it has exited already."""
        self._send(("kill", serial))

    def receive(self) -> tuple:
        """Return the next message of the server; see `server`.

        Raises:
            ServerEnded: If the server has exited.
        """
        try:
            message = self.control.recv()
        except (EOFError, OSError) as error:
            self._process.kill()  # it may hang
            code = self._process.wait()
            raise ServerEnded(describe_exit(-code if code < 0 else code << 8)) from error
        if message == ("loaded",):
            self._end.detach()
            self._end = self._finalizer(_SHUTDOWN_SECONDS)
        return message

    def tail(self) -> str:
        """Return the last lines of the server's output."""
        return self._log.tail()

    def close(self) -> None:
        """Shut down the server and its workers, and wait until they have exited."""
        self._end()
        self._log.close()

    def _send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send a message; if the server has exited, `receive` raises."""
        try:
            self.control.send(message)
            if descriptors:
                send_descriptors(self.control, list(descriptors))
        except OSError:
            pass

    def _finalizer(self, timeout: float) -> weakref.finalize:
        return weakref.finalize(self, _end, self.control, self._process, self._owner, timeout)


def _start(
    control_fd: int, environment: Mapping[str, str], log: WorkerLog
) -> subprocess.Popen[bytes]:
    """Start the process of the server, which inherits the blocked signals."""
    path = [os.path.abspath(entry) if entry == "" else str(entry) for entry in sys.path]
    arguments = [str(control_fd), str(os.getpid()), json.dumps(path)]
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log.fileno(),
        stderr=log.fileno(),
        pass_fds=[control_fd],
        env=environment,
    )


@contextmanager
def _deferred_signals() -> Iterator[None]:
    """Defer SIGINT and SIGTERM until exit, also for processes started in the meantime.

    Blocking them is not enough: another thread may receive a signal, and Python then runs its
    handler in the main thread. So the handlers are replaced by ones that record the signal.
    """
    received: list[int] = []
    handlers = {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _DEFERRED:
                if callable(signal.getsignal(number)):
                    handlers[number] = signal.signal(
                        number, lambda number, _: received.append(number)
                    )
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in received:
            signal.raise_signal(number)


def _end(control: Connection, process: subprocess.Popen[bytes], owner: int, timeout: float) -> None:
    """Close the connection, so that the server kills its workers and exits; else kill it."""
    control.close()
    if os.getpid() != owner:
        return  # in a process forked from the driver, which does not own the server
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
