"""The records of trained networks and of proposals."""

import time
from dataclasses import replace

import pytest

from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.evolution import Individual, Proposal
from lemonade_tf.executors import Outcome
from lemonade_tf.search.outcome_records import (
    evaluation_of,
    network_record,
    proposal_record,
    ranked_errors,
)
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.store import ExtraDatasetRecord, FileRecord, NetworkRecord, ProposalRecord
from lemonade_tf.workers.tasks import ChildResult

GRAPH = NETWORKS.initial_graphs((8, 8, 1), 10)[0].copy(weights=False)
STEP = {"operator": "add_skip", "site": {"source": "relu_1"}}
CHILD = Individual(2, 5, "1-3", (STEP,), GRAPH, {"parameters": 700})
FILE, OTHER_FILE = FileRecord(3, "0" * 64), FileRecord(4, "1" * 64)
TRAINED = ChildResult(
    "2-5",
    error=0.25,
    ranked_error=0.26,
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


def test_evolution_gets_the_expensive_objectives():
    evaluation = evaluation_of("2-5", _outcome(TRAINED))
    assert evaluation.expensive == {"error": 0.25, "top5_error": 0.125}
    assert evaluation.failure is None


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
    record = _record(outcome, files={})
    assert record.failure == failure
    assert record.seconds == ({"train": seconds} if seconds else {})
    assert (record.file, record.losses, record.lineage_epochs) == (None, (), 4)


def _record(outcome, *, files, first_failure=None):
    return network_record(
        CHILD,
        evaluation_of("2-5", outcome),
        outcome,
        {"error": 0.25, "parameters": 700},
        files,
        ranked_errors={"error": 0.26},
        parent_epochs=4,
        first_failure=first_failure,
    )


def test_the_record_of_a_trained_network():
    start = time.time()
    record = _record(_outcome(TRAINED), files={None: FILE})
    assert start <= record.timestamp <= time.time()
    assert record == NetworkRecord(
        id="2-5",
        generation=2,
        parent="1-3",
        operators=[STEP],
        architecture_hash=canonical_hash(GRAPH),
        objectives={"error": 0.25, "parameters": 700},
        ranked_errors={"error": 0.26},
        test_error=0.5,
        epochs=2,
        batch_size=32,
        num_images=600,
        images_per_second=200.0,
        losses=[2.0, 1.0],
        distillation_losses=[],
        lineage_epochs=6,
        seconds={"train": 3.0, "total": 4.0},
        timestamp=record.timestamp,
        file=FILE,
    )


def test_extra_data_sets_have_their_own_part():
    other = ChildResult("2-5", error=0.75, test_error=0.8, losses=(3.0,), batch_size=16)
    trained = replace(TRAINED, extra_datasets={"odd": other}, measured={"error_odd": 0.75})
    assert evaluation_of("2-5", _outcome(trained)).expensive == {"error": 0.25, "error_odd": 0.75}
    record = _record(_outcome(trained), files={"odd": OTHER_FILE, None: FILE})
    assert record.file == FILE
    assert record.extra_datasets == {
        "odd": ExtraDatasetRecord(
            test_error=0.8,
            batch_size=16,
            losses=[3.0],
            distillation_losses=[],
            epsilon=None,
            file=OTHER_FILE,
        )
    }


def test_ranked_errors_are_those_on_all_data_sets():
    other = ChildResult("2-5", error=0.75, ranked_error=0.76)
    assert ranked_errors(_outcome(TRAINED)) == {"error": 0.26}
    trained = replace(TRAINED, extra_datasets={"odd": other})
    assert ranked_errors(_outcome(trained)) == {"error": 0.26, "error_odd": 0.76}
    assert ranked_errors(_outcome(failure="the process died")) == {}
    assert ranked_errors(_outcome(ChildResult("2-5", failure="diverged"))) == {}


def test_the_record_of_a_failure_has_the_log_and_the_first_failure():
    outcome = replace(_outcome(failure="out of memory"), log="the last words")
    record = _record(outcome, files={}, first_failure="the process died")
    assert record.failure == "out of memory"
    assert (record.first_failure, record.log) == ("the process died", "the last words")


@pytest.mark.parametrize(
    "proposal",
    [
        Proposal(CHILD, outcome="accepted"),
        Proposal(CHILD, outcome="duplicate", duplicate_of="1-1"),
        Proposal(CHILD, outcome="over_limit", exceeded={"parameters": 700.0}),
    ],
)
def test_the_record_of_a_proposal(proposal):
    assert proposal_record(proposal) == ProposalRecord(
        id="2-5",
        generation=2,
        parent="1-3",
        operators=[STEP],
        cheap_objectives={"parameters": 700},
        outcome=proposal.outcome,
        duplicate_of=proposal.duplicate_of,
        exceeded=proposal.exceeded,
    )
