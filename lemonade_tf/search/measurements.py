"""What the networks of a front take to infer, as measured, beside what was foretold.

A search minimises the inference time that is foretold (see `objectives.inference_time`). When a
generation is over, and nothing else runs, one worker measures the networks that have come to the
front, each once. A network that cannot be run is put on record with the reason; the search goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lemonade_tf.architecture.text import to_json
from lemonade_tf.evolution import Individual
from lemonade_tf.executors import Executor
from lemonade_tf.latency import PROTOCOLS, WAYS, Measurement
from lemonade_tf.latency.task import MeasuringTask
from lemonade_tf.store import RunStore


class Measurements:
    """The measurements of a run: which are on record, and those that are missing.

    Args:
        store: The run folder.
        objectives: The names of the run's objectives; those that are no inference time are left
            out.
        protocol: How to measure: a name in `lemonade_tf.latency.PROTOCOLS`.
    """

    def __init__(self, store: RunStore, objectives: Iterable[str], protocol: str) -> None:
        self._store, self._protocol = store, protocol
        self._ways = [name for name in objectives if name in WAYS]
        lines = store.measurements.read() if self._ways else ()
        self._known = {(line["objective"], line["id"]) for line in lines}

    def take(self, executor: Executor, front: Iterable[Individual]) -> None:
        """Have the networks measured that were not, and put them on record.

        Args:
            executor: Its workers have nothing else to do.
            front: The networks.
        """
        front = list(front)
        for way in self._ways:
            new = [member for member in front if (way, member.id) not in self._known]
            if new:
                self._store.measurements.append(self._lines(executor, way, new))
                self._known |= {(way, member.id) for member in new}

    def _lines(
        self, executor: Executor, way: str, networks: Sequence[Individual]
    ) -> Iterator[dict[str, Any]]:
        graphs = tuple(to_json(member.graph.copy(weights=False)) for member in networks)
        [outcome] = executor.run([MeasuringTask(way, graphs, PROTOCOLS[self._protocol])])
        results: Sequence[Measurement | str] = [str(outcome.failure)] * len(networks)
        if outcome.failure is None:
            results = outcome.result.results
        for member, result in zip(networks, results, strict=True):
            measured = isinstance(result, Measurement)
            yield {
                "id": member.id,
                "objective": way,
                "foretold": member.cheap[way],
                "seconds": result.seconds if measured else None,
                "error": result.error if measured and result.num_passes > 1 else None,
                "num_passes": result.num_passes if measured else 0,
                "protocol": self._protocol,
                "failure": None if measured else result,
                "time": time.time(),
            }
