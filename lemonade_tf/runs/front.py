"""The Pareto front of a run, for the search that writes it and for all readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from lemonade_tf.evolution import update_front
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.store import NetworkRecord


def remark_on_ties(front: Sequence[NetworkRecord]) -> str:
    """Return why networks of a front have equal errors, if the search ranked them; else nothing."""
    for name in {name for record in front for name in record.ranked_errors}:
        errors = [r.objectives[name] for r in front if name in r.ranked_errors]
        if len(set(errors)) < len(errors):
            return "networks with equal validation errors are ranked by their cross-entropy"
    return ""


def front_of(
    records: Iterable[NetworkRecord], objectives: Sequence[Objective]
) -> list[NetworkRecord]:
    """Return the non-dominated networks, sorted by the first cheap objective.

    Networks are ranked by `NetworkRecord.ranked_objectives`: if the search breaks ties, the front
    may have several networks with equal errors. Of networks with equal objectives, the front has
    the oldest, as in Algorithm 1; it need not be the one that was completed first.

    Args:
        records: Networks that were trained without failure, in any order.
        objectives: The objectives of the run.
    """
    names = [objective.name for objective in objectives]
    front = update_front((), records, names, attrgetter("ranked_objectives"))
    size = next(objective.name for objective in objectives if objective.cheap)
    return sorted(front, key=lambda record: record.objectives[size])
