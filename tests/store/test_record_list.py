"""Lists of records: appended records are complete, whatever happens."""

import json
from pathlib import Path

import numpy as np
import pytest
from run_folders import CONFIG, files_in, network, proposal

from lemonade_tf.store import FileRecord, InitialRecord, MeasurementRecord, RunStore, StoreError
from lemonade_tf.store.journal import append

INITIAL = InitialRecord("0-2", "a.h5", FileRecord(3, "ab"), "{}")


def test_records_come_back(store):
    records = [network(f"1-{n}", objectives={"error": 0.1 * n}) for n in range(5)]
    for record in records:
        store.history.append([record])
    assert store.history.read() == records
    proposals = [proposal(f"1-{n}") for n in range(5)]
    store.proposals.append(proposals[:2])
    store.proposals.append(iter(proposals[2:]))
    store.proposals.append([])
    assert store.proposals.read() == proposals


def test_text_that_is_not_ascii(store):
    record = network("0-1", failure="no ä\n\u2028 here")
    store.history.append([record])
    assert store.history.read() == [record]
    assert (store.path / "history.jsonl").read_text().count("\n") == 1


def test_numpy_values_are_written_as_plain_ones(store):
    values = {
        "a": np.float32(0.5),
        "b": np.int64(7),
        "c": np.arange(3),
        "d": Path("x"),
        "e": np.True_,
    }
    store.history.append([network("0-1", operators=[{"operator": "prune", "site": values}])])
    [record] = store.history.read()
    assert record.operators[0]["site"] == {"a": 0.5, "b": 7, "c": [0, 1, 2], "d": "x", "e": True}


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), np.float32("nan"), np.array([np.inf]), object()]
)
def test_values_without_a_json_form_are_refused(store, value):
    store.proposals.append([proposal("1-0")])
    bad = proposal("1-2", cheap_objectives={"error": value})
    with pytest.raises(ValueError, match=r"1-2.*cannot be written as JSON .* expected None"):
        store.proposals.append([proposal("1-1"), bad])
    assert store.proposals.read() == [proposal("1-0")]


@pytest.mark.parametrize("torn", [b'{"id": "0-', b'{"id": "0-2"}', b"\0" * 70_000])
def test_an_incomplete_last_line_is_left_out(store, caplog, torn):
    store.history.append([network("0-1")])
    path = store.path / "history.jsonl"
    with path.open("ab") as file:
        file.write(torn)
    assert store.history.read() == [network("0-1")]
    assert f"{path}, line 2, is incomplete" in caplog.text
    caplog.clear()
    store.history.append([network("0-3")])
    assert store.history.read() == [network("0-1"), network("0-3")]
    assert caplog.text == ""


@pytest.mark.parametrize("line", [b"{", b"", b"7", b"\xff"])
def test_any_other_damaged_line_is_an_error(store, line):
    path = store.path / "history.jsonl"
    for id_ in ("0-1", "0-2", "0-3"):
        store.history.append([network(id_)])
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, lines[2], b""]))
    with pytest.raises(StoreError, match=r"history\.jsonl, line 2, is damaged.*; restore the"):
        store.history.read()


def test_a_line_with_other_keys_is_reported_with_file_and_line(store):
    run_id = json.loads((store.path / "config.json").read_text())["run_id"]
    store.history.append([network("0-1")])
    values = network("0-2").as_json()
    del values["parent"]
    append(store.path / "history.jsonl", [{**values, "why": 1}], run_id)
    message = r"history\.jsonl, line 2, lacks 'parent' and has the unknown 'why'; restore the file"
    with pytest.raises(StoreError, match=message):
        store.history.read()


def test_lines_of_another_run_are_refused(store, tmp_path):
    other = RunStore.create(tmp_path / "other", CONFIG)
    for each in (store, other):
        each.history.append([network("0-1")])
    (store.path / "history.jsonl").write_bytes((other.path / "history.jsonl").read_bytes())
    with pytest.raises(StoreError, match=r"line 1, .* belongs to another run"):
        store.history.read()


def test_measurements_are_a_separate_list(store):
    assert store.measurements.read() == []
    records = [
        MeasurementRecord(f"1-{n}", "latency", 0.2, 0.1 * n, 0.01, 10, "default", None, 1.8e9)
        for n in range(2)
    ]
    store.measurements.append(records)
    assert store.measurements.read() == records
    assert store.history.read() == []


def test_replacing_the_proposals(store):
    store.proposals.append([proposal("1-0"), proposal("1-1")])
    store.proposals.replace([proposal("1-2")])
    assert store.proposals.read() == [proposal("1-2")]
    assert files_in(store.path) == ["config.json", "proposals.jsonl"]


def test_initial_networks(store):
    assert store.initial.read() == []
    store.initial.replace([INITIAL])
    assert store.initial.read() == [INITIAL]
