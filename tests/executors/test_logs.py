"""What workers say goes to files, of which the last lines are told."""

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


def _say(log, text):
    os.write(log.fileno(), text.encode())


def test_the_tail_is_the_last_lines(log):
    assert log.tail() == ""
    _say(log, "".join(f"line {n}\n" for n in range(30)))
    assert log.tail().splitlines() == [f"line {n}" for n in range(10, 30)]


def test_a_very_long_line_is_cut(log):
    _say(log, "x" * 100_000)
    assert log.tail() == "x" * 8192


def test_what_is_no_text_is_told_as_far_as_it_goes(log):
    os.write(log.fileno(), b"so far\n\xff\n")
    assert log.tail() == "so far\n\N{REPLACEMENT CHARACTER}"


def test_a_process_writes_to_it_and_reading_does_not_disturb(log):
    script = "import os; os.write(1, b'one\\n'); input(); os.write(1, b'two\\n')"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=log.fileno()
    )
    with process:
        while log.tail() != "one":
            assert process.poll() is None
        process.communicate(b"\n")
    assert log.tail() == "one\ntwo"


def test_the_lines_of_a_process_before_stay_and_are_not_told(tmp_path):
    before = WorkerLog(tmp_path / "0.log")
    _say(before, "of the first\n")
    before.close()
    log = WorkerLog(tmp_path / "0.log")
    assert log.tail() == ""
    _say(log, "of the second\n")
    assert log.tail() == "of the second"
    log.close()
    assert (tmp_path / "0.log").read_text() == "of the first\nof the second\n"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "logs").touch()
    message = (
        f"{tmp_path / 'logs'}: no file for the output of workers can be made there (File exists)"
    )
    with pytest.raises(WorkerSetupError, match=re.escape(message)):
        WorkerLog(tmp_path / "logs" / "0.log")


def test_a_folder_for_temporary_files_that_is_full_is_named(tmp_path, monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(WorkerSetupError, match=rf"{tmp_path}: .* \(No space left on device\);"):
        WorkerLog()
