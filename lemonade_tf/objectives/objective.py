"""Objectives by name; all are minimised."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters


@dataclass(frozen=True)
class Objective:
    """A number that a search minimises.

    Attributes:
        name: As in files, tables and options.
        scale: On which scale differences count: "log" where factors matter (section 5.1 takes the
            logarithm of the number of parameters), else "linear". The density, the hypervolume
            and the axes of plots follow it.
        compute: The value of a graph, for a cheap objective; None for an expensive one.
    """

    name: str
    scale: Literal["log", "linear"]
    compute: Callable[[Graph], float] | None = None

    @property
    def cheap(self) -> bool:
        """Whether the graph alone determines it."""
        return self.compute is not None


ERROR = Objective("error", "linear")
PARAMETERS = Objective("parameters", "log", count_parameters)
MULTIPLY_ADDS = Objective("multiply_adds", "log", count_multiply_adds)
OBJECTIVES = (ERROR, PARAMETERS, MULTIPLY_ADDS)


def objectives_named(names: Iterable[str]) -> tuple[Objective, ...]:
    """Return the objectives of these names.

    Raises:
        ValueError: A name is unknown or occurs twice, no objective is cheap, or `error` is missing.
    """
    names = tuple(names)
    by_name = {objective.name: objective for objective in OBJECTIVES}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(
            f"unknown objective {', '.join(map(repr, unknown))}; known are {', '.join(by_name)}."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"objectives {','.join(names)}: one is named twice.")
    found = tuple(by_name[name] for name in names)
    if ERROR not in found or not any(objective.cheap for objective in found):
        raise ValueError(
            f"objectives {','.join(names)}: expected error and at least one cheap objective, such"
            " as parameters."
        )
    return found
