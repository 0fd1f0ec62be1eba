"""Records as values, and as JSON objects."""

import pytest

from lemonade_tf.store.record import RecordError
from lemonade_tf.store.records import ExtraDatasetRecord, FileRecord, FrontRow, NetworkRecord
from lemonade_tf.store.run_config import ImagesRecord, RandomSearchRecord, RunConfig

FILE = FileRecord(bytes=3, sha256="ab")
NETWORK = NetworkRecord(
    id="12-7",
    generation=12,
    parent="0-1",
    operators=({"operator": "prune", "site": {"channels": (1, 2)}},),
    architecture_hash="cd",
    objectives={"error": 0.1, "parameters": 7},
    test_error=0.2,
    file=FILE,
    extra_datasets={
        "odd": ExtraDatasetRecord(
            test_error=0.3,
            batch_size=64,
            losses=(1.0,),
            distillation_losses=(),
            epsilon=None,
            file=FILE,
        )
    },
)
IMAGES = ImagesRecord(10, (8, 8, 1), {"training": 5, "validation": 1, "test": 1}, "ef")
CONFIG = RunConfig(
    settings={
        "space": "cells",
        "dataset": "digits",
        "objectives": ["error", "parameters"],
        "seed": 3,
    },
    images=IMAGES,
    num_initial=4,
    reference_point={"error": 0.9, "parameters": 100.0},
    extra_datasets={"odd": IMAGES},
    random_search=RandomSearchRecord("runs/1", "parameters", (1.0, 2.0)),
)


def test_a_record_read_back_has_its_nested_records():
    read = NetworkRecord.from_json(NETWORK.as_json())
    assert read == NETWORK.as_stored()
    assert read.file == FILE
    assert read.extra_datasets["odd"].file == FILE
    assert read.operators == [{"operator": "prune", "site": {"channels": [1, 2]}}]


def test_missing_and_unknown_keys_are_named():
    values = NETWORK.as_json()
    del values["parent"], values["failure"]
    with pytest.raises(RecordError, match=r"^lacks 'failure', 'parent' and has the unknown 'why'$"):
        NetworkRecord.from_json({**values, "why": 1})


def test_missing_keys_of_a_nested_record_are_named():
    with pytest.raises(RecordError, match=r"^lacks 'sha256'$"):
        NetworkRecord.from_json({**NETWORK.as_json(), "file": {"bytes": 3}})


def test_properties_of_a_network():
    assert (NETWORK.attempt, NETWORK.age_key) == (7, (12, 7))
    assert NETWORK.operator_names == ["prune"]
    assert NETWORK.error == 0.1
    assert NETWORK.test_errors == {"test_error": 0.2, "test_error_odd": 0.3}


def test_settings_are_keys_of_the_config_beside_the_others():
    values = CONFIG.as_json()
    assert values["dataset"] == "digits"
    assert "settings" not in values
    read = RunConfig.from_json(values)
    assert read == CONFIG.as_stored()
    assert (read.space, read.dataset, read.seed) == ("cells", "digits", 3)
    assert read.objective_names == ["error", "parameters"]
    assert read.images.input_shape == [8, 8, 1]
    assert read.random_search.size == "parameters"


@pytest.mark.parametrize("name", ["space", "dataset", "objectives", "reference_point"])
def test_a_config_without_a_required_key_is_refused(name):
    values = CONFIG.as_json()
    del values[name]
    with pytest.raises(RecordError, match=f"^lacks '{name}'$"):
        RunConfig.from_json(values)


def test_columns_of_a_row_of_the_front():
    row = FrontRow("0-1", "models/0-1.h5", {"error": 0.1, "parameters": 7}, {"test_error": None})
    assert list(row.as_columns().items()) == [
        ("id", "0-1"),
        ("file", "models/0-1.h5"),
        ("error", 0.1),
        ("parameters", 7),
        ("test_error", None),
    ]
