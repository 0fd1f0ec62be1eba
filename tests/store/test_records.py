"""Records as values, and as JSON objects."""

from dataclasses import replace

import pytest

from lemonade_tf.store.record import RecordError
from lemonade_tf.store.records import (
    ExtraDatasetRecord,
    FileRecord,
    FrontRow,
    NetworkRecord,
    ProposalRecord,
    SlotRecord,
)
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
        "num_generations": 2,
        "num_accepted": 4,
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


def test_a_network_of_an_earlier_version_has_no_ranked_errors():
    values = NETWORK.as_json()
    assert values.pop("ranked_errors") == {}
    assert NetworkRecord.from_json(values) == NETWORK.as_stored()
    assert NETWORK.ranked_objectives == NETWORK.objectives


def test_ranked_errors_replace_the_objectives_of_their_names():
    record = replace(NETWORK, ranked_errors={"error": 0.125})
    assert record.ranked_objectives == {"error": 0.125, "parameters": 7}
    assert (record.error, record.as_stored().ranked_errors) == (0.1, {"error": 0.125})
    assert (record.ranked_error, NETWORK.ranked_error) == (0.125, 0.1)
    with pytest.raises(RecordError, match="as 'ranked_errors'"):
        NetworkRecord.from_json({**NETWORK.as_json(), "ranked_errors": {"error": "low"}})


@pytest.mark.parametrize(
    "ranked",
    [
        {"error": 0.09},  # less than the error
        {"error": 1.1},  # more than an image more, even if there is only one
        {"error": -1},
        {"parameters": 7},
        {"error_odd": 0.3},  # which is no objective
        {"error_other": 0.3},
    ],
)
def test_impossible_ranked_errors_are_refused(ranked):
    with pytest.raises(RecordError, match=r"^has the ranked '"):
        NetworkRecord.from_json({**NETWORK.as_json(), "ranked_errors": ranked})


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


# --- Values of strangers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "../7"}, r"has the id '\.\./7' in generation 12"),
        ({"id": "11-7"}, "has the id '11-7' in generation 12"),
        ({"id": "12-" + "7" * 50}, "has the id '12-7+' in generation 12"),
        ({"id": 7}, "has 7 as 'id'"),
        ({"generation": 12.0}, r"has 12\.0 as 'generation'"),
        ({"generation": True}, "has True as 'generation'"),
        ({"parent": ["0-1"]}, r"has \['0-1'\] as 'parent'"),
        ({"operators": "prune"}, "has prune as 'operators'"),
        ({"operators": ["prune"]}, r"has \['prune'\] as 'operators'"),
        ({"operators": [{"site": {}}]}, r"has operators named \[None\]"),
        ({"operators": [{"operator": "\x1b[2J"}]}, r"has operators named \['.x1b\[2J'\]"),
        ({"objectives": {"error": "small"}}, "has small as 'error'"),
        ({"objectives": [1]}, r"has \[1\] as 'objectives'"),
        ({"test_error": {}}, "has {} as 'test_error'"),
        ({"losses": [1.0, None]}, r"has \[1\.0, None\] as 'losses'"),
        ({"epsilon": {"before": 1}}, "has {'before': 1} as 'epsilon'"),
        ({"seconds": {"train": "1"}}, "has {'train': '1'} as 'seconds'"),
        ({"file": 3}, "has 3 instead of an object"),
        ({"file": {"bytes": 3}}, "lacks 'sha256'"),
        ({"extra_datasets": []}, r"has \[\] instead of an object"),
        ({"extra_datasets": {"odd": None}}, "has None instead of an object"),
        ({"log": "x\x1b[2J" * 500}, None),
        ({"log": b"x" * 1000}, r"^has b'x+\.\.\. as 'log'$"),
    ],
)
def test_values_of_other_types_are_refused(change, message):
    values = {**NETWORK.as_json(), **change}
    if message is None:
        assert NetworkRecord.from_json(values).log
        return
    with pytest.raises(RecordError, match=message) as refused:
        NetworkRecord.from_json(values)
    assert len(str(refused.value)) < 400


def test_a_name_of_a_data_set_that_cannot_be_part_of_a_file_name_is_refused():
    values = NETWORK.as_json()
    values["extra_datasets"] = {"../odd": values["extra_datasets"]["odd"]}
    with pytest.raises(RecordError, match=r"has the extra data set '\.\./odd'"):
        NetworkRecord.from_json(values)


def test_values_other_than_objects_are_refused():
    for values in ([], "text", 3, None):
        with pytest.raises(RecordError, match="instead of an object"):
            FileRecord.from_json(values)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("objectives", "error"),
        ("objectives", [["error"]]),
        ("dataset", None),
        ("seed", "3"),
        ("num_generations", 1.5),
        ("num_accepted", 0),
        ("scale", ["log"]),
        ("limit", {"parameters": "many"}),
    ],
)
def test_settings_of_other_types_are_refused(setting, value):
    with pytest.raises(RecordError, match=f" as '{setting}'"):
        RunConfig.from_json({**CONFIG.as_json(), setting: value})


def test_an_outcome_is_one_of_four():
    values = {
        "id": "1-2",
        "generation": 1,
        "parent": None,
        "operators": [],
        "cheap_objectives": {},
        "outcome": "accepted",
        "duplicate_of": None,
        "exceeded": {},
        "slot": None,
    }
    assert ProposalRecord.from_json(values).outcome == "accepted"
    slot = {"number": 0, "first_attempt": 0, "num_evaluated": 3}
    assert ProposalRecord.from_json({**values, "slot": slot}).slot == SlotRecord(0, 0, 3)
    for wrong in ({**slot, "number": -1}, {**slot, "num_evaluated": 1.5}, {"number": 0}, 3):
        with pytest.raises(RecordError):
            ProposalRecord.from_json({**values, "slot": wrong})
    for outcome in ("maybe", ["accepted"], None):
        with pytest.raises(RecordError, match=" as 'outcome'"):
            ProposalRecord.from_json({**values, "outcome": outcome})


@pytest.mark.parametrize(
    "change", [{"num_initial": -1}, {"num_initial": 10**12}, {"num_accepted": 0}]
)
def test_impossible_numbers_of_networks_are_refused(change):
    with pytest.raises(RecordError, match=f" as '{next(iter(change))}'"):
        RunConfig.from_json({**CONFIG.as_json(), **change})
