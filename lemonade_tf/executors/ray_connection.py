"""The connection of this process to a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lemonade_tf.executors.base import WorkerSetupError, describe_error

LOCAL = "local"
_CONNECT_SECONDS = 10.0

_lock = threading.Lock()


@dataclass
class _Users:
    """The open contexts of `ray_connection`, the last of which disconnects."""

    number: int = 0
    is_ours: bool = False


_users = _Users()


@contextmanager
def ray_connection(address: str | None = None) -> Iterator[None]:
    """Connect this process to a Ray cluster, unless it is connected already, until the exit.

    Contexts may overlap; the connection ends with the last one, unless the caller has connected.

    Args:
        address: "auto" for the cluster that this machine belongs to, HOST:PORT of its head node, or
            "local" to start Ray on this machine until the end. By default, the address in the
            environment variable RAY_ADDRESS, else "local".

    Raises:
        WorkerSetupError: If Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError as error:
        raise WorkerSetupError(
            f"Ray cannot be imported ({error}); install it with: pip install 'lemonade_tf[ray]'"
        ) from error
    with _lock:
        if not ray.is_initialized():
            _connect(address or os.environ.get("RAY_ADDRESS") or LOCAL)
            _users.is_ours = True
        _users.number += 1
    try:
        yield
    finally:
        with _lock:
            _users.number -= 1
            if _users.is_ours and not _users.number:
                _users.is_ours = False
                ray.shutdown()


def _connect(address: str) -> None:
    import ray

    _check_reachable(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if address == LOCAL:  # the user's own choice, if there is one, has priority
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(
                LOCAL, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
            )
        else:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:  # ConnectionError among them
        raise _unreachable(address, describe_error(error)) from error
    finally:  # Ray installs one that hides from the parent process that a signal ended this one
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _check_reachable(address: str) -> None:
    """Check that an address is valid and, if it is HOST:PORT, that there is a server.

    Ray itself tries for minutes.
    """
    if address in ("auto", LOCAL):
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        raise _unreachable(address, "it is not an address")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, reason: str) -> WorkerSetupError:
    return WorkerSetupError(
        f"the Ray cluster at {address!r} cannot be reached: {reason}. Expected 'auto' on a machine"
        " of the cluster (see `ray status`), HOST:PORT of its head node, or 'local'."
    )
