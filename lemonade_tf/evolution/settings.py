"""The settings of Algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal


@dataclass(frozen=True)
class EvolutionSettings:
    """Hold the settings of the evolution; the defaults are the paper's (section 5.1).

    Attributes:
        num_generations: Iterations of the loop.
        num_proposed: Children proposed per generation.
        num_accepted: Children accepted, and thus evaluated, per generation.
        sampling: By the inverse of the `"density"`, or `"uniform"` for the baseline of A.2.
        max_redraws: How many times a child is resampled if it is a duplicate, is over a limit, or
            no operator applies to its parent. If the last draw repeats an architecture that was
            evaluated successfully in an earlier generation, it is evaluated once more; otherwise
            the generation has one child less.

    Raises:
        ValueError: If a number is out of range, or the sampling is unknown.
    """

    num_generations: int = 100
    num_proposed: int = 200
    num_accepted: int = 40
    sampling: Literal["density", "uniform"] = "density"
    max_redraws: int = 10

    def __post_init__(self) -> None:
        smallest = {"num_generations": 0, "num_proposed": 1, "num_accepted": 1, "max_redraws": 0}
        for name, least in smallest.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}; expected an integer of at least {least}.")
        if self.num_accepted > self.num_proposed:
            raise ValueError(
                f"num_accepted is {self.num_accepted} and num_proposed {self.num_proposed}; "
                "expected to accept at most as many children as are proposed."
            )
        if self.sampling not in ("density", "uniform"):
            raise ValueError(f'sampling is {self.sampling!r}; expected "density" or "uniform".')

    @property
    def num_slots(self) -> int:
        """The number of children to evaluate."""
        return self.num_generations * self.num_accepted

    @property
    def num_proposed_per_slot(self) -> int:
        """Children proposed for each one to evaluate, in an asynchronous search."""
        return ceil(self.num_proposed / self.num_accepted)
