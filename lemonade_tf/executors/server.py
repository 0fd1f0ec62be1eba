"""The process from which workers are forked.

It imports the modules that workers need once, and then forks a worker per request of the driver.
With TensorFlow already imported, this takes hundredths of a second instead of seconds. The server
is a separate program and not the `forkserver` of `multiprocessing`, because the latter

- runs the user's script again in every worker, so that a script without
  `if __name__ == "__main__":` would start its search again and again;
- imports without the driver's `sys.path`, and ignores imports that fail;
- leaves busy workers running when the driver is killed.

No process outlives the driver. When the driver exits for any reason, its end of the control socket
closes, so the server kills the workers and exits. When the server exits, the kernel kills the
workers, busy or not.

    driver to server    (sys_path is on the command line) the modules to import, then
                        ("start", serial, environment) and two file descriptors, ("kill", serial)
    server to driver    ("loaded",) or ("import_failed", message, log),
                        then ("died", serial, how) per worker

The server must not run an operation of the imported libraries: threads do not survive a fork.
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

from lemonade_tf.executors.base import describe_error
from lemonade_tf.executors.worker_main import worker_main

_POLL_SECONDS = 1.0
_HINTS = {
    signal.SIGKILL: "often out of memory",
    signal.SIGSEGV: "a crash in compiled code",
    signal.SIGABRT: "a crash in compiled code",
    signal.SIGBUS: "a crash in compiled code",
}


def main(control_fd: int, driver: int) -> None:
    """Run the server.

    Args:
        control_fd: File descriptor of the socket to the driver.
        driver: Process id of the driver.
    """
    # Ctrl-C reaches all processes of a terminal, and a job scheduler's SIGTERM all processes of a
    # job. The driver decides what happens to the workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    control = Connection(control_fd)
    try:
        for name in control.recv():
            if not _import(name, control):
                return
        gc.collect()
        gc.freeze()  # keeps the workers' garbage collection off the imported modules' pages
        control.send(("loaded",))
        _Server(control, driver).serve()
    except (EOFError, ConnectionError):
        pass  # the driver has exited


def _import(name: str, control: Connection) -> bool:
    """Import a module, and report a failure to the driver."""
    try:
        importlib.import_module(name)
    except Exception as error:
        message = f"workers cannot import {name} ({describe_error(error)}); {_remedy(error)}."
        control.send(("import_failed", message, traceback.format_exc()))
        return False
    return True


def _remedy(error: Exception) -> str:
    """Return what to do about an exception on import, in words."""
    if isinstance(error, ImportError):
        return "install it"
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    if last.endswith("keras/src/backend/config.py"):  # Keras refuses its settings
        return "correct or remove ~/.keras/keras.json (or that in KERAS_HOME)"
    return "repair its installation"


class _Server:
    """The running workers and the socket to the driver."""

    def __init__(self, control: Connection, driver: int):
        self._control = control
        self._driver = driver
        self._serials: dict[int, int] = {}  # of workers, by process id
        self._wake, self._wake_writer = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._wake_writer, False)

    def serve(self) -> None:
        """Serve requests until the driver exits, then kill the workers."""
        signal.set_wakeup_fd(self._wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            # A process that the driver forked may keep the socket open, so check the parent too.
            while os.getppid() == self._driver:
                ready = wait([self._control, self._wake], _POLL_SECONDS)
                if self._wake in ready:
                    os.read(self._wake, 4096)
                    self._reap(os.WNOHANG)
                if self._control in ready:
                    self._handle(*self._control.recv())
        finally:
            for process in self._serials:
                os.kill(process, signal.SIGKILL)
            self._reap(0, report=False)

    def _handle(
        self, command: str, serial: int, environment: Mapping[str, str] | None = None
    ) -> None:
        if command == "start":
            self._start(serial, environment or {})
        else:
            for process, other in self._serials.items():
                if other == serial:
                    os.kill(process, signal.SIGKILL)

    def _start(self, serial: int, environment: Mapping[str, str]) -> None:
        """Fork a worker."""
        descriptors = receive_descriptors(self._control, 2)
        server = os.getpid()
        sys.stdout.flush()  # else the worker inherits the buffer and writes it again
        try:
            process = os.fork()
        except OSError as error:
            self._control.send(("died", serial, f"could not be started ({error})"))
            return
        else:
            if process == 0:
                connection_fd, log_fd = descriptors
                self._run_worker(connection_fd, log_fd, environment, server)
            self._serials[process] = serial
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _run_worker(
        self, connection_fd: int, log_fd: int, environment: Mapping[str, str], server: int
    ) -> None:
        """Run a worker in the forked process, and exit."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            os.close(self._wake)
            os.close(self._wake_writer)
            status = worker_main(connection_fd, log_fd, environment, server)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def _reap(self, options: int, *, report: bool = True) -> None:
        """Reap workers that exited, and report them to the driver."""
        while self._serials:
            process, status = os.waitpid(-1, options)
            if process == 0:
                return
            serial = self._serials.pop(process, None)
            if report and serial is not None:
                self._control.send(("died", serial, describe_exit(status)))


def describe_exit(status: int) -> str:
    """Describe how a process exited, from its status as returned by `os.waitpid`."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        number = signal.Signals(-code)
    except ValueError:  # a real-time signal
        return f"was killed by signal {-code}"
    hint = f"; {_HINTS[number]}" if number in _HINTS else ""
    return f"was killed by signal {-code} ({number.name}{hint})"


def send_descriptors(control: Connection, descriptors: list[int]) -> None:
    """Send file descriptors over a connection."""
    with socket.socket(fileno=os.dup(control.fileno())) as channel:
        socket.send_fds(channel, [b"."], descriptors)


def receive_descriptors(control: Connection, num: int) -> list[int]:
    """Receive file descriptors from a connection."""
    with socket.socket(fileno=os.dup(control.fileno())) as channel:
        return socket.recv_fds(channel, 1, num)[1]
