"""What the networks of a front take to infer, as measured, beside what was foretold.

A search minimises the inference time that is foretold (see `objectives.inference_time`). When a
generation is over, and nothing else runs, one worker measures the networks that have come to the
front, one after the other, each once. A network that cannot be run, or whose worker dies of it, is
put on record with the reason; the search goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from lemonade_tf.architecture.text import to_json
from lemonade_tf.evolution import Individual
from lemonade_tf.executors import Executor
from lemonade_tf.latency.measuring_task import MeasuringTask
from lemonade_tf.latency.protocol import PROTOCOLS, Measurement
from lemonade_tf.latency.runtime import RUNTIMES
from lemonade_tf.store import MeasurementRecord, RunStore


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
        self._ways = [name for name in objectives if name in RUNTIMES]
        records = store.measurements.read() if self._ways else ()
        self._known = {(record.objective, record.id) for record in records}

    def take(
        self,
        executor: Executor,
        front: Iterable[Individual],
        has_to_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Have the networks measured that were not, and put each on record as it is.

        Args:
            executor: Its workers have nothing else to do.
            front: The networks.
            has_to_stop: Asked before each; what is left is measured another time.
        """
        front = list(front)
        for way in self._ways:
            for network in front:
                if (way, network.id) in self._known:
                    continue
                if has_to_stop():
                    return
                self._store.measurements.append([self._measure(executor, way, network)])
                self._known.add((way, network.id))

    def _measure(self, executor: Executor, way: str, network: Individual) -> MeasurementRecord:
        graph = to_json(network.architecture.copy(weights=False))
        [outcome] = executor.run(
            [MeasuringTask(RUNTIMES[way], (graph,), PROTOCOLS[self._protocol])]
        )
        result: Measurement | str = str(outcome.failure)
        if outcome.failure is None:
            [result] = outcome.result.results
        measured = isinstance(result, Measurement)
        return MeasurementRecord(
            id=network.id,
            objective=way,
            predicted=network.cheap[way],
            measured=result.seconds if measured else None,
            standard_error=result.standard_error if measured and result.num_passes > 1 else None,
            num_passes=result.num_passes if measured else 0,
            protocol=self._protocol,
            failure=None if measured else result,
            timestamp=time.time(),
        )
