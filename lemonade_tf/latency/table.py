"""Measured inference times of a sample of networks, to which a latency model is fitted.

A table is valid for one runtime, one shape of images, one machine and one number of threads. A row
is a single layer or a whole network; its time is in seconds per image: that of a pass, divided by
the images of a batch.

In JSON a row is a line of text: the seconds, the `features` in the order of `columns`, and a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import Input, Shape, arguments
from lemonade_tf.errors import LemonadeError
from lemonade_tf.latency.features import FEATURES, features
from lemonade_tf.latency.protocol import Protocol
from lemonade_tf.latency.runtime import RUNTIMES, Runtime

FORMAT = 2
_COLUMNS = " ".join(("seconds", *FEATURES, "name"))


class TableError(LemonadeError, ValueError):
    """A latency table is malformed, or was measured under other conditions."""


@dataclass(frozen=True)
class Row:
    """A measured network.

    Attributes:
        name: A description; of a single layer "KIND(ARGUMENTS) of SHAPE".
        seconds: Seconds per image.
        features: The work of a pass, in the order of `FEATURES`.
    """

    name: str
    seconds: float
    features: tuple[float, ...]

    @property
    def is_layer(self) -> bool:
        """Whether the network is a single layer."""
        return not self.name.startswith("network")


def row_of(graph: Graph, seconds: float, runtime: Runtime) -> Row:
    """Return the row of a network with its seconds per image."""
    work = features(graph, folded=runtime.folds_layers, converted=runtime.converts_ends)
    return Row(_name(graph), seconds, tuple(map(float, work)))


def _name(graph: Graph) -> str:
    layers = [node for _, node in graph.items() if not isinstance(node.layer, Input)]
    if len(layers) > 1:
        parameters, multiply_adds = count_parameters(graph), count_multiply_adds(graph)
        return (
            f"network of {len(layers)} layers, {parameters:,} parameters and {multiply_adds:,}"
            " multiply-adds"
        )
    [node] = layers
    given = ", ".join(f"{k}={v}" for k, v in arguments(node.layer).items())
    shapes = " and ".join("x".join(map(str, graph.shapes()[i])) for i in node.inputs)
    return f"{type(node.layer).__name__}({given}) of {shapes}"


@dataclass(frozen=True)
class LatencyTable:
    """Measured inference times.

    Attributes:
        runtime: How the networks ran.
        input_shape: (height, width, channels) of the images of whole networks.
        protocol: How times were measured.
        threads: Threads per operation.
        rows: The measured networks.
        machine: A description of the machine.
        versions: Versions of the packages that ran the networks.
        seconds: The duration of all measurements.

    Raises:
        TableError: If there are no rows.
    """

    runtime: Runtime
    input_shape: Shape
    protocol: Protocol
    threads: int
    rows: Sequence[Row]
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.rows:
            raise TableError(
                f"the table of {self.runtime.name} has no rows; expected measured networks."
            )

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "format": FORMAT,
            "runtime": self.runtime.name,
            "unit": "seconds per image",
            "input_shape": list(self.input_shape),
            "protocol": self.protocol.as_json(),
            "threads": self.threads,
            "machine": self.machine,
            "versions": dict(self.versions),
            "seconds": self.seconds,
            "columns": _COLUMNS,
            "rows": [
                " ".join([repr(row.seconds), *(f"{v:.17g}" for v in row.features), row.name])
                for row in self.rows
            ],
        }

    @classmethod
    def from_json(cls, values: Any) -> LatencyTable:
        """Return the table that `as_json` converted.

        Raises:
            TableError: If the values are not a table, or have another format.
        """
        check_format(values)
        try:
            name = values["runtime"]
            if name not in RUNTIMES:
                raise TableError(f"runtime is {name!r}; expected one of {', '.join(RUNTIMES)}.")
            return cls(
                runtime=RUNTIMES[name],
                input_shape=tuple(values["input_shape"]),
                protocol=Protocol.from_json(values["protocol"]),
                threads=values["threads"],
                rows=tuple(map(_row, values["rows"])),
                machine=values["machine"],
                versions=values["versions"],
                seconds=values["seconds"],
            )
        except TableError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TableError(f"not a latency table of lemonade_tf: {error!r}") from None

    def check_conditions(self, input_shape: Shape, threads: int) -> None:
        """Check that the table was measured for these images and this number of threads.

        Raises:
            TableError: If it was not.
        """
        expected_threads = self.runtime.num_threads(threads)
        for subject, actual, expected in (
            ("images of", self.input_shape, tuple(input_shape)),
            ("threads:", self.threads, expected_threads),
        ):
            if actual != expected:
                raise TableError(
                    f"the table of {self.runtime.name} was measured with {subject} {actual}; the"
                    f" search has {subject} {expected}. Leave the table out to measure a new one."
                )


def check_format(values: Any) -> None:
    """Check that values are a table of this version of the format.

    Raises:
        TableError: If they are not.
    """
    try:
        found = (values["format"], values["columns"])
    except (KeyError, TypeError) as error:
        raise TableError(f"not a latency table of lemonade_tf: {error!r}") from None
    if found != (FORMAT, _COLUMNS):
        raise TableError(
            f"the latency table has format {found[0]!r}; expected {FORMAT}, with the columns"
            f" {_COLUMNS}. It was written by another version of lemonade_tf: measure a new one."
        )


def _row(line: str) -> Row:
    seconds, *work, name = line.split(" ", len(FEATURES) + 1)
    row = Row(name, float(seconds), tuple(map(float, work)))
    if not (0 < row.seconds < float("inf") and np.isfinite(row.features).all()):
        raise ValueError(f"a row has {row.seconds} seconds; expected more than 0: {line}")
    return row
