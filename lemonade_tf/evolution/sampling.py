"""Sample parents and children, the two sampling stages of section 4, and seed every decision.

Parents (equation 1) and the children to evaluate (equation 2) are drawn with probabilities
inversely proportional to the population's density in the cheap objectives:

    p(N) = c / p_KDE(f_cheap(N)),    c the normalization,

parents with replacement, children without. Uniform sampling, the baseline of appendix A.2, is the
special case of a constant density.

Every random decision has its own generator, derived from the run's seed and the purpose of the
decision, so that no result depends on the worker or on the order of computation.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike


class Purpose(IntEnum):
    """Purposes of random generators. The numbers enter every seed: never change them."""

    PARENT = 0
    STRUCTURE = 1
    WEIGHTS = 2
    TRAINING = 3
    ACCEPTANCE = 4


def child_seed(
    seed: int, generation: int, attempt: int, purpose: Purpose
) -> np.random.SeedSequence:
    """Derive the seed of one decision about one child.

    The child with the id `"12-7"` has generation 12 and attempt 7. The acceptance, which concerns
    a whole batch, has the batch's first attempt: 0 for a whole generation.

    Args:
        seed: The run's seed.
        generation: From 0, the initial networks.
        attempt: From 0, counted within the generation.
        purpose: The decision to be made.

    Returns:
        The seed for `numpy.random.default_rng`. Its `.generate_state` gives integers for other
        libraries.
    """
    return np.random.SeedSequence(seed, spawn_key=(generation, attempt, int(purpose)))


def inverse_density_probabilities(log_densities: ArrayLike) -> np.ndarray:
    """Compute the probabilities of equations 1 and 2.

    Args:
        log_densities: (n,), natural logarithms of any magnitude; 1/p is never computed.

    Returns:
        (n,), summing to 1. A probability below 1e-308 times the largest may be 0.

    Raises:
        ValueError: If there are no densities, or one is not finite.
    """
    weights = np.exp(_log_weights(log_densities))
    return weights / weights.sum()


def sample_parents(probabilities: ArrayLike, num: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw parents with replacement (line 6 of Algorithm 1).

    Args:
        probabilities: (n,), of the population's individuals, by equation 1.
        num: The number of parents to draw.
        rng: The random generator.

    Returns:
        (num,), indices into the population.
    """
    # Equivalent to `rng.choice` without its checks, which dominate the time of a single draw.
    cumulative = np.cumsum(probabilities)
    return np.searchsorted(cumulative / cumulative[-1], rng.random(num), side="right")


def accept(log_densities: ArrayLike, num: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw the children to evaluate, without replacement (line 8 of Algorithm 1).

    Each child is drawn by equation 2 from those that remain. Adding Gumbel noise to the logarithms
    of the weights and taking the `num` largest sums has exactly the same distribution, and works
    with weights that floating point cannot represent.

    Args:
        log_densities: (n,), natural logarithms of the density at each proposed child.
        num: The number of children to accept; all of them if there are fewer.
        rng: The random generator.

    Returns:
        (min(num, n),), indices of the accepted children, ascending.

    Raises:
        ValueError: If a density is not finite.

    References:
        Efraimidis, Spirakis: Weighted random sampling with a reservoir. Information Processing
        Letters 97(5), 2006.
        Kool, van Hoof, Welling: Stochastic beams and where to find them. ICML 2019, section 2.
    """
    if np.size(log_densities) == 0:
        return np.empty(0, dtype=np.intp)
    log_weights = _log_weights(log_densities)
    noise = rng.gumbel(size=len(log_weights))
    # Added to weights of e^-1e20, the noise is lost to rounding; as a tie-breaker it still counts.
    order = np.lexsort((noise, log_weights + noise))
    return np.sort(order[::-1][:num])


def _log_weights(log_densities: ArrayLike) -> np.ndarray:
    """Return the logarithms of the inverse densities, scaled so that the largest weight is 1."""
    log_densities = np.asarray(log_densities, dtype=float)
    if log_densities.ndim != 1 or not log_densities.size or not np.isfinite(log_densities).all():
        raise ValueError(
            f"log_densities has the shape {log_densities.shape} and "
            f"{np.count_nonzero(~np.isfinite(log_densities))} non-finite values; expected one "
            "finite number per network, as returned by `log_density`."
        )
    return log_densities.min() - log_densities
