"""The driver's hold on the server: start it, ask it for workers, end it."""

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
from lemonade_tf.executors.server import describe_end, send_descriptors

# The path is set first: the server must find what the driver finds.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from lemonade_tf.executors.server import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
_HELD_BACK = {signal.SIGINT, signal.SIGTERM}
_SECONDS_TO_END = 5.0


class ServerEnded(Exception):
    """The server ended though nobody asked it to."""


class Server:
    """A running server (see `server`); it and its workers end with this object.

    Args:
        preload: The modules to import before any worker is forked.
        environment: The environment of the server, and of its workers.

    Attributes:
        control: Readable when there is something to `receive`.
    """

    def __init__(self, preload: Sequence[str], environment: Mapping[str, str]):
        self._log = WorkerLog()
        ours, theirs = socket.socketpair()
        self.control = Connection(ours.detach())
        self._owner = os.getpid()
        with theirs, _held_back():  # an interrupted driver, too, must know whom to end
            self._process = _start(theirs.fileno(), environment, self._log)
            # While it imports, the server does not notice that the driver hangs up.
            self._end = self._finalizer(patience=0.0)
        self._send(list(preload))

    def start_worker(
        self, serial: int, environment: Mapping[str, str], log: WorkerLog
    ) -> Connection:
        """Ask for a worker, and return the connection to it.

        Args:
            serial: What to call it by from now on.
            environment: To add to its environment.
            log: Where its output goes.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._send(("start", serial, environment), [theirs.fileno(), log.fileno()])
        return Connection(ours.detach())

    def kill(self, serial: int) -> None:
        """Ask for the end of a worker, if it has not ended yet."""
        self._send(("kill", serial))

    def receive(self) -> tuple:
        """Return what the server says; see `server`.

        Raises:
            ServerEnded: If it will not say anything any more.
        """
        try:
            message = self.control.recv()
        except (EOFError, OSError) as error:
            self._process.kill()  # it may hang
            code = self._process.wait()
            raise ServerEnded(describe_end(-code if code < 0 else code << 8)) from error
        if message == ("loaded",):
            self._end.detach()
            self._end = self._finalizer(_SECONDS_TO_END)
        return message

    def tail(self) -> str:
        """Return the last lines that the server wrote."""
        return self._log.tail()

    def close(self) -> None:
        """End the server and its workers; returns when they have ended."""
        self._end()
        self._log.close()

    def _send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Send a message; if nobody is there to read it, `receive` will tell."""
        try:
            self.control.send(message)
            if descriptors:
                send_descriptors(self.control, list(descriptors))
        except OSError:
            pass

    def _finalizer(self, patience: float) -> weakref.finalize:
        return weakref.finalize(self, _end, self.control, self._process, self._owner, patience)


def _start(
    control_fd: int, environment: Mapping[str, str], log: WorkerLog
) -> subprocess.Popen[bytes]:
    """Start the server's process; signals that are held back stay so until it is ready for them."""
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
def _held_back() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the end, and from processes that are started meanwhile.

    Other threads may still take them, upon which Python runs the handlers in the main thread; so
    these are put off as well.
    """
    held: list[int] = []
    handlers = {}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _HELD_BACK:
                if callable(signal.getsignal(number)):
                    handlers[number] = signal.signal(number, lambda number, _: held.append(number))
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in held:
            signal.raise_signal(number)


def _end(
    control: Connection, process: subprocess.Popen[bytes], owner: int, patience: float
) -> None:
    """Hang up, upon which the server kills its workers and ends; else kill it."""
    control.close()
    if os.getpid() != owner:
        return  # a process forked from the driver, whose server this is not
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
