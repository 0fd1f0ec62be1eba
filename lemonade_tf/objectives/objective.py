"""Objectives: numbers that a search minimizes.

The paper splits the objectives in two (section 4). A *cheap* one is a function of the graph; the
search uses it to decide which children to train. An *expensive* one is a function of the trained
network. A custom objective takes ten lines in an importable module, here energy.py:

    from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
    from lemonade_tf.objectives.objective import Objective

    def energy(graph):
        return 4.6e-12 * count_multiply_adds(graph) + 640e-12 * count_parameters(graph)

    ENERGY = Objective("energy", "log", compute=energy, unit="J")

Use it with `--objectives error,energy:ENERGY`. Workers, and whoever reads the run later, import it
by this name; functions are never pickled.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

from lemonade_tf.errors import LemonadeError, quoted

if TYPE_CHECKING:
    from lemonade_tf.architecture.graph import Graph
    from lemonade_tf.objectives.prepare_context import PrepareContext
    from lemonade_tf.objectives.trained_network import TrainedNetwork

Scale = Literal["log", "linear"]
SCALES = ("log", "linear")
_COLUMNS = ("id", "file", "test_error")  # of front.csv, in addition to the objectives
# Times the value of the largest initial network. With 400,000 parameters, 25 times are 10 million,
# as far as the paper's fronts reach. On very small images such as digits, networks stay smaller.
_REFERENCE_FACTOR, _REFERENCE_FACTOR_OF_SMALL_IMAGES = 25.0, 10.0
_SMALL_IMAGE = 16  # pixels per side
LARGEST = 1e60  # so that squares, and the hypervolume of five objectives, are finite
_LARGEST_EXACT = 2**53  # integers beyond it become floats, as files and arrays cannot hold all


class ObjectiveError(LemonadeError, ValueError):
    """An objective is unknown, invalid, or returned no number; the message names it."""


@dataclass(frozen=True)
class Objective:
    """Define a number that a search minimizes.

    Attributes:
        name: The name in files, tables and options: a Python identifier.
        scale: The scale on which differences count: "log" if ratios matter (section 5.1 takes the
            logarithm of the number of parameters), otherwise "linear". Used by the density, the
            hypervolume and the axes of plots. Values on a "log" scale must be positive.
        compute: Returns the value of a graph, for a cheap objective: a finite number of at most
            1e60, of Python or NumPy; None for an expensive one.
            Called for every proposed child, so it should take milliseconds, and must depend on
            layers and shapes only: there are no weights yet.
        measure: Returns the value of a trained network, for an expensive objective; None for a
            cheap one. Called in the process that trained it. Only there is Keras loaded: import it
            inside the function.
        unit: The unit of the values: "fraction" is shown in percent; "s" for seconds, "B" for
            bytes, or any other unit without a prefix, such as "J", which gets one: 1.2 mJ.
        reference: The coordinate of the hypervolume's reference point: a value that is worse than
            all good networks', or a function that returns it for a number of classes. Defaults to
            1 for a fraction, and to 25 times the largest initial network for a cheap objective (ten
            times on images of less than 16 pixels per side); required for other objectives.
        prepare: Computes or measures data that a cheap objective depends on, on this machine or
            with Keras. Called once before the search, in a worker; returns plain JSON, which is
            stored in the run folder. The objective then needs `compute(graph, prepared)`.

    Raises:
        ObjectiveError: If the arguments contradict each other.
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
                f"the objective's name is {self.name!r}; expected letters, digits and _, and none"
                f" of {', '.join(_COLUMNS)}."
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
                f"the objective {self.name!r} is a fraction on a log scale; expected the scale"
                ' "linear", as a fraction can be 0, which has no logarithm.'
            )

    def _check_functions(self) -> None:
        if (self.compute is None) == (self.measure is None):
            raise ObjectiveError(
                f"the objective {self.name!r} has"
                f" {'neither compute nor' if self.compute is None else 'both compute and'} measure;"
                " expected either compute=, a function of a graph, for a cheap objective, or"
                " measure=, a function of a trained network."
            )
        if self.prepare is not None and not self.cheap:
            raise ObjectiveError(
                f"the objective {self.name!r} has both prepare and measure; expected prepare= for"
                " cheap objectives only."
            )

    def _check_reference(self) -> None:
        if not self.cheap and self.reference is None:
            raise ObjectiveError(
                f"the objective {self.name!r} is expensive and has no reference; expected"
                " reference=, a value worse than all good networks', for the hypervolume."
            )
        if self.reference is not None and not callable(self.reference):
            object.__setattr__(self, "reference", self._number(self.reference, "has the reference"))

    @property
    def cheap(self) -> bool:
        """Whether it is computed from the graph alone."""
        return self.compute is not None

    def with_prepared(self, prepared: Any) -> Objective:
        """Return the objective with the result of its `prepare` bound to `compute`."""
        compute = partial(_compute_prepared, self._require(self.compute), prepared)
        return replace(self, compute=compute, prepare=None)

    def value(self, graph: Graph) -> float:
        """Return the value of a graph.

        Raises:
            ObjectiveError: If `compute` raises an exception, or returns no number or a number that
                is invalid on the scale.
        """
        return self._checked(self._require(self.compute), graph)

    def transform(self, value: float) -> float:
        """Return the coordinate of a value in the density: its logarithm on a log scale.

        Raises:
            ObjectiveError: If the value is invalid on the scale.
        """
        value = self._number(value)
        return math.log(value) if self.scale == "log" else float(value)

    def measured(self, trained: TrainedNetwork) -> float:
        """Return the value of a trained network.

        Raises:
            ObjectiveError: If `measure` raises an exception, or returns no number or a number that
                is invalid on the scale.
        """
        return self._checked(self._require(self.measure), trained)

    def reference_value(self, initial: Sequence[Graph], num_classes: int) -> float:
        """Return the coordinate of the hypervolume's reference point in this objective.

        Args:
            initial: The initial networks.
            num_classes: The number of classes of the data set.

        Raises:
            ObjectiveError: If it has no value for an initial network, or no default reference.
        """
        values = [self.value(graph) for graph in initial] if self.cheap else []
        if callable(self.reference):
            return self._checked(self.reference, num_classes, "has the reference")
        if self.reference is not None:
            return self.reference
        if max(values) <= 0:
            raise ObjectiveError(
                f"the objective {self.name!r} is at most {max(values)} for the initial networks;"
                " expected more than 0, or reference=, a value worse than all good networks'."
            )
        return self._number(_reference_factor(initial[0]) * max(values), "has the reference")

    def _require(self, function: Callable[..., float] | None) -> Callable[..., float]:
        if function is None:
            raise ObjectiveError(
                f"the objective {self.name!r} is {'cheap' if self.cheap else 'expensive'}; expected"
                f" {'a graph' if self.cheap else 'a trained network'} to compute it from."
            )
        return function

    def _checked(
        self, function: Callable[[Any], float], argument: Any, verb: str = "returned"
    ) -> float:
        try:
            value = function(argument)
        except ObjectiveError:
            raise
        except (Exception, SystemExit) as error:  # it may call code that exits
            raise ObjectiveError(
                f"the objective {self.name!r} raised {describe_exception(error)}."
            ) from error
        return self._number(value, verb)

    def _number(self, value: Any, verb: str = "returned") -> float:
        """Return a value as a Python number.

        Raises:
            ObjectiveError: If it is no number, is too large, or has no logarithm on a log scale.
        """
        what = f"the objective {self.name!r} {verb}"
        if type(value) not in (int, float):  # abstract classes are slow to check, per proposal
            if isinstance(value, bool) or not isinstance(value, Real):
                raise ObjectiveError(
                    f"{what} {quoted(repr(value))} of type {type(value).__name__}; expected a"
                    " number. Convert it with float(...)."
                )
            value = int(value) if isinstance(value, Integral) else value
        if not isinstance(value, int):
            try:
                value = float(value)
            except OverflowError:  # a fraction
                value = math.inf
        if not -LARGEST <= value <= LARGEST:  # also if it is nan
            shown = f"an integer of {value.bit_length()} bits" if isinstance(value, int) else value
            raise ObjectiveError(
                f"{what} {shown}; expected a finite number of at most {LARGEST:g}."
            )
        if self.scale == "log" and value <= 0:
            raise ObjectiveError(
                f"{what} {value}, which has no logarithm; expected more than 0, or the scale"
                ' "linear".'
            )
        return value if abs(value) <= _LARGEST_EXACT else float(value)


def _reference_factor(graph: Graph) -> float:
    is_small = min(graph.shapes()[graph.input][:2]) < _SMALL_IMAGE
    return _REFERENCE_FACTOR_OF_SMALL_IMAGES if is_small else _REFERENCE_FACTOR


def _compute_prepared(compute: Callable[..., float], prepared: Any, graph: Graph) -> float:
    return compute(graph, prepared)


def describe_exception(error: BaseException) -> str:
    """Return a caught exception as one line, with the line of code where it left the caller."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is the caller's
    frames = [frame for frame in frames if frame.name != _compute_prepared.__name__]
    return f"{words} ({frames[0].filename}, line {frames[0].lineno})" if frames else words
