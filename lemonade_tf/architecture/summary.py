"""A network as a table for readers: one line per node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from lemonade_tf.architecture.layer import Layer, Shape, arguments

# name, layer, inputs, shape of the output and number of parameters; None where unknown
Row = tuple[str, Layer, tuple[str, ...], Shape | None, int | None]


def network_summary(
    nodes: Mapping[str, Any],
    names: Sequence[str],
    shapes: Mapping[str, Shape],
    problem: str,
    max_rows: int | None,
) -> str:
    """Return a heading and the table of a network.

    Args:
        nodes: Its nodes.
        names: Their names, in the order of the table.
        shapes: The shapes of their outputs; empty for a broken network.
        problem: What is wrong with it, for the heading; empty if nothing is.
        max_rows: As for `summary_table`.
    """
    rows: list[Row] = []
    for name in names:
        layer, inputs = nodes[name].layer, nodes[name].inputs
        parameters = layer.num_parameters(*[shapes[i] for i in inputs]) if shapes else None
        rows.append((name, layer, inputs, shapes.get(name), parameters))
    total = sum(parameters or 0 for *_, parameters in rows)
    count = "" if problem else f", {total:,} parameters"
    header = f"Graph: {len(nodes)} layers{count}{problem}"
    return "\n".join([header, summary_table(rows, max_rows)] if rows else [header])


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
        left_out = f"... {len(lines) - max_rows} more layers ..."
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
