"""Closed forms, against NumPy's least squares."""

import numpy as np

from lemonade_tf.inheritance.least_squares import (
    MAX_GROWTH,
    RIDGES,
    Moments,
    fit_kernel_change,
    fit_separable_kernels,
    fit_within_growth,
)

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def test_moments_are_means_of_products():
    x, y = normal(9000, 3) + 2, normal(9000, 2) - 1
    plain = Moments.of(x, y, centered=False)
    np.testing.assert_allclose(plain.gram, x.T @ x / 9000, rtol=1e-4)
    np.testing.assert_array_equal(plain.y_mean, 0)
    centered = Moments.of(x, y, centered=True)
    np.testing.assert_allclose(centered.gram, np.cov(x.T, bias=True), atol=1e-4)
    np.testing.assert_allclose(
        centered.cross, (x - x.mean(0)).T @ (y - y.mean(0)) / 9000, atol=1e-4
    )
    np.testing.assert_allclose(centered.x_mean, x.mean(0), rtol=1e-5)


def test_without_a_ridge_the_kernel_is_the_least_squares_solution():
    x, y, start = normal(500, 7), normal(500, 3), normal(7, 3)
    moments = Moments.of(x, y - x @ start, centered=False)
    found = start + fit_kernel_change(moments, 0.0)
    np.testing.assert_allclose(found, np.linalg.lstsq(x, y)[0], atol=1e-4)


def test_directions_without_data_do_not_change():
    x = np.zeros((50, 4), np.float32)
    x[:, 0] = normal(50)
    change = fit_kernel_change(Moments.of(x, normal(50, 2), centered=False), 1e-2)
    np.testing.assert_allclose(change[1:], 0, atol=1e-6)
    assert np.abs(change[0]).min() > 1e-3


def kernel_of(depthwise, pointwise):
    return np.einsum("wim,imo->wio", depthwise, pointwise).reshape(-1, pointwise.shape[-1])


def test_fit_separable_kernels_recovers_a_separable_map():
    """Perturbed kernels return to an exact solution; each sweep lowers the error."""
    x = normal(800, 4 * 3)
    depthwise, pointwise = normal(4, 3, 2), normal(3, 2, 5)
    y = (x @ kernel_of(depthwise, pointwise)).astype(np.float32)
    start = depthwise + 0.3 * normal(4, 3, 2), pointwise + 0.3 * normal(3, 2, 5)
    moments = Moments.of(x, y, centered=False)

    def loss(kernels):
        return ((x @ kernel_of(*kernels) - y) ** 2).mean()

    once = fit_separable_kernels(moments, *start, 0.0)
    twice = fit_separable_kernels(moments, *once, 0.0)
    assert loss(once) < 1e-2 * loss(start)
    assert loss(twice) < 1e-2 * loss(once)


def test_fit_within_growth_takes_the_smallest_ridge_that_limits_the_norm():
    norms = dict(zip(RIDGES, (9.0, 3.0, 1.0), strict=True))
    for initial_norm, expected in ((9.0, 0), (4.5, 0), (4.4, 1), (1.5, 1), (1.4, 2), (0.5, 2)):
        norms["unchanged"] = initial_norm
        found = fit_within_growth(lambda ridge: ridge, norms.get, "unchanged")
        assert found == RIDGES[expected], (initial_norm, MAX_GROWTH)


def test_what_grows_with_any_ridge_stays_unchanged():
    norms = dict(zip(RIDGES, (9.0, 3.0, 1.0), strict=True)) | {"unchanged": 0.4}
    assert fit_within_growth(lambda ridge: ridge, norms.get, "unchanged") == "unchanged"
