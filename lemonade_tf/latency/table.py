"""The measured times of some networks, from which those of others follow; plain JSON.

A *way* of running networks has a table of its own:

    latency        the Keras model, a batch at a time, on this machine's device, from raw pixels in
                   the host's memory to probabilities there (A.3)
    lite_latency   LiteRT, as on a phone: one image at a time, on one thread

Times are seconds an image: those of a pass, divided by the images of a batch. A row is a layer
alone, or a whole network. A table holds for images of one shape, on one machine, with one number
of threads.

In JSON a row is a line of text: the seconds, the `features` in the order of `columns`, and a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.layers import Input, Shape, arguments
from lemonade_tf.errors import LemonadeError
from lemonade_tf.latency.features import FEATURES, features
from lemonade_tf.latency.protocol import Protocol

FORMAT = 1
WAYS = ("latency", "lite_latency")


class TableError(LemonadeError, ValueError):
    """Something is not a latency table, or not one that holds here."""


@dataclass(frozen=True)
class Row:
    """A network that was measured.

    Attributes:
        name: What it is, in words; of a layer alone "KIND(ARGUMENTS) of SHAPE".
        seconds: Of an image.
        features: What it does in a pass: one number for each of `FEATURES`.
    """

    name: str
    seconds: float
    features: tuple[float, ...]

    @property
    def is_layer(self) -> bool:
        """Whether it is a layer alone."""
        return not self.name.startswith("network")


def row_of(graph: Graph, seconds: float, way: str) -> Row:
    """Return the row of a network that takes so many seconds an image."""
    done = features(graph, folded=way == "lite_latency")
    return Row(_name(graph), seconds, tuple(map(float, done)))


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
    """Measured times.

    Attributes:
        way: How networks were run; one of `WAYS`.
        input_shape: (height, width, channels) of the images of whole networks.
        protocol: How times were measured.
        threads: How many an operation could use; 1 for LiteRT.
        rows: What was measured.
        machine: In words, for people.
        versions: Of the packages that ran the networks.
        seconds: How long the measuring took.
    """

    way: str
    input_shape: Shape
    protocol: Protocol
    threads: int
    rows: Sequence[Row]
    machine: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.way not in WAYS:
            raise TableError(f"way is {self.way!r}; expected one of {', '.join(WAYS)}.")
        if not self.rows:
            raise TableError(f"the table of {self.way} has no row; expected measured networks.")

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "format": FORMAT,
            "way": self.way,
            "unit": "seconds an image",
            "input_shape": list(self.input_shape),
            "protocol": self.protocol.as_json(),
            "threads": self.threads,
            "machine": self.machine,
            "versions": dict(self.versions),
            "seconds": self.seconds,
            "columns": " ".join(("seconds", *FEATURES, "name")),
            "rows": [
                " ".join([repr(row.seconds), *(f"{v:.17g}" for v in row.features), row.name])
                for row in self.rows
            ],
        }

    @classmethod
    def from_json(cls, values: Any) -> LatencyTable:
        """Return what `as_json` returned.

        Raises:
            TableError: These are not the values of a table, or of another format.
        """
        check_format(values)
        try:
            return cls(
                way=values["way"],
                input_shape=tuple(values["input_shape"]),
                protocol=Protocol.from_json(values["protocol"]),
                threads=values["threads"],
                rows=tuple(map(_row, values["rows"])),
                machine=values["machine"],
                versions=values["versions"],
                seconds=values["seconds"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TableError(f"this is not a latency table of lemonade_tf: {error!r}") from None

    def check_holds(self, input_shape: Shape, threads: int) -> None:
        """Raise unless the table is for such images and so many threads.

        Raises:
            TableError: It is not; the message says what it is for.
        """
        measured = {"images of": self.input_shape, "threads:": self.threads}
        expected = {"images of": tuple(input_shape), "threads:": threads}
        if self.way == "lite_latency":
            del measured["threads:"]
        for what, value in measured.items():
            if value != expected[what]:
                raise TableError(
                    f"the table of {self.way} was measured with {what} {value}, and the search has"
                    f" {expected[what]}; leave the table out, so that one is measured."
                )


def check_format(values: Any) -> None:
    """Raise unless values are those of a table of this version of the package.

    Raises:
        TableError: They are not.
    """
    columns = " ".join(("seconds", *FEATURES, "name"))
    try:
        found = (values["format"], values["columns"])
    except (KeyError, TypeError) as error:
        raise TableError(f"this is not a latency table of lemonade_tf: {error!r}") from None
    if found != (FORMAT, columns):
        raise TableError(
            "the latency table is of another version of lemonade_tf (format"
            f" {found[0]!r}, expected {FORMAT}, with the columns {columns}); measure a new one."
        )


def _row(line: str) -> Row:
    seconds, *done, name = line.split(" ", len(FEATURES) + 1)
    row = Row(name, float(seconds), tuple(map(float, done)))
    if not (0 < row.seconds < float("inf") and np.isfinite(row.features).all()):
        raise ValueError(f"a row has {row.seconds} seconds; expected more than 0: {line}")
    return row
