"""Measure the inference times of the networks on the front, in addition to the predicted times.

A search minimizes the predicted inference time (see `objectives.inference_time`). After each
generation, when nothing else runs, one worker measures the networks that are new on the front, one
after the other. If a network cannot be run, or its worker crashes, the failure is recorded and the
search continues.
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
    """Takes the measurements of a run that are missing.

    Args:
        store: The run folder.
        objectives: The names of its objectives; those that are not inference times are ignored.
        protocol: The measuring protocol: a name in `lemonade_tf.latency.PROTOCOLS`.
    """

    def __init__(self, store: RunStore, objectives: Iterable[str], protocol: str) -> None:
        self._store, self._protocol = store, protocol
        self._runtimes = [name for name in objectives if name in RUNTIMES]
        records = store.measurements.read() if self._runtimes else ()
        self._recorded = {(record.objective, record.id) for record in records}

    def take(
        self,
        executor: Executor,
        front: Iterable[Individual],
        stop_when: Callable[[], bool] = lambda: False,
    ) -> None:
        """Measure the networks that have no record yet, and record each.

        Args:
            executor: Its workers have nothing else to do.
            front: The networks.
            stop_when: Called before each measurement; True leaves the rest for later.
        """
        front = list(front)
        for runtime in self._runtimes:
            for network in front:
                if (runtime, network.id) in self._recorded:
                    continue
                if stop_when():
                    return
                record = self._measure(executor, runtime, network)
                if record is None:
                    return
                self._store.measurements.append([record])
                self._recorded.add((runtime, network.id))

    def _measure(
        self, executor: Executor, runtime: str, network: Individual
    ) -> MeasurementRecord | None:
        """Measure a network; return None if the time of the search is over."""
        graph = to_json(network.architecture.copy(weights=False))
        task = MeasuringTask(RUNTIMES[runtime], (graph,), PROTOCOLS[self._protocol])
        outcomes = list(executor.run([task]))
        if not outcomes:
            return None
        [outcome] = outcomes
        result: Measurement | str = str(outcome.failure)
        if outcome.failure is None:
            [result] = outcome.result.results
        shared = {
            "id": network.id,
            "objective": runtime,
            "predicted": network.cheap[runtime],
            "protocol": self._protocol,
            "timestamp": time.time(),
        }
        if not isinstance(result, Measurement):
            return MeasurementRecord(
                measured=None, standard_error=None, num_passes=0, failure=result, **shared
            )
        return MeasurementRecord(
            measured=result.seconds,
            standard_error=result.standard_error if result.num_passes > 1 else None,
            num_passes=result.num_passes,
            failure=None,
            **shared,
        )
