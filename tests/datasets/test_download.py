"""Fetching files from a server on this machine, and what is said where that fails."""

import hashlib
import socket
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from cifar_files import archive, cifar10_files

from lemonade_tf.datasets.cifar import CIFAR10, read_cifar
from lemonade_tf.datasets.download import download
from lemonade_tf.datasets.npz import DatasetError

CONTENT = bytes(range(256)) * 10_000  # more than is read at once
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ARCHIVE = archive(cifar10_files(4))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing.tar.gz":
            self.send_error(404)
        elif self.path == "/moved.tar.gz":
            self.send_response(302)
            self.send_header("Location", "/a.tar.gz")
            self.end_headers()
        else:
            content = ARCHIVE if self.path == f"/{CIFAR10.archive}" else CONTENT
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:1000] if self.path == "/short.tar.gz" else content)

    def log_message(self, *_):
        pass


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def deaf_address(monkeypatch):
    """Accepts connections, and never says anything."""
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusing_address(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("name", ["a.tar.gz", "moved.tar.gz"])
def test_a_file_is_fetched(tmp_path, address, capsys, name):
    path = tmp_path / "new" / "folder" / "a.tar.gz"
    download(f"{address}/{name}", path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    said = capsys.readouterr().out
    assert said == f"Fetching {address}/{name} (3 MB) into {path.parent}\n"


def _fails(url, path, message, sha256=SHA256, timeout=10.0):
    """Check that fetching fails, with a message of one line, and that nothing is left."""
    before = set(path.parent.iterdir())
    with pytest.raises(DatasetError, match=message) as raised:
        download(url, path, sha256=sha256, timeout=timeout)
    assert set(path.parent.iterdir()) == before
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_another_checksum(tmp_path, address):
    url, path = f"{address}/a.tar.gz", tmp_path / "a.tar.gz"
    message = _fails(url, path, "It was deleted", sha256="0" * 64)
    assert f"SHA-256 {SHA256}; expected {'0' * 64}" in message
    assert f"put a.tar.gz from {url} into {tmp_path}." in message


def test_a_file_that_is_there_survives_a_failure(tmp_path, address):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"mine")
    _fails(f"{address}/a.tar.gz", path, "It was deleted", sha256="0" * 64)
    assert path.read_bytes() == b"mine"


def test_no_such_file_on_the_server(tmp_path, address):
    _fails(f"{address}/missing.tar.gz", tmp_path / "a.tar.gz", "HTTP Error 404: Not Found")


def test_a_connection_that_ends_early(tmp_path, address):
    message = r"the connection ended after 1,000 of 2,560,000 bytes|IncompleteRead"
    _fails(f"{address}/short.tar.gz", tmp_path / "a.tar.gz", message)


def test_a_refused_connection(tmp_path, refusing_address):
    url = f"{refusing_address}/a.tar.gz"
    message = _fails(url, tmp_path / "a.tar.gz", r"a\.tar\.gz cannot be fetched \(.*refused")
    assert message.endswith(f"; put a.tar.gz from {url} into {tmp_path}.")


def test_a_server_that_does_not_answer(tmp_path, deaf_address):
    _fails(f"{deaf_address}/a.tar.gz", tmp_path / "a.tar.gz", "timed out", timeout=0.1)


def test_the_folder_for_the_message_is_absolute(tmp_path, monkeypatch, refusing_address):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=f"into {tmp_path / 'data'}\\."):
        download(f"{refusing_address}/a", tmp_path.relative_to(tmp_path) / "data/a", sha256=SHA256)


def test_a_folder_that_is_a_file(tmp_path, address):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(DatasetError, match=r"data/a cannot be written \(.*another folder"):
        download(f"{address}/a", tmp_path / "data" / "a", sha256=SHA256)


def test_a_disk_that_is_full(tmp_path, monkeypatch, address):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lemonade_tf.datasets.download._copy", no_space)
    _fails(f"{address}/a", tmp_path / "a", r"a cannot be written \(.*No space left")


def test_cifar_is_fetched_and_read(tmp_path, address):
    layout = replace(
        CIFAR10,
        url=f"{address}/{CIFAR10.archive}",
        sha256=hashlib.sha256(ARCHIVE).hexdigest(),
    )
    (images, _), (_, test_labels) = read_cifar(layout, tmp_path)
    assert images.shape == (20, 32, 32, 3)
    assert test_labels.tolist() == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == [CIFAR10.archive]


def test_cifar_with_another_checksum_is_not_read(tmp_path, address, monkeypatch):
    monkeypatch.setattr("lemonade_tf.datasets.cifar.read_pickle", None)
    layout = replace(CIFAR10, url=f"{address}/{CIFAR10.archive}")
    with pytest.raises(DatasetError, match=f"expected {CIFAR10.sha256}"):
        read_cifar(layout, tmp_path)
    assert list(tmp_path.iterdir()) == []
