"""The process that workers are forked from.

It imports what workers need, once, and then forks a worker whenever the driver asks for one: with
TensorFlow imported, this takes hundredths of a second instead of seconds. It is a program of its
own, started by its command line, and not the `forkserver` of `multiprocessing`, because that one

- runs the user's script again in every worker, so that a script without
  `if __name__ == "__main__":` would start its search over and over;
- imports without the driver's `sys.path`, and goes on in silence when an import fails;
- leaves workers that are busy running when the driver is killed.

Nobody outlives the driver: when the driver ends, in whatever way, its end of the control socket
closes, and the server kills the workers and ends; when the server ends, the kernel kills the
workers. This holds however busy they are.

    driver to server    (sys_path is on the command line) the modules to import, then
                        ("start", serial, environment) and two file descriptors, ("kill", serial)
    server to driver    ("loaded",) or ("import_failed", message, log),
                        then ("died", serial, how) of each worker

No operation of the libraries may run here: threads do not survive a fork.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait

from lemonade_tf.executors import worker_main as worker
from lemonade_tf.executors.base import describe_error

_SECONDS_BETWEEN_LOOKS = 1.0
_HINTS = {
    signal.SIGKILL: "often: out of memory",
    signal.SIGSEGV: "a crash in compiled code",
    signal.SIGABRT: "a crash in compiled code",
    signal.SIGBUS: "a crash in compiled code",
}


def main(control_fd: int, driver: int) -> None:
    """Be the server.

    Args:
        control_fd: The socket to the driver.
        driver: The process of the driver.
    """
    # Ctrl-C reaches all processes of a terminal, a job system's SIGTERM all processes of a job.
    # What then becomes of the workers is for the driver to decide.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    control = Connection(control_fd)
    try:
        for name in control.recv():
            if not _import(name, control):
                return
        gc.collect()
        gc.freeze()  # workers need not look through the imported modules, nor copy their pages
        control.send(("loaded",))
        _Server(control, driver).serve()
    except (EOFError, ConnectionError):
        pass  # the driver ended


def _import(name: str, control: Connection) -> bool:
    """Import a module, and tell the driver if that fails."""
    try:
        importlib.import_module(name)
    except Exception as error:
        message = f"A worker cannot import {name} ({describe_error(error)}); install it."
        control.send(("import_failed", message, traceback.format_exc()))
        return False
    return True


class _Server:
    """The workers that live, and the socket to the driver."""

    def __init__(self, control: Connection, driver: int):
        self._control = control
        self._driver = driver
        self._serials: dict[int, int] = {}  # of each worker, by its process
        self._wake, self._wake_writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._wake_writer, False)

    def serve(self) -> None:
        """Do what the driver asks until it ends, then kill the workers."""
        signal.set_wakeup_fd(self._wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            # A process that the driver forked may hold its end of the socket open: so look as well.
            while os.getppid() == self._driver:
                ready = wait([self._control, self._wake], _SECONDS_BETWEEN_LOOKS)
                if self._wake in ready:
                    os.read(self._wake, 4096)
                    self._bury(os.WNOHANG)
                if self._control in ready:
                    self._obey(*self._control.recv())
        finally:
            for process in self._serials:
                os.kill(process, signal.SIGKILL)
            self._bury(0, tell=False)

    def _obey(self, command: str, serial: int, *details: Mapping[str, str]) -> None:
        if command == "start":
            self._start(serial, *details)
        else:
            for process, other in self._serials.items():
                if other == serial:
                    os.kill(process, signal.SIGKILL)

    def _start(self, serial: int, environment: Mapping[str, str]) -> None:
        """Fork a worker."""
        descriptors = receive_descriptors(self._control, 2)
        server = os.getpid()
        sys.stdout.flush()  # or each worker writes it again
        try:
            process = os.fork()
        except OSError as error:
            self._control.send(("died", serial, f"could not be started ({error})"))
            return
        else:
            if process == 0:
                self._become_worker(*descriptors, environment, server)
            self._serials[process] = serial
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _become_worker(
        self, connection_fd: int, log_fd: int, environment: Mapping[str, str], server: int
    ) -> None:
        """Let go of what is the server's, and never come back."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._wake)
            os.close(self._wake_writer)
            status = worker.live(connection_fd, log_fd, environment, server)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def _bury(self, options: int, *, tell: bool = True) -> None:
        """Take note of the workers that died."""
        while self._serials:
            process, status = os.waitpid(-1, options)
            if process == 0:
                return
            serial = self._serials.pop(process, None)
            if tell and serial is not None:
                self._control.send(("died", serial, describe_end(status)))


def describe_end(status: int) -> str:
    """Say how a process ended, by its status as `os.waitpid` gives it."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit status {code}"
    number = -code
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"was killed by signal {number}"
    what = f"{name}; {_HINTS[number]}" if number in _HINTS else name
    return f"was killed by signal {number} ({what})"


def send_descriptors(control: Connection, descriptors: list[int]) -> None:
    """Send open files to the other side."""
    with socket.socket(fileno=os.dup(control.fileno())) as channel:
        socket.send_fds(channel, [b"."], descriptors)


def receive_descriptors(control: Connection, num: int) -> list[int]:
    """Receive open files from the other side."""
    with socket.socket(fileno=os.dup(control.fileno())) as channel:
        return socket.recv_fds(channel, 1, num)[1]
