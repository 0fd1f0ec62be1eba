"""The values evolution hands around: a network, its evaluation, a proposal, a generation.

All are frozen and light: a network's graph carries shapes only, its weights lie with whoever
trains it, and what is in the mappings is plain data that goes into a JSON file as it is.

Section 4 of the paper splits the objectives, all minimised, in two:
`f(N) = (f_exp(N), f_cheap(N))`. The cheap ones are known when a child is proposed; the expensive
ones only of the children that were accepted and evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Literal

from lemonade_tf.architecture import Graph


@dataclass(frozen=True)
class Individual:
    """Describe one network of the search.

    Two individuals are equal if everything but their graphs is; graphs are compared by
    `lemonade_tf.architecture.text.same_architecture`, never with `==`.

    Args:
        id: `"GENERATION-ATTEMPT"`: `"12-0"` came of the first draw of generation 12. The initial
            networks are `"0-0"`, `"0-1"`, ...
        generation: The generation it was proposed in, 0 for the initial networks.
        parent: The id of its parent, None for the initial networks.
        operators: How it was made from its parent, a JSON-able record an operator.
        graph: Its architecture, shapes only.
        cheap: The cheap objectives by name, as measured, e.g. `{"parameters": 15232}`.
        expensive: The expensive objectives by name, empty until it is evaluated.

    Raises:
        ValueError: If `id` does not tell the generation and the attempt.
    """

    id: str
    generation: int
    parent: str | None
    operators: tuple[dict[str, Any], ...]
    graph: Graph = field(compare=False)
    cheap: Mapping[str, float]
    expensive: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        generation, _, attempt = self.id.partition("-")
        if generation != str(self.generation) or not attempt.isdecimal():
            raise ValueError(
                f"An individual of generation {self.generation} has the id {self.id!r}; expected "
                f'"{self.generation}-ATTEMPT" with a whole number, such as "{self.generation}-0".'
            )

    @property
    def age_key(self) -> tuple[int, int]:
        """Generation and attempt: sorts individuals from the oldest to the youngest."""
        return self.generation, int(self.id.partition("-")[2])

    @property
    def evaluated(self) -> bool:
        """Whether the expensive objectives are known."""
        return bool(self.expensive)

    @property
    def objectives(self) -> dict[str, float]:
        """All objectives known, the expensive ones first."""
        return {**self.expensive, **self.cheap}


@dataclass(frozen=True)
class Evaluation:
    """Record what evaluating one child gave: its expensive objectives, or why there are none.

    Args:
        id: The child's id.
        expensive: The expensive objectives by name. Not looked at if the evaluation failed.
        failure: None, or one line that says what went wrong.
        seconds: How long each step took, by name.
        details: Anything else worth recording, JSON-able, e.g. `{"test_error": 0.07}`.

    Raises:
        ValueError: If there are neither objectives nor a failure, or the failure is not one line.
    """

    id: str
    expensive: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.failure is None and not self.expensive:
            raise ValueError(
                f"The evaluation of {self.id} has no expensive objectives and no failure; give "
                "the objectives by name, or say in `failure` why there are none."
            )
        if self.failure is not None and len(self.failure.splitlines()) != 1:
            raise ValueError(
                f"The evaluation of {self.id} has the failure {self.failure!r}; expected one "
                'line that is not empty. Join the lines: " ".join(text.split()).'
            )

    def checked(self, names: Sequence[str]) -> Evaluation:
        """Put the objectives in order, and make this a failure if one of them is not finite.

        Args:
            names: Of the expensive objectives that an evaluation must have.

        Returns:
            An evaluation with exactly these objectives, in this order, or a failure.

        Raises:
            ValueError: If it did not fail and has other objectives.
        """
        if self.failure is not None:
            return self
        if set(self.expensive) != set(names):
            raise ValueError(
                f"The evaluation of {self.id} has the objectives {sorted(self.expensive)}; "
                f"expected {sorted(names)}, as the initial networks have. Other figures go into "
                "`details`."
            )
        values = {name: self.expensive[name] for name in names}
        wrong = [f"{name} is {value}" for name, value in values.items() if not isfinite(value)]
        if wrong:
            return replace(self, expensive={}, failure=", ".join(wrong))
        return replace(self, expensive=values)


@dataclass(frozen=True)
class Proposal:
    """Record what became of one proposed child.

    Args:
        individual: The child, with its cheap objectives.
        outcome: `"accepted"` to be evaluated, `"rejected"` by the second sampling stage,
            `"duplicate"` of an architecture met before, or `"outside"` of what is allowed; the last
            two are drawn again.
        duplicate_of: The id of the architecture that it repeats, if it was met before; with
            another outcome than `"duplicate"` if it was taken all the same.
        exceeded: What it has of the objectives whose limit it exceeds, by name.
    """

    individual: Individual
    outcome: Literal["accepted", "rejected", "duplicate", "outside"]
    duplicate_of: str | None = None
    exceeded: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Generation:
    """Record one pass through the loop of Algorithm 1.

    Args:
        number: From 1; the initial networks are generation 0.
        num_attempts: Draws of a parent and its operators, those included to which no operator
            applied (they leave no proposal).
        proposals: In the order of their attempts, duplicates included.
        evaluations: In the order of the children, however they were completed; failed ones
            included.
        children: The children evaluated without failure, with all their objectives.
        population: The Pareto front after this generation, oldest first.
    """

    number: int
    num_attempts: int
    proposals: tuple[Proposal, ...]
    evaluations: tuple[Evaluation, ...]
    children: tuple[Individual, ...]
    population: tuple[Individual, ...]

    @property
    def accepted(self) -> tuple[Individual, ...]:
        """The children that were handed to the evaluator, as they were proposed."""
        return tuple(p.individual for p in self.proposals if p.outcome == "accepted")

    @property
    def complete(self) -> bool:
        """Whether every accepted child was evaluated, with or without success."""
        return len(self.evaluations) == len(self.accepted)
