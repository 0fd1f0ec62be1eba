"""The values of the evolution: an individual, and the evaluation of one.

All are frozen and light: architectures carry no weights, and the mappings hold plain data that can
be written to a JSON file unchanged.

Section 4 of the paper splits the objectives, all minimized, in two:
`f(N) = (f_exp(N), f_cheap(N))`. The cheap ones are known as soon as a child is proposed; the
expensive ones only for the children that were accepted and evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class Individual:
    """Describe one network of the search.

    Two individuals are equal if all their fields but the architecture are. Whether two
    architectures are the same is decided by the functions given to `Evolution`, never by `==`.

    Attributes:
        generation: The generation that proposed it, 0 for the initial networks.
        attempt: The number of the draw within its generation, from 0.
        parent: The id of its parent, None for the initial networks.
        operators: One JSON-able record per operator that was applied to the parent.
        architecture: Opaque to the evolution; a search puts a graph without weights here.
        cheap: The cheap objectives by name, e.g. `{"parameters": 15232}`.
        expensive: The expensive objectives by name, empty until it is evaluated.

    Raises:
        ValueError: If the generation or the attempt is negative.
    """

    generation: int
    attempt: int
    parent: str | None
    operators: tuple[dict[str, Any], ...]
    architecture: Any = field(compare=False)
    cheap: Mapping[str, float]
    expensive: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.generation < 0 or self.attempt < 0:
            raise ValueError(
                f"generation is {self.generation} and attempt {self.attempt}; expected at least 0."
            )

    @property
    def id(self) -> str:
        """`"GENERATION-ATTEMPT"`: `"12-0"` is the first draw of generation 12."""
        return f"{self.generation}-{self.attempt}"

    @property
    def age_key(self) -> tuple[int, int]:
        """Generation and attempt: sorts individuals from the oldest to the youngest."""
        return self.generation, self.attempt

    @property
    def is_evaluated(self) -> bool:
        """Whether the expensive objectives are known."""
        return bool(self.expensive)

    @property
    def objectives(self) -> dict[str, float]:
        """All known objectives, the expensive ones first."""
        return {**self.expensive, **self.cheap}

    def with_evaluation(self, evaluation: Evaluation) -> Individual:
        """Return the individual with the expensive objectives of its evaluation."""
        return replace(self, expensive=evaluation.expensive)


@dataclass(frozen=True)
class Evaluation:
    """Record the result of evaluating one child: its expensive objectives, or the failure.

    Attributes:
        id: The child's id.
        expensive: The expensive objectives by name. Ignored if the evaluation failed.
        failure: None, or one line that describes what went wrong.

    Raises:
        ValueError: If there are neither objectives nor a failure, or the failure is not one line.
    """

    id: str
    expensive: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None

    def __post_init__(self) -> None:
        if self.failure is None and not self.expensive:
            raise ValueError(
                f"the evaluation of {self.id} has neither expensive objectives nor a failure; "
                "expected one of them."
            )
        if self.failure is not None and len(self.failure.splitlines()) != 1:
            raise ValueError(
                f"the evaluation of {self.id} has the failure {self.failure!r}; expected one "
                'non-empty line. Join the lines: " ".join(text.split()).'
            )

    def checked(self, names: Sequence[str]) -> Evaluation:
        """Put the objectives in order, and turn non-finite ones into a failure.

        Args:
            names: The expensive objectives that an evaluation must have.

        Returns:
            An evaluation with exactly these objectives, in this order, or a failure.

        Raises:
            ValueError: If it did not fail and has other objectives.
        """
        if self.failure is not None:
            return self
        if set(self.expensive) != set(names):
            raise ValueError(
                f"the evaluation of {self.id} has the objectives {sorted(self.expensive)}; "
                f"expected {sorted(names)}, like the initial networks."
            )
        values = {name: self.expensive[name] for name in names}
        wrong = [f"{name} is {value}" for name, value in values.items() if not isfinite(value)]
        if wrong:
            return replace(self, expensive={}, failure=", ".join(wrong))
        return replace(self, expensive=values)
