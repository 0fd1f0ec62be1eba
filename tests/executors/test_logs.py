"""The log files of workers and their last lines."""

import errno
import os
import re
import subprocess
import sys

import pytest

from lemonade_tf.executors import WorkerSetupError
from lemonade_tf.executors.logs import WorkerLog


@pytest.fixture(params=["a file", "a temporary one"])
def log(request, tmp_path):
    log = WorkerLog(tmp_path / "logs" / "0.log" if request.param == "a file" else None)
    yield log
    log.close()


def _write(log, text):
    os.write(log.fileno(), text.encode())


def test_the_tail_is_the_last_lines(log):
    assert log.tail() == ""
    _write(log, "".join(f"line {n}\n" for n in range(30)))
    assert log.tail().splitlines() == [f"line {n}" for n in range(10, 30)]


def test_a_very_long_line_is_truncated(log):
    _write(log, "x" * 100_000)
    assert log.tail() == "x" * 8192


def test_bytes_that_are_no_text_are_replaced(log):
    os.write(log.fileno(), b"so far\n\xff\n")
    assert log.tail() == "so far\n\N{REPLACEMENT CHARACTER}"


def test_reading_the_tail_does_not_move_the_position_of_the_writer(log):
    script = "import os; os.write(1, b'one\\n'); input(); os.write(1, b'two\\n')"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=log.fileno()
    )
    with process:
        while log.tail() != "one":
            assert process.poll() is None
        process.communicate(b"\n")
    assert log.tail() == "one\ntwo"


def test_lines_of_a_previous_process_are_kept_but_not_in_the_tail(tmp_path):
    before = WorkerLog(tmp_path / "0.log")
    _write(before, "of the first\n")
    before.close()
    log = WorkerLog(tmp_path / "0.log")
    assert log.tail() == ""
    _write(log, "of the second\n")
    assert log.tail() == "of the second"
    log.close()
    assert (tmp_path / "0.log").read_text() == "of the first\nof the second\n"


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "logs").touch()
    message = f"{tmp_path / 'logs'}: cannot create the log file of a worker (File exists)"
    with pytest.raises(WorkerSetupError, match=re.escape(message)):
        WorkerLog(tmp_path / "logs" / "0.log")


def test_a_full_folder_of_temporary_files_is_an_error(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(WorkerSetupError, match=rf"{tmp_path}: .* \(No space left on device\);"):
        WorkerLog()
