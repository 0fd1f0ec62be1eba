import json

import pytest
from graphs import small

from lemonade_tf.architecture import layers as kinds
from lemonade_tf.latency import KERAS, LITE, PAPER, LatencyTable, TableError
from lemonade_tf.latency.sample import sample_layers
from lemonade_tf.latency.table import row_of


@pytest.fixture
def table():
    graphs = [*sample_layers((8, 8, 1), 10, max_multiply_adds=1e6)[:40], small()]
    rows = tuple(row_of(g, 1e-6 * (n + 1) / 3, KERAS) for n, g in enumerate(graphs))
    return LatencyTable(KERAS, (8, 8, 1), PAPER, 2, rows, "a machine", {"keras": "3"}, 12.5)


def test_json_round_trip(table):
    assert LatencyTable.from_json(json.loads(json.dumps(table.as_json()))) == table


def test_the_name_of_a_row_has_kind_arguments_and_shapes(table):
    row = table.rows[0]
    assert row.name.startswith("Conv2D(filters=8, kernel_size=(3, 3), strides=(1, 1)")
    assert row.name.endswith("of 8x8x1")
    assert row.is_layer
    assert not table.rows[-1].is_layer
    assert "parameters and" in table.rows[-1].name


def test_the_name_of_a_row_has_all_inputs():
    graphs = sample_layers((8, 8, 1), 10, max_multiply_adds=1e6)
    [add, *_] = [g for g in graphs if isinstance(g[g.output].layer, kinds.Add)]
    assert row_of(add, 1.0, KERAS).name == "Add() of 8x8x8 and 8x8x8"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, "has format 0; expected 2, with the columns seconds .* another version"),
        (
            {"columns": "seconds name"},
            "format 2; expected 2, with the columns seconds passes .*: measure a new one",
        ),
        ({"rows": ["1"]}, "not a latency table of lemonade_tf: ValueError"),
        ({"rows": []}, "the table of latency has no rows"),
        ({"runtime": "walking"}, "runtime is 'walking'; expected one of latency, lite_latency"),
        ({"protocol": {"x": 1}}, "unknown settings of a protocol: x"),
    ],
)
def test_malformed_tables_are_refused(table, change, message):
    with pytest.raises(TableError, match=message):
        LatencyTable.from_json({**table.as_json(), **change})


def test_a_row_of_0_seconds_is_refused(table):
    line = table.as_json()["rows"][0]
    line = "0.0 " + line.partition(" ")[2]
    with pytest.raises(TableError, match=r"a row has 0\.0 seconds; expected more than 0"):
        LatencyTable.from_json({**table.as_json(), "rows": [line]})


@pytest.mark.parametrize("values", [None, [], {"format": 2}, "table"])
def test_other_json_is_refused(values):
    with pytest.raises(TableError, match="not a latency table of lemonade_tf"):
        LatencyTable.from_json(values)


def test_a_table_is_valid_for_its_images_and_threads_only(table):
    table.check_conditions((8, 8, 1), 2)
    with pytest.raises(
        TableError, match=r"images of \(8, 8, 1\); the search has images of \(32, 32, 3"
    ):
        table.check_conditions((32, 32, 3), 2)
    with pytest.raises(
        TableError, match=r"threads: 2; the search has threads: 1\. Leave the table out"
    ):
        table.check_conditions((8, 8, 1), 1)


def test_a_table_of_lite_is_valid_for_any_number_of_threads(table):
    lite = LatencyTable(LITE, (8, 8, 1), PAPER, 1, table.rows)
    lite.check_conditions((8, 8, 1), 4)
