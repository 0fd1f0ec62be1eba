"""The evolution of a search: its architectures are graphs, in the search space of a run.

With `--sampling improvement`, children are accepted by their predicted improvement of the front per
training time. A time that is measured would make the search irreproducible, so it is computed: the
multiply-adds of all forward passes, and a constant for what every child takes whatever its size
(building, compiling, saving). The constant is our choice, the order of magnitude on digits: there,
the fixed part of a child takes about as long on a CPU as the training of FIXED_COST multiply-adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from lemonade_tf.architecture.cost import count_multiply_adds
from lemonade_tf.architecture.text import canonical_hash, same_architecture
from lemonade_tf.evolution import Evolution, EvolutionSettings, ExpectedImprovement, Individual
from lemonade_tf.objectives.limits import exceeded

if TYPE_CHECKING:
    from lemonade_tf.architecture import Graph
    from lemonade_tf.evolution.protocols import LogWeights
    from lemonade_tf.objectives.objective import Objective
    from lemonade_tf.search.setup import Setup

FIXED_COST = 6e9  # multiply-adds


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
            sampling="uniform" if config.sampling == "uniform" else "density",
            max_redraws=config.max_redraws,
        ),
        seed=config.seed,
        canonical_hash=canonical_hash,
        same_architecture=same_architecture,
        exceeded=lambda child: exceeded(setup.limits, child.architecture, child.cheap),
        log_weights=_expected_improvement(setup) if config.sampling == "improvement" else None,
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


def _expected_improvement(setup: Setup) -> LogWeights:
    """Return the weights by which a search accepts children, for `--sampling improvement`."""
    return ExpectedImprovement(
        cheap={each.name: each.transform for each in setup.objectives if each.cheap},
        expensive={
            each.name: _coordinate(each, setup) for each in setup.objectives if not each.cheap
        },
        cost=partial(_training_cost, setup),
    ).log_weights


def _coordinate(objective: Objective, setup: Setup) -> Callable[[float], float]:
    """Return the coordinate of an expensive objective: ratios of errors count."""
    if objective.unit != "fraction":
        return objective.transform
    half_an_image = 0.5 / len(setup.dataset.x_validation)
    return lambda fraction: math.log(fraction + half_an_image)


def _training_cost(setup: Setup, child: Individual) -> float:
    """Return the multiply-adds of training and distilling a child, forward passes only."""
    settings, num_images = setup.config.training, setup.config.training_images
    exact = {operator.name for operator in setup.space.exact}
    is_exact = all(operator["operator"] in exact for operator in child.operators)
    epochs = settings.epochs + (0 if is_exact else settings.distillation_epochs)
    images = num_images or len(setup.dataset.x_train)
    return FIXED_COST + epochs * images * count_multiply_adds(child.architecture)
