"""Both sampling stages of section 4, and where their random numbers come from.

Parents (equation 1) and the children to evaluate (equation 2) are drawn with probabilities
inversely proportional to the population's density in the cheap objectives:

    p(N) = c / p_KDE(f_cheap(N)),    c the normalisation,

parents with replacement, children without. Uniform sampling, the baseline of appendix A.2, is the
same with a density that is equal everywhere.

Every random decision has a generator of its own, derived from the run's seed and from what is
decided, so that no result depends on who computes what, or on what is computed first.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike


class Purpose(IntEnum):
    """What a random generator decides. The numbers are part of what a seed means: keep them."""

    PARENT = 0
    STRUCTURE = 1
    WEIGHTS = 2
    TRAINING = 3
    ACCEPTANCE = 4


def child_seed(
    seed: int, generation: int, attempt: int, purpose: Purpose
) -> np.random.SeedSequence:
    """Derive the seed of one decision about one child.

    The child with the id `"12-7"` has generation 12 and attempt 7. What concerns a generation as
    a whole, the acceptance, has attempt 0.

    Args:
        seed: Of the run.
        generation: From 0, the initial networks.
        attempt: From 0, counted within the generation.
        purpose: What is decided.

    Returns:
        The seed, for `numpy.random.default_rng`, or for `.generate_state` where another library
        wants integers.
    """
    return np.random.SeedSequence(seed, spawn_key=(generation, attempt, int(purpose)))


def inverse_density_probabilities(log_densities: ArrayLike) -> np.ndarray:
    """Turn densities into the probabilities of equations 1 and 2.

    Args:
        log_densities: (n,), natural logarithms; of any size, for 1/p is never formed.

    Returns:
        (n,), summing to 1. A probability below 1e-308 of the largest may be 0.

    Raises:
        ValueError: If there are none, or one is not finite.
    """
    weights = np.exp(_log_weights(log_densities))
    return weights / weights.sum()


def sample_parents(probabilities: ArrayLike, num: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw parents with replacement (line 6 of Algorithm 1).

    Args:
        probabilities: (n,), of the population's individuals, by equation 1.
        num: How many parents to draw.
        rng: The generator to draw from.

    Returns:
        (num,), indices into the population.
    """
    # What `rng.choice` does, without its checks, which take most of its time for a single draw.
    cumulative = np.cumsum(probabilities)
    return np.searchsorted(cumulative / cumulative[-1], rng.random(num), side="right")


def accept(log_densities: ArrayLike, num: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw the children to evaluate, without replacement (line 8 of Algorithm 1).

    One after the other is drawn by equation 2 from those that are left. This is done by adding
    Gumbel noise to the logarithms of the weights and taking the `num` largest, which has exactly
    the same distribution, and takes weights that floating point cannot hold.

    Args:
        log_densities: (n,), natural logarithms of the density at each proposed child.
        num: How many to accept; all of them if there are no more.
        rng: The generator to draw from.

    Returns:
        (min(num, n),), indices of the accepted children, ascending.

    Raises:
        ValueError: If a density is not finite.

    References:
        Efraimidis, Spirakis: Weighted random sampling with a reservoir. Information Processing
        Letters 97(5), 2006.
        Kool, van Hoof, Welling: Stochastic beams and where to find them. ICML 2019, section 2.
    """
    if not len(log_densities):
        return np.empty(0, dtype=np.intp)
    log_weights = _log_weights(log_densities)
    noise = rng.gumbel(size=len(log_weights))
    # Beside weights of e^-1e20 the noise is rounded away; it still decides between equal ones.
    order = np.lexsort((noise, log_weights + noise))
    return np.sort(order[::-1][:num])


def _log_weights(log_densities: ArrayLike) -> np.ndarray:
    """Invert densities, in logarithms, and shift the largest weight to 1."""
    log_densities = np.asarray(log_densities, dtype=float)
    if log_densities.ndim != 1 or not log_densities.size or not np.isfinite(log_densities).all():
        raise ValueError(
            f"The log densities have the shape {log_densities.shape} and "
            f"{np.count_nonzero(~np.isfinite(log_densities))} values that are not finite; "
            "expected one finite number for each network, as `log_density` gives them."
        )
    return log_densities.min() - log_densities
