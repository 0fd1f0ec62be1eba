"""The task of measuring networks and its result, as plain values that need no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lemonade_tf.latency.protocol import DEFAULT, Measurement, Protocol
from lemonade_tf.latency.runtime import Runtime


@dataclass(frozen=True)
class MeasuringTask:
    """Networks whose inference time a worker measures; see `measuring`.

    Attributes:
        runtime: How the networks run.
        networks: Each network, as JSON of `architecture.text`.
        protocol: How to measure a time.
        rounds: How many times each network is measured; the shortest time counts.
    """

    runtime: Runtime
    networks: tuple[str, ...]
    protocol: Protocol = DEFAULT
    rounds: int = 1


@dataclass(frozen=True)
class Measured:
    """Measured inference times.

    Attributes:
        results: The time per image of each network, or the reason why there is none, in one line.
        machine: A description of the machine.
        versions: Versions of the packages that ran the networks.
        seconds: The duration of all measurements.
    """

    results: tuple[Measurement | str, ...]
    machine: str
    versions: Mapping[str, str]
    seconds: float
