"""Append-only files of records."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lemonade_tf.store import journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "list.jsonl"


def test_records_come_back_in_order(path):
    journal.append(path, [{"a": 1}, {"b": [1, 2]}])
    journal.append(path, [{"c": None}])
    assert journal.read(path) == [{"a": 1}, {"b": [1, 2]}, {"c": None}]


def test_a_missing_file_has_no_records(path):
    assert journal.read(path) == []
    journal.append(path, [])
    assert not path.exists()


def test_numpy_values_and_paths_become_plain_values(path):
    journal.append(path, [{"n": np.int64(3), "x": np.float32(0.5), "v": np.arange(3), "p": path}])
    assert journal.read(path) == [{"n": 3, "x": 0.5, "v": [0, 1, 2], "p": str(path)}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_values_without_a_json_form_are_refused_and_nothing_is_written(path, value):
    journal.append(path, [{"a": 1}])
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        journal.append(path, [{"a": 2}, {"a": value}])
    assert journal.read(path) == [{"a": 1}]


def test_an_incomplete_last_line_is_ignored_and_overwritten(path, caplog):
    journal.append(path, [{"a": 1}])
    with path.open("ab") as file:
        file.write(b'{"a": 2')
    with caplog.at_level(logging.WARNING):
        assert journal.read(path) == [{"a": 1}]
    assert "line 2, is incomplete" in caplog.text
    journal.append(path, [{"a": 3}])
    assert journal.read(path) == [{"a": 1}, {"a": 3}]
    assert len(path.read_text().splitlines()) == 2


def test_a_damaged_line_is_an_error_with_its_number(path):
    journal.append(path, [{"a": 1}, {"a": 2}, {"a": 3}])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"a": \n' + lines[2])
    with pytest.raises(journal.JournalError, match=r"line 2, is damaged"):
        journal.read(path)


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 10**6), bit=st.integers(0, 7), data=st.data())
def test_every_flipped_bit_is_detected(tmp_path_factory, position, bit, data):
    path = tmp_path_factory.mktemp("journal") / "list.jsonl"
    records = [{"error": 0.0337, "id": f"1-{n}"} for n in range(3)]
    journal.append(path, records, "key")
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = journal.read(path, "key")
    except journal.JournalError:
        return
    assert found == records[: len(found)]  # the last newline was hit: an incomplete line
    assert len(found) == 2


def test_lines_with_another_key_are_refused(path):
    journal.append(path, [{"a": 1}], "one")
    assert journal.read(path, "one") == [{"a": 1}]
    with pytest.raises(journal.JournalError, match=r"line 1, .* belongs to another run"):
        journal.read(path, "other")


def test_a_line_without_a_checksum_is_refused(path):
    path.write_text('{"a": 1}\n')
    with pytest.raises(journal.JournalError, match="no checksum"):
        journal.read(path)


# --- After the power failed ----------------------------------------------------------------------


def _line(number, size):
    """Return a record whose line has a size in bytes."""
    empty = len(journal._seal(journal.dumps({"n": number, "text": ""}), "key")) + 1
    return {"n": number, "text": "x" * (size - empty)}


@pytest.mark.parametrize(
    ("start", "end"),
    [(1000, 1024), (1000, 1536), (1024, 1536), (1536, 2048), (2048, 2100), (1024, 2100)],
)
def test_sectors_of_zeros_and_what_follows_are_ignored_and_overwritten(path, start, end):
    journal.append(path, [_line(1, 1000)], "key")
    journal.append(path, [_line(2, 500), _line(3, 600)], "key")
    content = path.read_bytes()
    assert len(content) == 2100
    path.write_bytes(content[:start] + bytes(end - start) + content[end:])
    whole = 1 + (start >= 1500)
    assert [record["n"] for record in journal.read(path, "key", growing=True)] == [1, 2][:whole]
    journal.append(path, [_line(4, 100)], "key")
    assert [record["n"] for record in journal.read(path, "key")] == [*range(1, whole + 1), 4]


@pytest.mark.parametrize(("start", "end"), [(500, 501), (1010, 1020), (1024, 1030), (600, 1024)])
def test_other_zeros_are_damage(path, start, end):
    journal.append(path, [_line(1, 1000), _line(2, 1100)], "key")
    content = path.read_bytes()
    path.write_bytes(content[:start] + bytes(end - start) + content[end:])
    with pytest.raises(journal.JournalError, match="is damaged"):
        journal.read(path, "key")
