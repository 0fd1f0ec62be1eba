"""Measure the int8 sizes of the final front, in addition to the predicted ones.

A search predicts `int8_bytes` and `int8_arena` from the graph. If it was about such a size, because
an objective, a limit or a board is one, its workers quantize the networks of the front at its end.
The sizes are recorded in measurements.jsonl, beside the inference times. A network that cannot be
quantized is recorded with the reason, and what is missing because the search was stopped is
measured when it is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lemonade_tf.executors import Executor, Outcome
from lemonade_tf.objectives.boards import INT8_ARENA, INT8_BYTES
from lemonade_tf.store import MeasurementRecord, RunStore
from lemonade_tf.workers.tasks import SizeTask

if TYPE_CHECKING:
    from lemonade_tf.search.setup import Setup

_SIZES = (INT8_BYTES, INT8_ARENA, "peak_memory")
_PROTOCOL = "int8"  # of the records


def is_about_size(setup: Setup) -> bool:
    """Return whether an objective, a limit or a board of a search is a size in memory."""
    limited = [limit.objective.name for limit in setup.limits]
    names = {*(objective.name for objective in setup.objectives), *limited}
    return setup.config.board is not None or not names.isdisjoint(_SIZES)


def missing_sizes(store: RunStore, front: Iterable[str]) -> list[str]:
    """Return the networks of a front, by id, whose int8 sizes are not recorded yet."""
    recorded = {r.id for r in store.measurements.read() if r.objective == INT8_BYTES}
    return [id_ for id_ in front if id_ not in recorded]


def measure_sizes(store: RunStore, ids: Sequence[str], executor: Executor) -> None:
    """Measure the int8 sizes of networks, and record each.

    Args:
        store: The run folder.
        ids: The networks, whose files are in the folder.
        executor: Its workers have nothing else to do.

    Raises:
        StoreError: If the file of a network is missing, or a record cannot be written.
    """
    tasks = [SizeTask(id_, str(store.find_model(id_))) for id_ in ids]
    for outcome in executor.run(tasks):
        store.measurements.append(_records(outcome))


def _records(outcome: Outcome) -> list[MeasurementRecord]:
    """Return the records of a network: of the arena only if it was measured."""
    size = {} if outcome.result is None else outcome.result
    failure = outcome.failure or size.get("failure")

    def record(name: str, predicted: float, measured: int | None) -> MeasurementRecord:
        return MeasurementRecord(
            id=outcome.task.id,
            objective=name,
            predicted=predicted,
            measured=None if measured is None else float(measured),
            standard_error=None,
            num_passes=0,
            protocol=_PROTOCOL,
            failure=failure if measured is None else None,
            timestamp=time.time(),
        )

    records = [record(INT8_BYTES, size.get("predicted_bytes", 0.0), size.get("num_bytes"))]
    if size.get("arena") is not None:
        records.append(record(INT8_ARENA, size["predicted_arena"], size["arena"]))
    return records
