"""What the lists of a run say of each network."""

from dataclasses import replace

import pytest

from lemonade_tf.evolution import Individual, Proposal
from lemonade_tf.executors import Outcome
from lemonade_tf.search.records import evaluation_of, history_record, proposal_record
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.workers.tasks import ChildResult

GRAPH = NETWORKS.initial_graphs((8, 8, 1), 10)[0].copy(weights=False)
STEP = {"operator": "add_skip", "site": {"source": "relu_1"}}
CHILD = Individual(2, 5, "1-3", (STEP,), GRAPH, {"parameters": 700})
TRAINED = ChildResult(
    "2-5",
    error=0.25,
    test_error=0.5,
    seconds={"train": 3.0, "total": 4.0},
    losses=(2.0, 1.0),
    epochs=2,
    batch_size=32,
    num_images=600,
    images_per_second=200.0,
    measured={"top5_error": 0.125},
)


def _outcome(result=None, failure=None):
    return Outcome(None, result, failure, worker=0, seconds=5.0)


def test_what_the_evolution_needs_to_know_of_a_trained_network():
    evaluation = evaluation_of("2-5", _outcome(TRAINED))
    assert evaluation.expensive == {"error": 0.25, "top5_error": 0.125}
    assert evaluation.failure is None
    assert evaluation.details["test_error"] == 0.5
    assert evaluation.details["losses"] == [2.0, 1.0]
    assert "further" not in evaluation.details


@pytest.mark.parametrize(
    ("outcome", "failure", "seconds"),
    [
        (_outcome(failure="the process died"), "the process died", {}),
        (_outcome(ChildResult("2-5", failure="diverged", seconds={"train": 1.0})), "diverged", 1.0),
    ],
)
def test_failures_of_the_process_and_of_the_training(outcome, failure, seconds):
    evaluation = evaluation_of("2-5", outcome)
    assert evaluation.failure == failure
    assert evaluation.seconds == ({"train": seconds} if seconds else {})


def test_other_data_sets_have_their_own_part():
    other = ChildResult("2-5", error=0.75, test_error=0.8, losses=(3.0,), batch_size=16)
    trained = replace(TRAINED, extra_datasets={"odd": other}, measured={"error_odd": 0.75})
    evaluation = evaluation_of("2-5", _outcome(trained))
    assert evaluation.expensive == {"error": 0.25, "error_odd": 0.75}
    assert evaluation.details["further"] == {
        "odd": {
            "test_error": 0.8,
            "batch_size": 16,
            "losses": [3.0],
            "distillation_losses": [],
            "epsilon": None,
        }
    }


def _line(evaluation, **changes):
    given = {"files": {"file": None}, "log": "", "first_failure": None}
    objectives = {"error": 0.25, "parameters": 700}
    return history_record(CHILD, evaluation, objectives, lineage_epochs=6, **{**given, **changes})


def test_the_line_of_a_network():
    described = {"bytes": 3, "sha256": "0" * 64}
    line = _line(evaluation_of("2-5", _outcome(TRAINED)), files={"file": described})
    told = ("id", "generation", "parent", "operators", "objectives", "lineage_epochs", "file")
    assert {name: line[name] for name in told} == {
        "id": "2-5",
        "generation": 2,
        "parent": "1-3",
        "operators": [STEP],
        "objectives": {"error": 0.25, "parameters": 700},
        "lineage_epochs": 6,
        "file": described,
    }
    assert line["seconds"] == {"train": 3.0, "total": 4.0}
    assert line["failure"] is None


def test_the_line_of_a_failure_says_what_it_was_and_what_it_was_before():
    evaluation = evaluation_of("2-5", _outcome(failure="out of memory"))
    line = _line(evaluation, log="the last words", first_failure="the process died")
    assert line["failure"] == "out of memory"
    assert (line["first_failure"], line["log"]) == ("the process died", "the last words")
    assert "test_error" not in line


@pytest.mark.parametrize(
    ("proposal", "more"),
    [
        (Proposal(CHILD, outcome="accepted"), {}),
        (Proposal(CHILD, outcome="duplicate", duplicate_of="1-1"), {}),
        (
            Proposal(CHILD, outcome="over_limit", exceeded={"parameters": 700.0}),
            {"exceeded": {"parameters": 700.0}},
        ),
    ],
)
def test_the_line_of_a_proposal(proposal, more):
    assert proposal_record(proposal) == {
        "id": "2-5",
        "generation": 2,
        "parent": "1-3",
        "operators": [STEP],
        "cheap": {"parameters": 700},
        "outcome": proposal.outcome,
        "duplicate_of": proposal.duplicate_of,
        **more,
    }
