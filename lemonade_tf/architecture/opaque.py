"""Nodes of imported models that no kind of layer describes.

A layer or an operation of unknown kind becomes an `Opaque` node: it computes what it did, and no
change of channels or sizes crosses it, unless it treats each value by itself (`Pointwise`).
Networks of a search have none of these nodes, so they are not among LAYERS and cannot be saved in
the files of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lemonade_tf.architecture.layer import Layer, Shape, ShapeError


@dataclass(frozen=True)
class Opaque(Layer):
    """A layer or an operation that is carried as it is.

    Attributes:
        kind: The name of its class.
        key: Distinguishes it from others of the same class in its model.
        input_shapes: The shapes of its inputs. Sizes that are unknown until it runs count as 1.
        shapes: The shapes of its outputs. The node has that of the first; nodes with the layer
            `Part` stand for the single outputs if there are several.
        weights: The name and the shape of each weight.
    """

    kind: str
    key: str
    input_shapes: tuple[Shape, ...]
    shapes: tuple[Shape, ...]
    weights: tuple[tuple[str, Shape], ...] = ()
    num_inputs: ClassVar[int | None]  # that of the object

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_inputs", len(self.input_shapes))

    def output_shape(self, *inputs: Shape) -> Shape:
        if inputs != self.input_shapes:
            raise ShapeError(
                f"{self.kind} is carried as it is and got inputs of shapes"
                f" {', '.join(map(str, inputs))}; expected"
                f" {', '.join(map(str, self.input_shapes))}, as in the model."
            )
        return self.shapes[0]

    def weight_shapes(self, *inputs: Shape) -> Mapping[str, Shape]:
        return dict(self.weights)


@dataclass(frozen=True)
class Pointwise(Opaque):
    """An opaque layer that treats each value by itself: it passes on any channels and sizes."""

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]


@dataclass(frozen=True)
class Part(Layer):
    """One of several outputs of an Opaque node.

    Attributes:
        index: Which of them.
        shape: Its shape.
    """

    index: int
    shape: Shape

    def output_shape(self, *inputs: Shape) -> Shape:
        return self.shape


@dataclass(frozen=True)
class Outputs(Layer):
    """Collects the outputs of a network that has several. It computes nothing."""

    num_inputs: ClassVar[int | None] = None

    def output_shape(self, *inputs: Shape) -> Shape:
        return inputs[0]


IMPORTED_LAYERS: tuple[type[Layer], ...] = (Opaque, Pointwise, Part, Outputs)
