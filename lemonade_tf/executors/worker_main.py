"""The main function of a worker: set up, then run tasks until the driver disconnects.

driver to worker    the pickled setup, then pickled tasks
worker to driver    ("ready",) or ("setup_failed", message, log),
                    then per task ("done", result) or ("failed", message, log, errno)
"""

from __future__ import annotations

import ctypes
import faulthandler
import io
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection

from lemonade_tf.executors.base import Function, describe_error, describe_setup_error, errno_of

_PR_SET_PDEATHSIG = 1


def worker_main(
    connection_fd: int, log_fd: int, environment: Mapping[str, str], server: int
) -> int:
    """Run a worker in a newly forked process.

    Args:
        connection_fd: File descriptor of the socket to the driver.
        log_fd: File descriptor for the output.
        environment: Variables to add to the environment.
        server: Process id of the server, which the worker must not outlive.

    Returns:
        The exit status.
    """
    _die_with(server)
    _prefer_as_out_of_memory_victim()
    for stream in (1, 2):
        os.dup2(log_fd, stream)
    os.close(log_fd)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable()
    os.environ.update(environment)
    os.dup(connection_fd)  # never closed, so that the driver sees the end only at exit
    try:
        _serve(Connection(connection_fd))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else bool(stop.code)
    except (EOFError, ConnectionError):
        pass  # the driver disconnected
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _serve(connection: Connection) -> None:
    """Set up, then run tasks."""
    try:
        function = pickle.loads(connection.recv_bytes())()
    except (EOFError, ConnectionError):
        raise
    except Exception as error:
        message = describe_setup_error(error)
        connection.send(("setup_failed", message, traceback.format_exc()))
        return
    connection.send(("ready",))
    while True:
        connection.send_bytes(_run_task(function, connection.recv_bytes()))


def _run_task(function: Function, task: bytes) -> bytes:
    """Run a pickled task and return the pickled answer."""
    try:
        return pickle.dumps(("done", function(pickle.loads(task))), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        failure = describe_error(error), traceback.format_exc(), errno_of(error)
        return pickle.dumps(("failed", *failure))


def _die_with(server: int) -> None:
    """Ask the kernel to kill this process when the server exits for any reason."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:  # it exited before the request
        os._exit(1)


def _prefer_as_out_of_memory_victim() -> None:
    """Make the out-of-memory killer choose a worker, which costs one task, over the driver."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass  # macOS, or not permitted
