"""What a worker is asked to measure, and what it answers, as plain values; needs no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lemonade_tf.latency.protocol import DEFAULT, Measurement, Protocol


@dataclass(frozen=True)
class MeasuringTask:
    """Networks whose inference time is to be measured; see `measuring`.

    Attributes:
        way: How they are run: one of `lemonade_tf.latency.table.WAYS`.
        networks: JSON of `architecture.text`, of each.
        protocol: How to measure a time.
        rounds: How often each is measured; the shortest time counts.
    """

    way: str
    networks: tuple[str, ...]
    protocol: Protocol = DEFAULT
    rounds: int = 1


@dataclass(frozen=True)
class Measured:
    """The inference times of networks.

    Attributes:
        results: For each network, the time of an image, or why there is none, in one line.
        machine: Where, in words.
        versions: Of the packages that ran the networks.
        seconds: How long the measuring took.
    """

    results: tuple[Measurement | str, ...]
    machine: str
    versions: Mapping[str, str]
    seconds: float
