"""Serve the page of a run on this machine while its search runs.

Only the page and its data are served, on 127.0.0.1, and only to requests that name this address, so
that no other website can read them through the browser (DNS rebinding).
"""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, cast

from lemonade_tf.errors import LemonadeError
from lemonade_tf.report.front_files import FrontFiles
from lemonade_tf.report.page import data_of_folder, html_of
from lemonade_tf.runs.run import Run, read_run
from lemonade_tf.store import CONFIG, HISTORY, RunStore

ADDRESS = "127.0.0.1"
MAX_SHARE = 0.05  # of the time that is spent on reading the folder
_TYPES = {"/": "text/html; charset=utf-8", "/data.json": "application/json"}


class ReportServer(ThreadingHTTPServer):
    """Serves the page of a run; its data is read again when files of the run have changed.

    Args:
        workdir: The run folder.
        port: Where to listen; 0 for any free port.

    Attributes:
        url: The address of the page.

    Raises:
        StoreError: If the folder holds no run, or a damaged one.
        OSError: If the port is in use.
    """

    daemon_threads = True

    def __init__(self, workdir: str | Path, port: int = 0) -> None:
        self._workdir, self._lock, self._known = Path(workdir), Lock(), FrontFiles()
        self._version: object = None
        self._next = 0.0  # when the folder may be read again, of time.monotonic
        self._refresh()
        super().__init__((ADDRESS, port), _Handler)
        self.url = f"http://{ADDRESS}:{self.server_port}/"

    def content(self) -> tuple[Run, dict[str, Any], str]:
        """Return the run, the data of its page, and a tag that changes with them."""
        with self._lock:
            if time.monotonic() >= self._next and self._files() != self._version:
                try:
                    self._refresh()
                except LemonadeError:  # such as a folder that is being copied: keep the last page
                    self._next = time.monotonic() + 5
            return self._run, self._data, f'"{hash(self._version):x}"'

    def _refresh(self) -> None:
        started, version = time.monotonic(), self._files()
        self._run = read_run(self._workdir)
        self._data = data_of_folder(self._run, self._known)
        self._version, ended = version, time.monotonic()
        self._next = ended + (ended - started) / MAX_SHARE

    def _files(self) -> tuple[object, ...]:
        """Return what changes when the run does."""
        found = []
        for name in (CONFIG, HISTORY, "measurements.jsonl"):
            path = self._workdir / name
            found.append((path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None)
        return (*found, _is_locked(self._workdir))


def _is_locked(workdir: Path) -> bool:
    """Return whether a search is running in a folder; False if the folder is gone."""
    try:
        return RunStore(workdir).is_locked()
    except LemonadeError:
        return False


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "lemonade-tf", ""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        server = cast(ReportServer, self.server)
        hosts = {f"{name}:{server.server_port}" for name in (ADDRESS, "localhost")}
        if self.headers.get("Host") not in hosts or self.path not in _TYPES:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        run, data, tag = server.content()
        if self.path != "/" and self.headers.get("If-None-Match") == tag:
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self.end_headers()
            return
        text = html_of(data, run=run, live=True) if self.path == "/" else json.dumps(data)
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(HTTPStatus.OK)
        for name, value in {
            "Content-Type": _TYPES[self.path],
            "Content-Length": str(len(body)),
            "ETag": tag,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for each request."""
