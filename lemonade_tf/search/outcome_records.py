"""The records of a search: what evaluating a child, and proposing one, is recorded as."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.datasets.names import ERROR_PREFIX
from lemonade_tf.evolution import Evaluation, Individual, Proposal, Slot
from lemonade_tf.executors import Outcome
from lemonade_tf.store import (
    ExtraDatasetRecord,
    FileRecord,
    NetworkRecord,
    ProposalRecord,
    SlotRecord,
)
from lemonade_tf.workers.tasks import ChildResult


def evaluation_of(name: str, outcome: Outcome) -> Evaluation:
    """Return the expensive objectives of a task as they were measured, or its failure."""
    if outcome.failure is not None:
        return Evaluation(name, failure=outcome.failure)
    result = outcome.result
    if result.failure is not None:
        return Evaluation(name, failure=result.failure)
    return Evaluation(name, {"error": result.error, **result.measured})


def ranked_errors(outcome: Outcome) -> dict[str, float]:
    """Return the errors with ties broken by the cross-entropy, by objective; none if it failed."""
    result = outcome.result
    if result is None or result.failure is not None:
        return {}
    results = {"error": result}
    results |= {f"{ERROR_PREFIX}{name}": each for name, each in result.extra_datasets.items()}
    return {name: each.ranked_error for name, each in results.items()}


def network_record(
    individual: Individual,
    evaluation: Evaluation,
    outcome: Outcome,
    objectives: Mapping[str, float | None],
    files: Mapping[str | None, FileRecord],
    *,
    ranked_errors: Mapping[str, float],
    parent_epochs: int,
    first_failure: str | None,
) -> NetworkRecord:
    """Return the record of a network that was trained, or failed.

    Args:
        individual: The network.
        evaluation: Its evaluation.
        outcome: The outcome of its task.
        objectives: Its objectives, in the order of the run's; None where it has none.
        files: Its files by data set, None for the first one; empty if it failed.
        ranked_errors: Its errors with ties broken, by objective; empty if ties are not broken.
        parent_epochs: Epochs of training of the weights that it inherited from its parent.
        first_failure: The failure of an earlier attempt.
    """
    result = outcome.result
    training: dict[str, Any] = {} if result is None else {"seconds": dict(result.seconds)}
    if result is not None and result.failure is None:
        training |= {
            "epochs": result.epochs,
            "num_images": result.num_images,
            "images_per_second": result.images_per_second,
            **_learning(result),
            "extra_datasets": {
                name: ExtraDatasetRecord(**_learning(each), file=files.get(name))
                for name, each in result.extra_datasets.items()
            },
        }
    return NetworkRecord(
        id=individual.id,
        generation=individual.generation,
        parent=individual.parent,
        operators=list(individual.operators),
        architecture_hash=canonical_hash(individual.architecture),
        objectives=dict(objectives),
        ranked_errors=dict(ranked_errors),
        lineage_epochs=parent_epochs + training.get("epochs", 0),
        timestamp=time.time(),
        file=files.get(None),
        failure=evaluation.failure,
        first_failure=first_failure,
        log=outcome.log,
        **training,
    )


def _learning(result: ChildResult) -> dict[str, Any]:
    """Return what is recorded of the training on each data set."""
    return {
        "test_error": result.test_error,
        "batch_size": result.batch_size,
        "losses": list(result.losses),
        "distillation_losses": list(result.distillation_losses),
        "epsilon": result.epsilon,
    }


def proposal_record(proposal: Proposal, slot: Slot | None = None) -> ProposalRecord:
    """Return the record of a proposed child, and of the slot that it was proposed for."""
    individual = proposal.individual
    return ProposalRecord(
        id=individual.id,
        generation=individual.generation,
        parent=individual.parent,
        operators=list(individual.operators),
        cheap_objectives=dict(individual.cheap),
        outcome=proposal.outcome,
        duplicate_of=proposal.duplicate_of,
        exceeded=dict(proposal.exceeded),
        slot=None if slot is None else SlotRecord(**vars(slot)),
    )
