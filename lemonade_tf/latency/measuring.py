"""Measure the inference times of networks in this process.

Several networks are measured in rounds of alternating order, and the shortest time of each counts:
other jobs of the machine make a measurement longer, never shorter.

Keras is loaded when the first network is built.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version

import numpy as np

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import ConvexSum
from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.latency.measuring_task import Measured, MeasuringTask
from lemonade_tf.latency.protocol import TABLE, Measurement, Protocol, measure
from lemonade_tf.latency.runtime import Pass, Runtime
from lemonade_tf.latency.sample import (
    CHANNELS,
    NUM_NETWORKS,
    Propose,
    sample_layers,
    sample_networks,
)
from lemonade_tf.latency.table import LatencyTable, TableError, row_of
from lemonade_tf.operators.initial import initial_weights

_VERSIONED = ("keras", "tensorflow", "numpy")
_TABLE_ROUNDS = 2


def measure_table(
    runtime: Runtime,
    initial: Sequence[Graph],
    propose: Propose,
    *,
    num_classes: int,
    threads: int,
    rng: np.random.Generator,
    protocol: Protocol = TABLE,
    channels: Sequence[int] = CHANNELS,
    num_networks: int = NUM_NETWORKS,
    on_progress: Callable[[int, int], None] | None = None,
) -> LatencyTable:
    """Measure a table; it takes half a minute for images of 8x8 or 32x32 pixels on an idle CPU.

    For images of 64x64 pixels and larger networks, it takes several minutes.

    Args:
        runtime: How networks run.
        initial: The initial networks of the search.
        propose: Returns a child of a graph and more, or None: `SearchSpace.propose`.
        num_classes: The number of classes.
        threads: Threads per operation of this process; recorded in the table.
        rng: Draws networks.
        protocol: How to measure a time.
        channels: The numbers of channels of single layers.
        num_networks: The number of whole networks.
        on_progress: As for `measure_networks`.

    Raises:
        TableError: If every measurement failed.
    """
    input_shape = initial[0].shapes()[initial[0].input]
    largest = max(map(count_multiply_adds, initial))
    graphs = sample_layers(input_shape, num_classes, max_multiply_adds=largest, channels=channels)
    graphs += sample_networks(initial, propose, rng=rng, number=num_networks)
    task = MeasuringTask(runtime, tuple(map(to_json, graphs)), protocol, _TABLE_ROUNDS)
    measured = measure_networks(task, on_progress)
    results = zip(graphs, measured.results, strict=True)
    rows = tuple(row_of(g, m.seconds, runtime) for g, m in results if isinstance(m, Measurement))
    if not rows:
        raise TableError(
            f"no network could be measured for {runtime.name}; the first failed with"
            f" {measured.results[0]}"
        )
    return LatencyTable(
        runtime,
        input_shape,
        protocol,
        runtime.num_threads(threads),
        rows,
        measured.machine,
        measured.versions,
        measured.seconds,
    )


def measure_networks(
    task: MeasuringTask, on_progress: Callable[[int, int], None] | None = None
) -> Measured:
    """Measure the inference times of networks; a network that fails has its failure as result.

    Args:
        task: The networks.
        on_progress: Called before the first and after each measurement with the number of
            measurements that are done, and of all.
    """
    start = time.perf_counter()
    builders = [
        partial(_build, from_json(text), task.runtime, task.protocol) for text in task.networks
    ]
    results = measure_passes(builders, task.protocol, rounds=task.rounds, on_progress=on_progress)
    images = task.runtime.batch_size(task.protocol)
    return Measured(
        results=tuple(per_image(result, images) for result in results),
        machine=_machine(),
        versions={name: version(name) for name in _VERSIONED},
        seconds=time.perf_counter() - start,
    )


def _build(graph: Graph, runtime: Runtime, protocol: Protocol) -> Pass:
    return build_pass(graph, runtime, protocol)


def measure_passes(
    builders: Sequence[Callable[[], Pass]],
    protocol: Protocol,
    *,
    rounds: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Measurement | str]:
    """Return the shortest of several times of each pass, or the reason why there is none.

    Args:
        builders: Functions that build a network and return a pass of it; called once each.
        protocol: How to measure a time.
        rounds: How many times each pass is measured.
        on_progress: As for `measure_networks`.
    """
    networks = [_Network(build, protocol) for build in builders]
    num_done, num_all = 0, rounds * len(networks)
    if on_progress is not None:
        on_progress(num_done, num_all)
    for number in range(rounds):
        for network in networks if number % 2 == 0 else reversed(networks):
            network.measure_round(is_last=number == rounds - 1)
            num_done += 1
            if on_progress is not None:
                on_progress(num_done, num_all)
    return [network.result() for network in networks]


def per_image(result: Measurement | str, images: int) -> Measurement | str:
    """Return a measurement per image of one per pass; a failure stays as it is."""
    if isinstance(result, str):
        return result
    return replace(result, seconds=result.seconds / images)


class _Network:
    """A network that is built once and measured several times.

    Args:
        build: Builds it, and returns a pass.
        protocol: How to measure it.
    """

    def __init__(self, build: Callable[[], Pass], protocol: Protocol) -> None:
        self._build, self._protocol = build, protocol
        self._pass: Pass | None = None
        self._times: list[Measurement] = []
        self._failure: str | None = None

    def measure_round(self, *, is_last: bool) -> None:
        """Measure the network unless it has failed; release the model after the last round."""
        if self._failure is not None:
            return
        try:
            if self._pass is None:
                self._pass = self._build()
            self._times.append(measure(self._pass, self._protocol))
        except Exception as error:  # LiteRT and TensorFlow raise many types
            self._failure = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if is_last or self._failure is not None:
            self._pass = None

    def result(self) -> Measurement | str:
        """Return the shortest time, or the failure."""
        if self._failure is not None:
            return self._failure
        return min(self._times, key=lambda measured: measured.seconds)


def build_pass(graph: Graph, runtime: Runtime, protocol: Protocol) -> Pass:
    """Return a function that runs a network once.

    Args:
        graph: The network; only its shapes are used.
        runtime: How it runs.
        protocol: Sets the batch size.

    Raises:
        LiteError: If LiteRT cannot convert or run the network.
    """
    from lemonade_tf.backends.current import current_backend

    # The time does not depend on the weights, with one exception: LiteRT removes a term of a convex
    # sum whose factor lambda is 0.
    weighted = initial_weights(graph, rng=np.random.default_rng(0))
    for name, node in graph.items():
        if isinstance(node.layer, ConvexSum):
            weighted.set_weights(name, {"lambda": np.array(0.3, np.float32)})
    shape = (runtime.batch_size(protocol), *graph.shapes()[graph.input])
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return runtime.compile(current_backend(), weighted, images)


def _machine() -> str:
    """Return the name of the processor and the number of CPUs."""
    model = platform.processor() or platform.machine()
    with suppress(OSError), open("/proc/cpuinfo") as file:  # on Linux
        names = [line.partition(":")[2] for line in file if line.startswith("model name")]
        model = names[0].strip() if names else model
    return f"{model}, {os.cpu_count()} CPUs"
