"""At the end of a search for a size in memory, the int8 sizes of its front are measured."""

import json
from pathlib import Path

import pytest
from toy_training import Toy, toy_search

from lemonade_tf.architecture.text import from_json
from lemonade_tf.cli import main
from lemonade_tf.objectives.int8_size import int8_arena, int8_bytes
from lemonade_tf.report import table_rows, write_report
from lemonade_tf.runs import read_run
from lemonade_tf.workers.tasks import SizeTask


@pytest.fixture
def sized(monkeypatch):
    """Let toys measure files that are 100 bytes larger than predicted; return those measured."""
    found, train = [], Toy.__call__

    def call(self, task):
        if not isinstance(task, SizeTask):
            return train(self, task)
        found.append(task.id)
        if self.fault == "unquantized" and len(found) == 1:
            raise RuntimeError("no such operation")
        graph = from_json(Path(task.file).read_text())
        predicted = {"predicted_bytes": int8_bytes(graph), "predicted_arena": int8_arena(graph)}
        size = {"num_bytes": int(int8_bytes(graph)) + 100, "arena": None, "failure": None}
        if self.fault == "micro":
            size["arena"] = 12_345
        return {"id": task.id, **predicted, **size}

    monkeypatch.setattr(Toy, "__call__", call)
    return found


def test_sizes_of_the_front_are_measured_once_and_shown(tmp_path, sized, monkeypatch, capsys):
    monkeypatch.setenv("TOY_FAULT", "micro")
    settings = {"in_process": True, "board": "nano33", "num_generations": 1}
    result = toy_search(tmp_path / "run", **settings)
    front = [row["id"] for row in result.front]
    assert sorted(sized) == sorted(front)
    run = read_run(result.workdir)
    assert set(run.measured["int8_bytes"]) == set(run.measured["int8_arena"]) == set(front)
    header, rows = table_rows(run)
    number = header.index("int8 bytes measured")
    assert header[number + 1] == "int8 arena measured"
    assert {row[number + 1] for row in rows} == {"12.3 kB"}
    text = write_report(run).read_text()
    assert "int8 arena measured" in text
    data = json.loads(
        text.partition('type="application/json" id="data">')[2].partition("</script>")[0]
    )
    assert [each["name"] for each in data["measured"]] == ["int8_bytes", "int8_arena"]
    assert set(data["measured"][1]["values"].values()) == {12_345.0}
    assert main(["front", str(run.store.path), "--board", "nano33"]) == 0
    assert capsys.readouterr().out.count("(measured)") == len(front)

    records = run.store.measurements.read()
    assert all(r.measured == int(r.predicted) + 100 for r in records if "bytes" in r.objective)
    run.store.measurements.replace(records[2:])  # as if it had been killed
    assert toy_search(result.workdir, resume=True, **settings).complete
    assert sized[len(front) :] == [records[0].id]


def test_a_network_that_cannot_be_quantized_is_recorded(tmp_path, sized, monkeypatch):
    monkeypatch.setenv("TOY_FAULT", "unquantized")
    objectives = ("error", "int8_bytes")
    result = toy_search(tmp_path / "r", in_process=True, objectives=objectives, num_generations=0)
    assert result.complete
    records = read_run(result.workdir).store.measurements.read()
    assert [record.failure for record in records if record.id == sized[0]] == [
        "RuntimeError: no such operation"
    ]
    header, rows = table_rows(read_run(result.workdir))
    shown = [row[header.index("int8 bytes measured")] for row in rows]
    assert shown.count("") == 1


def test_other_searches_measure_no_sizes(tmp_path, sized):
    toy_search(tmp_path / "run", in_process=True, num_generations=0)
    assert not sized
    assert not (tmp_path / "run" / "measurements.jsonl").exists()
