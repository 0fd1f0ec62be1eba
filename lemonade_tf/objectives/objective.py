"""What an objective is: a number that a search minimises, and how to come by it.

The paper splits the objectives in two (section 4). A *cheap* one is a function of the graph; the
search uses it to decide which children to train. An *expensive* one is a function of the trained
network. One of your own is ten lines in a module that can be imported, here energy.py:

    from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
    from lemonade_tf.objectives import Objective

    def energy(graph):
        return 4.6e-12 * count_multiply_adds(graph) + 640e-12 * count_parameters(graph)

    ENERGY = Objective("energy", "log", compute=energy, unit="J")

and is asked for as `--objectives error,energy:ENERGY`. By this text the processes that train find
it, too, and whoever reads the run later; a function is never pickled.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from numbers import Integral, Real
from typing import Any, Literal

from lemonade_tf.architecture import Graph
from lemonade_tf.errors import LemonadeError
from lemonade_tf.objectives.prepare_context import PrepareContext
from lemonade_tf.objectives.trained_network import TrainedNetwork

Scale = Literal["log", "linear"]
SCALES = ("log", "linear")
_COLUMNS = ("id", "file", "test_error")  # of front.csv, beside the objectives
_MANY = 10.0  # the reference is so many times the largest initial network


class ObjectiveError(LemonadeError, ValueError):
    """An objective is not known, makes no sense, or gave no number; the message names it."""


@dataclass(frozen=True)
class Objective:
    """A number that a search minimises.

    Attributes:
        name: As in files, tables and options: a Python name.
        scale: On which scale differences count: "log" where factors matter (section 5.1 takes the
            logarithm of the number of parameters), else "linear". The density, the hypervolume
            and the axes of plots follow it. On "log", values must be more than 0.
        compute: The value of a graph, for a cheap objective; None for an expensive one. It is
            asked of every proposed child, so it should take milliseconds, and may depend on the
            layers and shapes only: there are no weights yet.
        measure: The value of a trained network, for an expensive objective; None for a cheap one.
            Called in the process that trained it. Keras is loaded there, and nowhere else: import
            it inside of the function.
        unit: How values are shown: "fraction" as percent; else "s" for seconds, "B" for bytes, or
            any other unit without a prefix, such as "J", which is given one: 1.2 mJ.
        reference: Of the hypervolume: a value that no good network comes near to, or a function
            that gives it for a number of classes. By default 1 for a fraction, and ten times the
            largest initial network for what is cheap; other objectives have to say it.
        prepare: Of a cheap objective that has to find something out first, on this machine or with
            Keras: called once before the search, in a process that trains; returns plain JSON,
            which the run folder keeps. Such an objective has `compute(graph, prepared)`.

    Raises:
        ObjectiveError: The arguments do not fit each other.
    """

    name: str
    scale: Scale
    compute: Callable[..., float] | None = None
    measure: Callable[[TrainedNetwork], float] | None = None
    unit: str = ""
    reference: float | Callable[[int], float] | None = None
    prepare: Callable[[PrepareContext], Any] | None = None

    def __post_init__(self) -> None:
        self._check_words()
        self._check_functions()
        if self.unit == "fraction" and self.reference is None:
            object.__setattr__(self, "reference", 1.0)
        self._check_reference()

    def _check_words(self) -> None:
        if not str(self.name).isidentifier() or self.name in _COLUMNS:
            raise ObjectiveError(
                f"an objective is called {self.name!r}; expected a name of letters, digits and _"
                f" that is none of {', '.join(_COLUMNS)}."
            )
        if self.scale not in SCALES:
            raise ObjectiveError(
                f"the objective {self.name!r} has the scale {self.scale!r}; expected one of"
                f" {', '.join(map(repr, SCALES))}."
            )
        if not isinstance(self.unit, str) or " " in self.unit or not self.unit.isprintable():
            raise ObjectiveError(
                f"the objective {self.name!r} has the unit {self.unit!r}; expected one word, such"
                ' as "s", or "".'
            )
        if self.unit == "fraction" and self.scale == "log":
            raise ObjectiveError(
                f"the objective {self.name!r} is a fraction on a log scale; a fraction may be 0,"
                ' which has no logarithm: expected scale "linear".'
            )

    def _check_functions(self) -> None:
        if (self.compute is None) == (self.measure is None):
            raise ObjectiveError(
                f"the objective {self.name!r} has {'neither' if self.compute is None else 'both'}"
                " compute and measure; expected compute=, a function of a graph, if it is cheap,"
                " or measure=, a function of a trained network."
            )
        if self.prepare is not None and not self.cheap:
            raise ObjectiveError(
                f"the objective {self.name!r} has prepare and measure; only a cheap objective can"
                " be prepared."
            )

    def _check_reference(self) -> None:
        if not self.cheap and self.reference is None:
            raise ObjectiveError(
                f"the objective {self.name!r} is measured and has no reference; expected"
                " reference=, a value that no good network comes near to, which the hypervolume"
                " refers to."
            )
        if self.reference is not None and not callable(self.reference):
            self._number(self.reference)

    @property
    def cheap(self) -> bool:
        """Whether the graph alone determines it."""
        return self.compute is not None

    def with_prepared(self, prepared: Any) -> Objective:
        """Return the objective that computes with what its `prepare` found out."""
        return replace(self, compute=partial(_with, self.compute, prepared), prepare=None)

    def value(self, graph: Graph) -> float:
        """Return the value of a graph.

        Raises:
            ObjectiveError: `compute` raised an exception, or gave no number that the scale takes.
        """
        return self._checked(self.compute, graph)

    def measured(self, trained: TrainedNetwork) -> float:
        """Return the value of a trained network.

        Raises:
            ObjectiveError: `measure` raised an exception, or gave no number that the scale takes.
        """
        return self._checked(self.measure, trained)

    def reference_value(self, initial: Sequence[Graph], num_classes: int) -> float:
        """Return where the hypervolume begins in this objective.

        Args:
            initial: The initial networks.
            num_classes: How many classes the data set has.

        Raises:
            ObjectiveError: It has no value for an initial network, or none that is a reference.
        """
        values = [self.value(graph) for graph in initial] if self.cheap else []
        if callable(self.reference):
            return self._checked(self.reference, num_classes)
        if self.reference is not None:
            return self.reference
        if max(values) <= 0:
            raise ObjectiveError(
                f"the objective {self.name!r} is {max(values)} at most for the initial networks;"
                " expected more than 0, or reference=, a value that no good network comes near to."
            )
        return _MANY * max(values)

    def _checked(self, function: Callable[[Any], float], argument: Any) -> float:
        try:
            value = function(argument)
        except ObjectiveError:
            raise
        except Exception as error:
            raise ObjectiveError(
                f"the objective {self.name!r} raised {described(error)}."
            ) from error
        return self._number(value)

    def _number(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ObjectiveError(
                f"the objective {self.name!r} gave {value!r}, of type {type(value).__name__};"
                " expected a number, such as float(...) makes."
            )
        value = int(value) if isinstance(value, Integral) else float(value)
        if not isfinite(value):
            raise ObjectiveError(
                f"the objective {self.name!r} gave {value}; expected a finite number."
            )
        if self.scale == "log" and value <= 0:
            raise ObjectiveError(
                f"the objective {self.name!r} gave {value}, which has no logarithm; expected more"
                ' than 0, or the scale "linear".'
            )
        return value


def _with(compute: Callable[[Graph, Any], float], prepared: Any, graph: Graph) -> float:
    return compute(graph, prepared)


def described(error: Exception) -> str:
    """Return an exception that was caught as text, and the line where it left the caller."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is ours
    frames = [frame for frame in frames if frame.name != _with.__name__]
    return f"{words} ({frames[0].filename}, line {frames[0].lineno})" if frames else words
