"""Downloads from a local server, and their errors."""

import hashlib
import socket
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from cifar_files import archive, cifar10_files

from lemonade_tf.datasets.cifar import CIFAR10, read_cifar
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.download import download

CONTENT = bytes(range(256)) * 10_000  # several chunks
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
def silent_address(monkeypatch):
    """A server that accepts connections but never answers."""
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
def test_a_file_is_downloaded(tmp_path, address, capsys, name):
    path = tmp_path / "new" / "folder" / "a.tar.gz"
    download(f"{address}/{name}", path, sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    output = capsys.readouterr().out
    assert output == f"Downloading {address}/{name} (3 MB) to {path.parent}\n"


def _fails(url, path, message, sha256=SHA256, timeout=10.0):
    """Check that the download fails with one line and leaves no file; return the message."""
    before = set(path.parent.iterdir())
    with pytest.raises(DatasetError, match=message) as raised:
        download(url, path, sha256=sha256, timeout=timeout)
    assert set(path.parent.iterdir()) == before
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_wrong_checksum_is_refused(tmp_path, address):
    url, path = f"{address}/a.tar.gz", tmp_path / "a.tar.gz"
    message = _fails(url, path, "The download was discarded", sha256="0" * 64)
    assert f"{url} has SHA-256 {SHA256}; expected {'0' * 64}" in message
    assert f"save {url} as {path}." in message


def test_an_existing_file_survives_a_failed_download(tmp_path, address):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"mine")
    _fails(f"{address}/a.tar.gz", path, "The download was discarded", sha256="0" * 64)
    assert path.read_bytes() == b"mine"


def test_a_missing_file_is_reported(tmp_path, address):
    _fails(f"{address}/missing.tar.gz", tmp_path / "a.tar.gz", "HTTP Error 404: Not Found")


def test_a_truncated_download_is_refused(tmp_path, address):
    message = r"the connection ended after 1,000 of 2,560,000 bytes|IncompleteRead"
    _fails(f"{address}/short.tar.gz", tmp_path / "a.tar.gz", message)


def test_a_refused_connection_is_reported(tmp_path, refusing_address):
    url = f"{refusing_address}/a.tar.gz"
    message = _fails(url, tmp_path / "a.tar.gz", r"a\.tar\.gz cannot be downloaded \(.*refused")
    assert message.endswith(f"; save {url} as {tmp_path}/a.tar.gz.")


def test_a_silent_server_times_out(tmp_path, silent_address):
    _fails(f"{silent_address}/a.tar.gz", tmp_path / "a.tar.gz", "timed out", timeout=0.1)


def test_the_path_in_the_message_is_absolute(tmp_path, monkeypatch, refusing_address):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=f"as {tmp_path / 'data' / 'a'}\\."):
        download(f"{refusing_address}/a", tmp_path.relative_to(tmp_path) / "data/a", sha256=SHA256)


def test_a_file_in_place_of_the_folder_is_reported(tmp_path, address):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(DatasetError, match=r"data/a cannot be written \(.*with --data_dir"):
        download(f"{address}/a", tmp_path / "data" / "a", sha256=SHA256)


def test_a_full_disk_is_reported(tmp_path, monkeypatch, address):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lemonade_tf.datasets.download._write", no_space)
    _fails(f"{address}/a", tmp_path / "a", r"a cannot be written \(.*No space left")


def test_cifar_is_downloaded_and_read(tmp_path, address):
    layout = replace(
        CIFAR10,
        url=f"{address}/{CIFAR10.archive}",
        sha256=hashlib.sha256(ARCHIVE).hexdigest(),
    )
    (images, _), (_, test_labels) = read_cifar(layout, tmp_path)
    assert images.shape == (20, 32, 32, 3)
    assert test_labels.tolist() == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == [CIFAR10.archive]


def test_cifar_with_a_wrong_checksum_is_not_read(tmp_path, address, monkeypatch):
    monkeypatch.setattr("lemonade_tf.datasets.cifar.read_batch", None)
    layout = replace(CIFAR10, url=f"{address}/{CIFAR10.archive}")
    with pytest.raises(DatasetError, match=f"expected {CIFAR10.sha256}"):
        read_cifar(layout, tmp_path)
    assert list(tmp_path.iterdir()) == []
