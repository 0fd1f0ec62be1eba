"""Errors of connecting to a Ray cluster. No test here starts Ray."""

import socket
import sys

import executor_toys as toys
import pytest

from lemonade_tf.executors import RayExecutor, WorkerSetupError, ray_connection


@pytest.fixture(autouse=True)
def not_connected(monkeypatch):
    """Ignore the connection of other tests."""
    monkeypatch.setattr("ray.is_initialized", lambda: False)


def _connect(address):
    with ray_connection(address):
        pass


def test_without_ray_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    message = r"^Ray cannot be imported .*; install it with: pip install 'lemonade_tf\[ray\]'$"
    with pytest.raises(WorkerSetupError, match=message):
        RayExecutor(toys.plain)


def test_a_machine_outside_a_cluster_cannot_use_auto(monkeypatch):
    def fail(address, **options):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr("ray.init", fail)
    message = r"^the Ray cluster at 'auto' cannot be reached: ConnectionError: Could not find any"
    with pytest.raises(WorkerSetupError, match=message):
        RayExecutor(toys.plain, address="auto")


def test_a_head_node_that_does_not_answer_is_an_error_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    message = rf"^the Ray cluster at '{address}' cannot be reached: .*refused.*Expected 'auto'"
    with pytest.raises(WorkerSetupError, match=message):
        _connect(address)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ":99999"])
def test_an_invalid_address_is_an_error(address):
    with pytest.raises(WorkerSetupError, match=f"^the Ray cluster at '{address}' cannot be"):
        _connect(address)


def test_the_address_of_the_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(WorkerSetupError, match="at 'nowhere'"):
        _connect(None)
