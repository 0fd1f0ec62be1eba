"""The evolution of a search: its architectures are graphs, in the search space of a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lemonade_tf.architecture.text import canonical_hash, same_architecture
from lemonade_tf.evolution import Evolution, EvolutionSettings, Individual
from lemonade_tf.objectives.limits import exceeded

if TYPE_CHECKING:
    from lemonade_tf.architecture import Graph
    from lemonade_tf.search.setup import Setup


def graph_evolution(
    setup: Setup,
    initial: Sequence[Individual],
    *,
    history: Sequence[Individual] = (),
    pending: Sequence[Individual] = (),
    start_generation: int = 1,
) -> Evolution:
    """Return an evolution of graphs.

    Args:
        setup: The run.
        initial: The initial networks, evaluated.
        history: The children that were accepted before, evaluated or failed.
        pending: The children that were accepted before and have not been evaluated yet.
        start_generation: The first generation to propose.
    """
    config = setup.config
    return Evolution(
        initial,
        propose=partial(_propose, setup),
        cheap=[objective for objective in setup.objectives if objective.cheap],
        settings=EvolutionSettings(
            num_generations=config.num_generations,
            num_proposed=config.num_proposed,
            num_accepted=config.num_accepted,
            sampling=config.sampling,
            max_redraws=config.max_redraws,
        ),
        seed=config.seed,
        canonical_hash=canonical_hash,
        same_architecture=same_architecture,
        exceeded=lambda child: exceeded(setup.limits, child.architecture, child.cheap),
        history=history,
        pending=pending,
        start_generation=start_generation,
    )


def _propose(
    setup: Setup, parent: Individual, *, rng: np.random.Generator
) -> tuple[Graph, tuple[dict[str, Any], ...]] | None:
    """Propose a child whose operators apply on all data sets; None if they do not."""
    made = setup.space.propose(parent.architecture, rng=rng)
    if made is None:
        return None
    _, operators = made
    is_allowed = all(data.allows(parent.architecture, operators) for data in setup.extra_datasets)
    return made if is_allowed else None
