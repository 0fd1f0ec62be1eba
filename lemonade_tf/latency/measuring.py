"""How long networks take, measured in this process: as Keras models, and in LiteRT.

Weights are drawn, since the time does not depend on them; only lambda of a convex sum is not 0,
which LiteRT would leave out. Several networks are measured in rounds, forth and back, and the
shortest of a network's times counts: what else the machine does for some seconds makes times
longer, never shorter.

Keras is loaded when something is measured, and not before.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.architecture.layers import ConvexSum
from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.latency.measuring_task import Measured, MeasuringTask
from lemonade_tf.latency.protocol import TABLE, Measurement, Protocol, measure
from lemonade_tf.latency.sample import (
    CHANNELS,
    NUM_NETWORKS,
    Propose,
    sample_layers,
    sample_networks,
)
from lemonade_tf.latency.table import WAYS, LatencyTable, TableError, row_of
from lemonade_tf.operators.initial import initial_weights

_VERSIONED = ("keras", "tensorflow", "numpy")
_ROUNDS = 2  # of a table


def measure_table(
    way: str,
    initial: Sequence[Graph],
    propose: Propose,
    *,
    num_classes: int,
    threads: int,
    rng: np.random.Generator,
    protocol: Protocol = TABLE,
    channels: Sequence[int] = CHANNELS,
    num_networks: int = NUM_NETWORKS,
) -> LatencyTable:
    """Measure a table; half a minute for images of 8x8 or 32x32 pixels on an idle CPU.

    Args:
        way: How networks are run: one of `WAYS`.
        initial: The networks that a search begins with.
        propose: Returns a child of a graph and more, or None: `SearchSpace.propose`.
        num_classes: How many classes the networks tell.
        threads: How many threads this process lets an operation use; to be noted.
        rng: Draws networks.
        protocol: How to measure a time.
        channels: How many channels layers have.
        num_networks: How many whole networks to measure.

    Raises:
        TableError: No network could be measured; the message says why.
    """
    input_shape = initial[0].shapes()[initial[0].input]
    most = max(map(count_multiply_adds, initial))
    graphs = sample_layers(input_shape, num_classes, most_multiply_adds=most, channels=channels)
    graphs += sample_networks(initial, propose, rng=rng, number=num_networks)
    task = MeasuringTask(way, tuple(map(to_json, graphs)), protocol, _ROUNDS)
    measured = measure_networks(task)
    found = zip(graphs, measured.results, strict=True)
    rows = tuple(row_of(g, m.seconds, way) for g, m in found if isinstance(m, Measurement))
    if not rows:
        raise TableError(f"no network could be measured for {way}: {measured.results[0]}")
    return LatencyTable(
        way,
        input_shape,
        protocol,
        1 if way == "lite_latency" else threads,
        rows,
        measured.machine,
        measured.versions,
        measured.seconds,
    )


def measure_networks(task: MeasuringTask) -> Measured:
    """Return how long networks take; one that cannot be run has a failure instead."""
    start = time.perf_counter()
    graphs = [from_json(text) for text in task.networks]
    networks = [_Network(graph, task) for graph in graphs]
    for number in range(task.rounds):
        for network in networks if number % 2 == 0 else reversed(networks):
            network.take_turn(last=number == task.rounds - 1)
    return Measured(
        results=tuple(network.result() for network in networks),
        machine=_machine(),
        versions={name: version(name) for name in _VERSIONED},
        seconds=time.perf_counter() - start,
    )


class _Network:
    """A network that is measured several times, and built once."""

    def __init__(self, graph: Graph, task: MeasuringTask) -> None:
        self._graph, self._task = graph, task
        self._pass: Callable[[], Any] | None = None
        self._times: list[Measurement] = []
        self._failure: str | None = None

    def take_turn(self, *, last: bool) -> None:
        """Measure it, unless it failed before; after the last time, give back what it needs."""
        if self._failure is not None:
            return
        try:
            if self._pass is None:
                self._pass = pass_of(self._graph, self._task.way, self._task.protocol.batch_size)
            self._times.append(measure(self._pass, self._task.protocol))
        except Exception as error:  # of whatever type LiteRT or TensorFlow raises
            self._failure = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if last or self._failure is not None:
            self._pass = None

    def result(self) -> Measurement | str:
        """Return the shortest time, of an image, or why there is none."""
        if self._failure is not None:
            return self._failure
        best = min(self._times, key=lambda measured: measured.seconds)
        images = self._task.protocol.batch_size if self._task.way == "latency" else 1
        return Measurement(best.seconds / images, best.num_passes, best.error)


def pass_of(graph: Graph, way: str, batch_size: int) -> Callable[[], Any]:
    """Return a pass of a network, to be called: on a batch of images, or in LiteRT on one.

    Args:
        graph: The network; only its shapes are used.
        way: One of `WAYS`.
        batch_size: Images of a pass, for `latency`.

    Raises:
        ValueError: The way is not known.
        LiteError: LiteRT cannot run the network.
    """
    if way not in WAYS:
        raise ValueError(f"way is {way!r}; expected one of {', '.join(WAYS)}.")
    weighted = _weighted(graph)
    size = batch_size if way == "latency" else 1
    shape = (size, *graph.shapes()[graph.input])
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    if way == "latency":
        from lemonade_tf.backends.inference_tensorflow import pass_over
        from lemonade_tf.keras_bridge.graph_to_model import to_keras

        return pass_over(to_keras(weighted), images)
    from lemonade_tf.backends.lite_tensorflow import LiteModel, to_lite

    model = LiteModel(to_lite(weighted))
    model.set_image(images[0].astype(np.float32))
    return model.run


def _weighted(graph: Graph) -> Graph:
    weighted = initial_weights(graph, rng=np.random.default_rng(0))
    for name, node in graph.items():
        if isinstance(node.layer, ConvexSum):
            weighted.set_weights(name, {"lambda": np.float32(0.3)})
    return weighted


def _machine() -> str:
    """Return what the machine is, in words."""
    model = platform.processor() or platform.machine()
    with suppress(OSError), open("/proc/cpuinfo") as file:  # on Linux
        names = [line.partition(":")[2] for line in file if line.startswith("model name")]
        model = names[0].strip() if names else model
    return f"{model}, {os.cpu_count()} CPUs"
