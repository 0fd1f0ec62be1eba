"""Layers in messages: names like one that does not exist, and short lists of many layers."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

_FEW = 5  # layers are named without their kinds
_MAX_NAMES = 3  # of each kind
_MAX_KINDS = 5


def similar_names(name: str, known: Collection[str]) -> list[str]:
    """Return up to three names like one that does not exist, whatever their case."""
    by_lower: dict[str, list[str]] = {}
    for each in known:
        by_lower.setdefault(each.lower(), []).append(each)
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=3, cutoff=0.3)
    return [each for lower in close for each in by_lower[lower]][:3]


def kind_name(layer: object) -> str:
    """Return the class of a layer, for messages; of an opaque one, its class in Keras."""
    return getattr(layer, "kind", type(layer).__name__)


def listed(layers: Iterable[tuple[str, object]]) -> str:
    """Return the names of layers; of many, by kind, with their number and the first names.

    Args:
        layers: Pairs of a name and a layer.
    """
    layers = list(layers)
    return ", ".join(name for name, _ in layers) if len(layers) <= _FEW else listed_by_kind(layers)


def listed_by_kind(layers: Iterable[tuple[str, object]]) -> str:
    """Return the kinds of layers, with their number and the first names.

    Args:
        layers: Pairs of a name and a layer.
    """
    by_kind: dict[str, list[str]] = {}
    for name, layer in layers:
        by_kind.setdefault(kind_name(layer), []).append(name)
    ranked = sorted(by_kind.items(), key=lambda item: -len(item[1]))
    parts = []
    for kind, some in ranked[:_MAX_KINDS]:
        more = ", ..." if len(some) > _MAX_NAMES else ""
        parts.append(f"{len(some)} {kind} ({', '.join(some[:_MAX_NAMES])}{more})")
    rest = sum(len(some) for _, some in ranked[_MAX_KINDS:])
    return ", ".join(parts) + (f" and {rest} of other kinds" if rest else "")
