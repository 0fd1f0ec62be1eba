"""The values of one iteration of Algorithm 1: proposals, the batch they form, the generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lemonade_tf.evolution.individual import Evaluation, Individual


@dataclass(frozen=True)
class Proposal:
    """Record a proposed child and the decision on it.

    Attributes:
        individual: The child, with its cheap objectives.
        outcome: `"accepted"` for evaluation, `"rejected"` by the second sampling stage, a
            `"duplicate"` of an architecture seen before, or `"over_limit"`. The last two are
            resampled.
        duplicate_of: The id of the architecture that it repeats, None if it is new. Set with the
            outcome `"accepted"` or `"rejected"` if no new child was found by resampling.
        exceeded: The objectives over their limit, with their values, by name.
    """

    individual: Individual
    outcome: Literal["accepted", "rejected", "duplicate", "over_limit"]
    duplicate_of: str | None = None
    exceeded: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Slot:
    """Identify the place of one child in the budget of an asynchronous search.

    Attributes:
        number: From 0, of `num_generations * num_accepted`. The slots 0 to `num_accepted - 1` are
            generation 1.
        first_attempt: The first draw for it, counted within its generation.
        num_evaluated: How many networks had been evaluated when its child was proposed: the
            initial ones and all reported children, failed ones included.
    """

    number: int
    first_attempt: int
    num_evaluated: int


@dataclass(frozen=True)
class Batch:
    """Record the children proposed together, from one state of the population.

    Attributes:
        generation: From 1; the initial networks are generation 0.
        num_attempts: Draws of a parent and its operators, including those where no operator
            applied (which leave no proposal).
        proposals: In the order of their attempts, duplicates included.
        slot: The slot that they were proposed for; None for a whole generation.
    """

    generation: int
    num_attempts: int
    proposals: tuple[Proposal, ...]
    slot: Slot | None = None

    @property
    def accepted(self) -> tuple[Individual, ...]:
        """The children to evaluate."""
        return tuple(p.individual for p in self.proposals if p.outcome == "accepted")


@dataclass(frozen=True)
class Generation:
    """Record one iteration of Algorithm 1.

    Attributes:
        batch: The proposed children.
        evaluations: In the order of the children, not of completion; failed ones included.
        children: The children evaluated without failure, with all their objectives.
        population: The population after this generation; see `Evolution.population`.
    """

    batch: Batch
    evaluations: tuple[Evaluation, ...]
    children: tuple[Individual, ...]
    population: tuple[Individual, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every accepted child was evaluated, successfully or not."""
        return len(self.evaluations) == len(self.batch.accepted)
