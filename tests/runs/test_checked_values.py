"""Recorded objectives that no search can have recorded are refused."""

import pytest
from run_folders import proposal
from runs import HISTORY, change_settings, line, make_run

from lemonade_tf.runs import read_run
from lemonade_tf.runs.recorded_history import read_recorded_history
from lemonade_tf.store import RunStore, StoreError


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ({"error": 0.5}, "network 5-5 has None as parameters; expected a number greater than 0"),
        ({"parameters": 3}, "network 5-5 has None as error; expected a number\\."),
        ({"error": 0.5, "parameters": 0}, "network 5-5 has 0 as parameters; expected"),
        ({"error": None, "parameters": 7}, "network 5-5 has None as error"),
    ],
)
def test_missing_and_impossible_values_are_refused(tmp_path, objectives, message):
    history = (*HISTORY, line("5-5", 0.5, 100, objectives=objectives))
    run = read_run(make_run(tmp_path / "run", history))
    with pytest.raises(StoreError, match=rf"history\.jsonl: the {message}.* Restore the file"):
        run.front()


def test_a_reference_point_without_a_value_is_refused(tmp_path):
    folder = make_run(tmp_path / "run")
    change_settings(folder, objectives=["error", "parameters", "multiply_adds"])
    with pytest.raises(StoreError, match="the reference point has None as multiply_adds"):
        _ = read_run(folder).objectives


def test_a_failed_network_needs_no_error(tmp_path):
    run = read_run(make_run(tmp_path / "run"))
    assert any(record.objectives["error"] is None for record in run.history)
    assert len(run.objectives) == 2


def test_values_of_other_types_are_refused_when_they_are_read(tmp_path):
    folder = make_run(tmp_path / "run")
    store = RunStore.open(folder)
    store.history.append([line("5-5", 0.5, 100, operators=())])
    store.history.append([line("5-6", 0.5, 100, objectives={"error": "small"})])
    with pytest.raises(StoreError, match=r"history\.jsonl, line 9, has small as 'error'; restore"):
        read_run(folder)


def test_a_late_generation_takes_no_longer(tmp_path):
    store = RunStore.open(make_run(tmp_path / "run", HISTORY[:3]))
    store.proposals.append([proposal("999999999-1", outcome="rejected")])
    history = read_recorded_history(store, 3)
    assert history.start_generation == 999_999_999
