"""A network as a table for readers: one line per node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from lemonade_tf.architecture.layer import Layer, Shape, arguments

# name, layer, inputs, shape of the output and number of parameters; None where unknown
Row = tuple[str, Layer, tuple[str, ...], Shape | None, int | None]


def summary_table(rows: Sequence[Row], max_rows: int | None = None) -> str:
    """Return aligned lines of name, layer, output shape, number of parameters and inputs.

    Args:
        rows: One per node.
        max_rows: Leaves out nodes in the middle if there are more; None shows all.
    """
    cells = [
        (
            name,
            describe_layer(layer),
            "?" if shape is None else "x".join(map(str, shape)),
            "?" if parameters is None else f"{parameters:,}",
            f"  <- {', '.join(inputs)}" if inputs else "",
        )
        for name, layer, inputs, shape, parameters in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}{inputs}"
        for a, b, c, d, inputs in cells
    ]
    if max_rows is not None and len(lines) > max_rows:
        first = (max_rows + 1) // 2
        left_out = f"... {len(lines) - max_rows} more nodes ..."
        lines = [*lines[:first], left_out, *lines[len(lines) - max_rows + first :]]
    return "\n".join(lines)


def describe_layer(layer: Layer) -> str:
    """Return a layer as in its constructor, without the arguments that have their defaults."""
    values, shown = arguments(layer), []
    for field in fields(layer):
        value = values[field.name]
        is_default = value == field.default
        if field.name == "strides" and "pool_size" in values:  # pooling: the default is pool_size
            is_default = value == values["pool_size"]
        if not is_default:
            is_square = isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]
            shown.append(f"{field.name}={value[0] if is_square else value}")
    return f"{type(layer).__name__}({', '.join(shown)})"
