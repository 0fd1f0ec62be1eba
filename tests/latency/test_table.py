import json

import pytest
from graphs import small

from lemonade_tf.architecture import layers as kinds
from lemonade_tf.latency import PAPER, LatencyTable, TableError
from lemonade_tf.latency.sample import sample_layers
from lemonade_tf.latency.table import row_of


@pytest.fixture
def table():
    graphs = [*sample_layers((8, 8, 1), 10, most_multiply_adds=1e6)[:40], small()]
    rows = tuple(row_of(g, 1e-6 * (n + 1) / 3, "latency") for n, g in enumerate(graphs))
    return LatencyTable("latency", (8, 8, 1), PAPER, 2, rows, "a machine", {"keras": "3"}, 12.5)


def test_json_round_trip(table):
    assert LatencyTable.from_json(json.loads(json.dumps(table.as_json()))) == table


def test_a_row_says_kind_arguments_and_shapes(table):
    row = table.rows[0]
    assert row.name.startswith("Conv2D(filters=8, kernel_size=(3, 3), strides=(1, 1)")
    assert row.name.endswith("of 8x8x1")
    assert row.is_layer
    assert not table.rows[-1].is_layer
    assert "parameters and" in table.rows[-1].name


def test_a_layer_with_two_inputs_names_both():
    graphs = sample_layers((8, 8, 1), 10, most_multiply_adds=1e6)
    [add, *_] = [g for g in graphs if isinstance(g[g.output].layer, kinds.Add)]
    assert row_of(add, 1.0, "latency").name == "Add() of 8x8x8 and 8x8x8"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 0}, r"of another version of lemonade_tf \(format 0, expected 1"),
        ({"columns": "seconds name"}, "with the columns seconds passes .*; measure a new one"),
        ({"rows": ["1"]}, "not a latency table of lemonade_tf: ValueError"),
        ({"rows": []}, "the table of latency has no row"),
        ({"way": "walking"}, "way is 'walking'; expected one of latency, lite_latency"),
        ({"protocol": {"x": 1}}, "has no x"),
    ],
)
def test_what_is_no_table(table, change, message):
    with pytest.raises(TableError, match=message):
        LatencyTable.from_json({**table.as_json(), **change})


def test_a_row_without_a_time(table):
    line = table.as_json()["rows"][0]
    line = "0.0 " + line.partition(" ")[2]
    with pytest.raises(TableError, match=r"a row has 0\.0 seconds; expected more than 0"):
        LatencyTable.from_json({**table.as_json(), "rows": [line]})


@pytest.mark.parametrize("values", [None, [], {"format": 1}, "table"])
def test_other_json_is_no_table(values):
    with pytest.raises(TableError, match="not a latency table of lemonade_tf"):
        LatencyTable.from_json(values)


def test_a_table_holds_for_images_and_threads(table):
    table.check_holds((8, 8, 1), 2)
    with pytest.raises(TableError, match=r"images of \(8, 8, 1\), and the search has \(32, 32, 3"):
        table.check_holds((32, 32, 3), 2)
    with pytest.raises(TableError, match="threads: 2, and the search has 1; leave the table out"):
        table.check_holds((8, 8, 1), 1)


def test_lite_runs_on_one_thread_whatever_the_search_has(table):
    lite = LatencyTable("lite_latency", (8, 8, 1), PAPER, 1, table.rows)
    lite.check_holds((8, 8, 1), 4)
