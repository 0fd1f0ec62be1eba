"""The check that the recorded objectives of networks are values that a search can have recorded.

A run folder may come from a stranger. The checksums of its files say that they belong together, not
that a search wrote them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lemonade_tf.errors import quoted
from lemonade_tf.objectives.objective import Objective, ObjectiveError
from lemonade_tf.store import CONFIG, HISTORY, NetworkRecord, RunStore, StoreError


def check_values(
    store: RunStore,
    history: Iterable[NetworkRecord],
    objectives: Sequence[Objective],
    reference_point: Mapping[str, float],
) -> None:
    """Check that networks and the reference point have a possible value of each objective.

    A network that failed needs its cheap objectives only.

    Args:
        store: The run folder, for the error messages.
        history: The records of its networks.
        objectives: Its objectives.
        reference_point: Its reference point.

    Raises:
        StoreError: If a value is missing or impossible.
    """
    _check(f"{store.path / CONFIG}: the reference point has", objectives, reference_point)
    for record in history:
        failed = record.failure is not None
        needed = [each for each in objectives if each.cheap] if failed else objectives
        where = f"{store.path / HISTORY}: the network {record.id} has"
        _check(where, needed, record.objectives)


def _check(where: str, objectives: Iterable[Objective], values: Mapping[str, Any]) -> None:
    for objective in objectives:
        value = values.get(objective.name)
        try:
            objective.transform(value)  # pyright: ignore[reportArgumentType] (raises for None)
        except ObjectiveError as error:
            expected = "a number greater than 0" if objective.scale == "log" else "a number"
            raise StoreError(
                f"{where} {quoted(value)} as {objective.name}; expected {expected}. Restore the"
                " file."
            ) from error
