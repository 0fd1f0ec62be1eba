"""Algorithm 1 of the paper: evolve a population along the Pareto front.

Knows nothing of networks: what proposes a child, what evaluates it and what tells two
architectures apart are arguments of `evolve`.
"""

from lemonade_tf.evolution.density import CheapObjective, log_density
from lemonade_tf.evolution.individual import Evaluation, Generation, Individual, Proposal
from lemonade_tf.evolution.loop import EvolutionSettings, evolve
from lemonade_tf.evolution.pareto import hypervolume, pareto_front, update_front
from lemonade_tf.evolution.sampling import (
    Purpose,
    accept,
    child_seed,
    inverse_density_probabilities,
    sample_parents,
)

__all__ = [
    # the loop
    "EvolutionSettings",
    "evolve",
    # the values it hands around
    "CheapObjective",
    "Evaluation",
    "Generation",
    "Individual",
    "Proposal",
    # Pareto fronts
    "hypervolume",
    "pareto_front",
    "update_front",
    # sampling
    "Purpose",
    "accept",
    "child_seed",
    "inverse_density_probabilities",
    "log_density",
    "sample_parents",
]
