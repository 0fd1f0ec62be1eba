import json
import logging

import numpy as np
import pytest

from lemonade_tf import journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "list.jsonl"


def test_records_come_back_in_order(path):
    journal.append(path, [{"a": 1}, {"b": [1, 2]}])
    journal.append(path, [{"c": None}])
    assert journal.read(path) == [{"a": 1}, {"b": [1, 2]}, {"c": None}]


def test_a_file_that_is_not_there_holds_none(path):
    assert journal.read(path) == []
    journal.append(path, [])
    assert not path.exists()


def test_numpy_and_paths_are_understood(path):
    journal.append(path, [{"n": np.int64(3), "x": np.float32(0.5), "v": np.arange(3), "p": path}])
    assert journal.read(path) == [{"n": 3, "x": 0.5, "v": [0, 1, 2], "p": str(path)}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_is_not_json_is_refused_and_nothing_is_written(path, value):
    journal.append(path, [{"a": 1}])
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        journal.append(path, [{"a": 2}, {"a": value}])
    assert journal.read(path) == [{"a": 1}]


def test_a_torn_last_line_is_left_out_and_overwritten(path, caplog):
    journal.append(path, [{"a": 1}])
    with path.open("ab") as file:
        file.write(b'{"a": 2')
    with caplog.at_level(logging.WARNING):
        assert journal.read(path) == [{"a": 1}]
    assert "line 2 was cut short" in caplog.text
    journal.append(path, [{"a": 3}])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"a": 3}]


def test_a_damaged_line_is_named(path):
    path.write_bytes(b'{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(journal.JournalError, match=r"line 2|:2"):
        journal.read(path)
