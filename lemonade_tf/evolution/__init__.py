"""Algorithm 1 of the paper: evolve a population along the Pareto front.

Evolution knows nothing about networks. Architectures are opaque to it; a function that proposes a
child, a hash, and a test for equality are arguments of `Evolution`.
"""

from lemonade_tf.evolution.ask_tell import Evolution
from lemonade_tf.evolution.asynchronous import AsynchronousEvolution, NoChildError
from lemonade_tf.evolution.density import log_density
from lemonade_tf.evolution.generation import Batch, Generation, Proposal, Slot
from lemonade_tf.evolution.improvement import ExpectedImprovement
from lemonade_tf.evolution.individual import Evaluation, Individual
from lemonade_tf.evolution.loop import evolve
from lemonade_tf.evolution.pareto import hypervolume, pareto_front, update_front
from lemonade_tf.evolution.protocols import ObjectiveProtocol
from lemonade_tf.evolution.sampling import (
    Purpose,
    accept,
    child_seed,
    inverse_density_probabilities,
    sample_parents,
)
from lemonade_tf.evolution.settings import EvolutionSettings

__all__ = [
    # Algorithm 1
    "AsynchronousEvolution",
    "Evolution",
    "EvolutionSettings",
    "NoChildError",
    "evolve",
    # its values
    "Batch",
    "Evaluation",
    "Generation",
    "Individual",
    "ObjectiveProtocol",
    "Proposal",
    "Slot",
    # Pareto fronts
    "hypervolume",
    "pareto_front",
    "update_front",
    # sampling
    "ExpectedImprovement",
    "Purpose",
    "accept",
    "child_seed",
    "inverse_density_probabilities",
    "log_density",
    "sample_parents",
]
