"""What the lists of a run say of each network: the lines of history.jsonl and proposals.jsonl."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.evolution import Evaluation, Individual, Proposal
from lemonade_tf.executors import Outcome
from lemonade_tf.workers.tasks import ChildResult


def evaluation_of(name: str, outcome: Outcome) -> Evaluation:
    """Return what the evolution needs to know of a task's outcome, and what else is told of it."""
    if outcome.failure is not None:
        return Evaluation(name, failure=outcome.failure)
    result = outcome.result
    if result.failure is not None:
        return Evaluation(name, failure=result.failure, seconds=result.seconds)
    details = {
        "test_error": result.test_error,
        "epochs": result.epochs,
        "batch_size": result.batch_size,
        "num_images": result.num_images,
        "images_per_second": result.images_per_second,
        **_learning(result),
    }
    if result.extra_datasets:
        details["further"] = {
            data: {"test_error": r.test_error, "batch_size": r.batch_size, **_learning(r)}
            for data, r in result.extra_datasets.items()
        }
    expensive = {"error": result.error, **result.measured}
    return Evaluation(name, expensive, seconds=result.seconds, details=details)


def _learning(result: ChildResult) -> dict[str, Any]:
    """Return how a network learned on a data set."""
    return {
        "losses": list(result.losses),
        "distillation_losses": list(result.distillation_losses),
        "epsilon": result.epsilon,
    }


def history_record(
    individual: Individual,
    evaluation: Evaluation,
    objectives: Mapping[str, float | None],
    *,
    lineage_epochs: int,
    files: Mapping[str, Any],
    log: str,
    first_failure: str | None,
) -> dict[str, Any]:
    """Return the line of history.jsonl of a network that was trained, or failed.

    Args:
        individual: The network.
        evaluation: What became of it.
        objectives: Its values, in the order of the run's; None where it has none.
        lineage_epochs: Epochs of training from its initial network on.
        files: Its files, with their checksums.
        log: What its worker said, if it failed.
        first_failure: Of an attempt before this one.
    """
    return {
        "id": individual.id,
        "generation": individual.generation,
        "parent": individual.parent,
        "operators": list(individual.operators),
        "architecture": canonical_hash(individual.architecture),
        "objectives": dict(objectives),
        **evaluation.details,
        "lineage_epochs": lineage_epochs,
        "seconds": dict(evaluation.seconds),
        "time": time.time(),
        **files,
        "failure": evaluation.failure,
        "first_failure": first_failure,
        "log": log,
    }


def proposal_record(proposal: Proposal) -> dict[str, Any]:
    """Return the line of proposals.jsonl of a child that was proposed."""
    individual = proposal.individual
    return {
        "id": individual.id,
        "generation": individual.generation,
        "parent": individual.parent,
        "operators": list(individual.operators),
        "cheap": dict(individual.cheap),
        "outcome": proposal.outcome,
        "duplicate_of": proposal.duplicate_of,
        **({"exceeded": dict(proposal.exceeded)} if proposal.exceeded else {}),
    }
