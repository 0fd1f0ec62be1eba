"""Lists of records: what is appended is there, whole, whatever happens."""

from pathlib import Path

import numpy as np
import pytest
from run_folders import CONFIG, files_in

from lemonade_tf.store import RunStore, StoreError


def test_records_come_back(store):
    records = [{"id": f"1-{n}", "error": 0.1 * n, "failure": None} for n in range(5)]
    for record in records:
        store.history.append([record])
    store.proposals.append(records[:2])
    store.proposals.append(iter(records[2:]))
    store.proposals.append([])
    assert store.history.read() == records
    assert store.proposals.read() == records


def test_what_is_not_ascii(store):
    store.history.append([{"failure": "no ä\n\u2028 here"}])
    assert store.history.read() == [{"failure": "no ä\n\u2028 here"}]
    assert (store.path / "history.jsonl").read_text().count("\n") == 1


def test_numbers_of_numpy(store):
    store.history.append(
        [
            {
                "a": np.float32(0.5),
                "b": np.int64(7),
                "c": np.arange(3),
                "d": Path("x"),
                "e": np.True_,
            }
        ]
    )
    assert store.history.read() == [{"a": 0.5, "b": 7, "c": [0, 1, 2], "d": "x", "e": True}]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), np.float32("nan"), np.array([np.inf]), object()]
)
def test_what_json_has_no_form_for(store, value):
    store.proposals.append([{"id": "1-0"}])
    with pytest.raises(ValueError, match=r"1-2.*cannot be written as JSON .* to be None"):
        store.proposals.append([{"id": "1-1"}, {"id": "1-2", "error": value}])
    assert store.proposals.read() == [{"id": "1-0"}]


@pytest.mark.parametrize("torn", [b'{"id": "0-', b'{"id": "0-2"}', b"\0" * 70_000])
def test_a_torn_last_line_is_dropped(store, caplog, torn):
    store.history.append([{"id": "0-1"}])
    path = store.path / "history.jsonl"
    with path.open("ab") as file:
        file.write(torn)
    assert store.history.read() == [{"id": "0-1"}]
    assert f"{path}: line 2 was cut short when it was written" in caplog.text
    caplog.clear()
    store.history.append([{"id": "0-3"}])
    assert store.history.read() == [{"id": "0-1"}, {"id": "0-3"}]
    assert caplog.text == ""


@pytest.mark.parametrize("line", [b"{", b"", b"7", b"\xff"])
def test_any_other_broken_line_is_an_error(store, line):
    path = store.path / "history.jsonl"
    for id_ in ("0-1", "0-2", "0-3"):
        store.history.append([{"id": id_}])
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, lines[2], b""]))
    with pytest.raises(StoreError, match=r"history\.jsonl, line 2, is damaged.*; restore the"):
        store.history.read()


def test_lines_of_another_run_are_refused(store, tmp_path):
    other = RunStore.create(tmp_path / "other", CONFIG)
    for each in (store, other):
        each.history.append([{"id": "0-1"}])
    (store.path / "history.jsonl").write_bytes((other.path / "history.jsonl").read_bytes())
    with pytest.raises(StoreError, match=r"line 1, .* belongs to another run"):
        store.history.read()


def test_measurements_are_a_list_of_their_own(store):
    assert store.measurements.read() == []
    store.measurements.append({"id": f"1-{n}", "seconds": 0.1 * n} for n in range(2))
    store.measurements.append([{"id": "2-0", "seconds": None}])
    assert [line["id"] for line in store.measurements.read()] == ["1-0", "1-1", "2-0"]
    assert store.history.read() == []


def test_replacing_the_proposals(store):
    store.proposals.append([{"id": "1-0"}, {"id": "1-1"}])
    store.proposals.replace([{"id": "1-2"}])
    assert store.proposals.read() == [{"id": "1-2"}]
    assert files_in(store.path) == ["config.json", "proposals.jsonl"]


def test_what_a_search_begins_with(store):
    assert store.initial.read() == []
    store.initial.replace([{"id": "0-0"}])
    assert store.initial.read() == [{"id": "0-0"}]
