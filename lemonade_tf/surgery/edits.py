"""The edits of a surgery, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters, uncounted_layers
from lemonade_tf.architecture.layer_lists import listed
from lemonade_tf.inheritance.activations import Images
from lemonade_tf.operators import Change
from lemonade_tf.surgery.output_change import output_change
from lemonade_tf.surgery.shrinking import producers


@dataclass(frozen=True)
class Edit:
    """An edit, and what the network cost after it."""

    text: str
    parameters: int
    multiply_adds: int

    @classmethod
    def of(cls, text: str, graph: Graph) -> Edit:
        """Return an edit that ended in a network."""
        return cls(text, count_parameters(graph), count_multiply_adds(graph))


def edits_table(original: Graph, graph: Graph, edits: Sequence[Edit], images: Images | None) -> str:
    """Return all edits, with parameters and multiply-adds after each, and what changed.

    Args:
        original: The original network.
        graph: The edited one.
        edits: The edits between them.
        images: Images on which to compare their outputs; None for random numbers.
    """
    rows = [("", "parameters", "multiply-adds")]
    first = Edit.of("original model", original)
    rows += [(e.text, f"{e.parameters:,}", f"{e.multiply_adds:,}") for e in (first, *edits)]
    last = (edits or [first])[-1]
    parameters = last.parameters / max(first.parameters, 1)
    multiply_adds = last.multiply_adds / max(first.multiply_adds, 1)
    rows.append(("of the original model", f"{parameters:.1%}", f"{multiply_adds:.1%}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in rows]
    opaque = uncounted_layers(graph)
    if opaque:
        kinds = listed((name, graph[name].layer) for name in opaque)
        lines.append(f"multiply-adds of {len(opaque)} unknown layers are not counted: {kinds}")
    if edits:
        lines.append(f"change of the output: {output_change(original, graph, images)}")
    return "\n".join(lines)


def described(what: str, before: Graph, after: Graph, change: Change) -> str:
    """Return what an edit did, with the numbers of filters that it changed."""
    old, new = before.shapes(), after.shapes()
    resized = [
        f"{n} {old[n][-1]} to {new[n][-1]}"
        for n in producers(after)
        if n in old and n not in change.new_nodes and old[n][-1] != new[n][-1]
    ]
    return f"{what}: {shortened(resized, 2)}" if resized else what


def narrowed(before: Graph, after: Graph) -> dict[str, str]:
    """Return the layers that have fewer filters than before, and a description of each."""
    old, new = before.shapes(), after.shapes()
    return {
        n: f"{n} {old[n][-1]} to {new[n][-1]}"
        for n in producers(after)
        if n in old and new[n][-1] < old[n][-1]
    }


def shortened(items: Sequence[str], number: int) -> str:
    """Return the first items, and how many there are more."""
    more = f" and {len(items) - number} more" if len(items) > number else ""
    return f"{', '.join(items[:number])}{more}"
