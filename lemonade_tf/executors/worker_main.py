"""The life of a worker: set up, then run one task after the other until the driver hangs up.

driver to worker    the pickled setup, then pickled tasks
worker to driver    ("ready",) or ("setup_failed", message, log),
                    then for each task ("done", result) or ("failed", message, log, errno)
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from lemonade_tf.executors.base import Task, describe_error, describe_setup_error, errno_of

_PR_SET_PDEATHSIG = 1


def live(connection_fd: int, log_fd: int, environment: Mapping[str, str], server: int) -> int:
    """Be a worker; called in a process that was just forked.

    Args:
        connection_fd: The socket to the driver.
        log_fd: The file to write output to.
        environment: To add to the environment.
        server: The process that this one was forked from, and that it must not outlive.

    Returns:
        The exit status.
    """
    _die_with(server)
    _volunteer_for_memory_shortage()
    for stream in (1, 2):
        os.dup2(log_fd, stream)
    os.close(log_fd)
    sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable()
    os.environ.update(environment)
    os.dup(connection_fd)  # never closed: the driver is to see this process hang up as it ends
    try:
        _serve(Connection(connection_fd))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else bool(stop.code)
    except (EOFError, ConnectionError):
        pass  # the driver hung up
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _serve(connection: Connection) -> None:
    """Set up, then answer each task."""
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
        connection.send_bytes(_answer(function, connection.recv_bytes()))


def _answer(function: Callable[[Task], Any], task: bytes) -> bytes:
    """Run a pickled task, and pickle what became of it."""
    try:
        return pickle.dumps(("done", function(pickle.loads(task))), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        failure = describe_error(error), traceback.format_exc(), errno_of(error)
        return pickle.dumps(("failed", *failure))


def _die_with(server: int) -> None:
    """Have the kernel kill this process when the server ends, in whatever way that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:  # it ended before that
        os._exit(1)


def _volunteer_for_memory_shortage() -> None:
    """Have the kernel kill a worker, which costs a task, rather than the driver."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass  # not on this operating system, or not allowed
