"""Check that the individuals given to an evolution are consistent."""

from __future__ import annotations

from collections.abc import Sequence

from lemonade_tf.evolution.individual import Individual
from lemonade_tf.evolution.protocols import ObjectiveProtocol


def expensive_names(
    initial: Sequence[Individual], cheap: Sequence[ObjectiveProtocol]
) -> tuple[str, ...]:
    """Return the expensive objectives' names; check that all initial networks have the same.

    Raises:
        ValueError: If there are no initial networks or cheap objectives, or an initial network has
            other objectives than the first one, or than `cheap`.
    """
    if not initial or not cheap:
        raise ValueError(
            f"there are {len(initial)} initial networks and {len(cheap)} cheap objectives; "
            "expected at least one of each."
        )
    names = tuple(initial[0].expensive)
    for individual in initial:
        if not names or set(individual.expensive) != set(names):
            raise ValueError(
                f"the initial network {individual.id} has the expensive objectives "
                f"{sorted(individual.expensive)}; expected those of {initial[0].id}, "
                f"{sorted(names)}, and at least one. Evaluate all initial networks, or leave out "
                "those that failed."
            )
        if set(individual.cheap) != {objective.name for objective in cheap}:
            raise ValueError(
                f"the initial network {individual.id} has the cheap objectives "
                f"{sorted(individual.cheap)}; expected {sorted(c.name for c in cheap)}."
            )
    return names


def check_history(history: Sequence[Individual], start_generation: int) -> None:
    """Check that the history lies between the initial networks and the first batch.

    Raises:
        ValueError: If an individual is of another generation.
    """
    for individual in history:
        if not 1 <= individual.generation < start_generation:
            raise ValueError(
                f"{individual.id} is in the history before generation {start_generation}; "
                f"expected generations 1 to {start_generation - 1} only. Initial networks belong "
                "in `initial`; an incomplete generation is proposed again."
            )
