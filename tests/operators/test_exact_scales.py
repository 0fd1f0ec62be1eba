"""Scales are the best of all candidates, as an exhaustive search finds them."""

import numpy as np
import pytest

from lemonade_tf.operators.exact_scales import exact_scales

RNG = np.random.default_rng(0)
EXPONENTS = np.exp2(RNG.integers(-20, 20, 60))
VARIANCES = {
    "usual": RNG.uniform(0, 3, 60),
    "of any magnitude": 10 ** RNG.uniform(-12, 8, 60),
    "where the spacing of floats changes": EXPONENTS * (1 + RNG.uniform(-1e-3, 1e-3, 60)),
    "of dead channels": np.zeros(3),
}


def exhaustive(near, epsilon):
    gammas = near + np.arange(-4096, 4097, dtype=np.float32)[:, None] * np.spacing(near)
    variances = (gammas.astype(np.float64) ** 2 - epsilon).astype(np.float32)
    variances[variances < 0] = np.nan
    off = np.abs(gammas / np.sqrt(variances.astype(np.float64) + epsilon) - 1)
    best = np.nanargmin(off, axis=0), np.arange(len(near))
    return gammas[best], variances[best]


@pytest.mark.parametrize("epsilon", [1e-3, 1.001e-5])
@pytest.mark.parametrize("variances", VARIANCES.values(), ids=VARIANCES)
def test_the_best_candidate_is_found(variances, epsilon):
    near = np.sqrt(variances + epsilon).astype(np.float32)
    np.testing.assert_array_equal(exact_scales(near, epsilon), exhaustive(near, epsilon))
