"""The Pareto front of a run, for the search that writes it and for all readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from lemonade_tf.evolution import update_front
from lemonade_tf.objectives.objective import Objective
from lemonade_tf.store import NetworkRecord


def has_ties(front: Iterable[NetworkRecord]) -> bool:
    """Return whether networks of a front have equal errors, which the search ranked."""
    errors = [record.error for record in front if record.ranked_errors]
    return len(set(errors)) < len(errors)


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
