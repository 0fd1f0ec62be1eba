"""Fits of single layers; layers that can reproduce the desired output do."""

import numpy as np
import pytest

from lemonade_tf.architecture import layers as L
from lemonade_tf.inheritance import layer_fits
from lemonade_tf.inheritance.layer_fits import fit_layer
from lemonade_tf.operators.kernels import full_kernel, separate

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def loss(x, kernel, y):
    rest = x @ kernel - y
    return (rest**2).mean()


def test_the_norm_of_a_kernel_does_not_grow_much():
    """The channels of the input are nearly equal; the output depends on their difference."""
    same = normal(800, 1, 1, 1)
    windows = np.repeat(same, 6, axis=3) + 0.01 * normal(800, 1, 1, 6)
    y = 1000 * (windows[:, 0, 0, :1] - windows[:, 0, 0, 1:2]).astype(np.float32)
    weights = {"kernel": normal(1, 1, 6, 1)}
    new, _ = fit_layer(L.Conv2D(1, 1), weights, None, windows, y, np.arange(1), free_mean=False)
    free = np.linalg.lstsq(windows.reshape(800, 6), y)[0]
    assert np.linalg.norm(free) > 300 * np.linalg.norm(weights["kernel"])
    assert np.linalg.norm(new["kernel"]) < 2 * np.linalg.norm(weights["kernel"])


@pytest.mark.parametrize("separable", [False, True])
def test_a_kernel_that_would_grow_with_any_ridge_is_inherited(separable):
    """The desired output is 1000 times the present one; only its mean is fitted."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.normal(size=shape).astype(np.float32)

    windows = draw(800, 1, 1, 3)
    if separable:
        layer = L.SeparableConv2D(2, 1)
        weights = {"depthwise_kernel": draw(1, 1, 3, 1), "pointwise_kernel": draw(1, 1, 3, 2)}
    else:
        layer, weights = L.Conv2D(2, 1), {"kernel": draw(1, 1, 3, 2)}
    kernel = full_kernel(layer, weights)[0, 0]
    y = 1000 * windows[:, 0, 0] @ kernel + 7
    new, mean = fit_layer(layer, weights, None, windows, y, np.arange(2), free_mean=True)
    for key, value in weights.items():
        np.testing.assert_array_equal(new[key], value)
    expected = y.mean(axis=0) - windows[:, 0, 0].mean(axis=0) @ kernel
    np.testing.assert_allclose(mean, expected, rtol=1e-4)


LAYERS = {
    "convolution": (L.Conv2D(4, 3), {"kernel": normal(3, 3, 5, 4)}),
    "with bias": (L.Conv2D(4, 3, use_bias=True), {"kernel": normal(3, 3, 5, 4), "bias": normal(4)}),
    "grouped": (L.Conv2D(4, 3, groups=2), {"kernel": normal(3, 3, 5, 4)}),
    "dense": (L.Dense(4), {"kernel": normal(5, 4), "bias": normal(4)}),
    "separable": (
        L.SeparableConv2D(4, 3, depth_multiplier=2),
        {"depthwise_kernel": normal(3, 3, 5, 2), "pointwise_kernel": normal(1, 1, 10, 4)},
    ),
}
every_layer = pytest.mark.parametrize(("layer", "weights"), LAYERS.values(), ids=LAYERS)


def windows_for(layer, rows=600):
    size = (1, 1) if isinstance(layer, L.Dense) else (3, 3)
    channels = 10 if isinstance(layer, L.Conv2D) and layer.groups == 2 else 5
    return normal(rows, *size, channels) + 0.3


def outputs_of(layer, weights, windows):
    x = windows.reshape(len(windows), -1)
    return x @ full_kernel(layer, weights).reshape(x.shape[1], -1) + weights.get("bias", 0)


@every_layer
def test_a_layer_with_the_desired_output_stays_the_same(layer, weights):
    windows = windows_for(layer)
    y = outputs_of(layer, weights, windows)
    new, missing_mean = fit_layer(layer, weights, None, windows, y, np.arange(4), free_mean=False)
    assert set(new) == set(weights)
    np.testing.assert_array_equal(missing_mean, 0)
    np.testing.assert_allclose(outputs_of(layer, new, windows), y, atol=2e-3)


@every_layer
def test_a_fit_brings_the_output_closer(layer, weights):
    windows = windows_for(layer)
    y = outputs_of(layer, weights, windows) + 3 * normal(1, 4)  # another mean
    start = {key: value + 0.5 * normal(*value.shape) for key, value in weights.items()}
    new, missing_mean = fit_layer(layer, start, None, windows, y, np.arange(4), free_mean=True)

    def spread(weights):
        return (y - outputs_of(layer, weights, windows)).var(axis=0).mean()

    assert spread(new) < 0.05 * spread(start)
    mean = outputs_of(layer, new, windows).mean(0) + missing_mean
    np.testing.assert_allclose(mean, y.mean(0), atol=2e-3)
    assert ("bias" in weights) == (not missing_mean.any())
    for key, value in new.items():
        assert (value.shape, value.dtype) == (weights[key].shape, np.float32)


@every_layer
def test_only_the_given_filters_are_fitted(layer, weights):
    windows, columns = windows_for(layer), np.array([0, 2])
    y = outputs_of(layer, weights, windows)[:, columns] + normal(600, 2)
    new, _ = fit_layer(layer, weights, None, windows, y, columns, free_mean=False)
    for key in set(weights) - {"depthwise_kernel"}:
        np.testing.assert_array_equal(new[key][..., [1, 3]], weights[key][..., [1, 3]])
        assert not np.array_equal(new[key][..., columns], weights[key][..., columns])


def test_only_the_center_of_large_windows_is_fitted(monkeypatch):
    monkeypatch.setattr(layer_fits, "MAX_COLUMNS", 10)
    layer, weights = LAYERS["convolution"]
    windows = windows_for(layer)
    y = outputs_of(layer, weights, windows) + windows[:, 1, 1] @ normal(5, 4)
    new, _ = fit_layer(layer, weights, None, windows, y, np.arange(4), free_mean=False)
    change = new["kernel"] - weights["kernel"]
    assert np.abs(change[1, 1]).max() > 0.1
    change[1, 1] = 0
    np.testing.assert_array_equal(change, 0)
    np.testing.assert_allclose(outputs_of(layer, new, windows), y, atol=0.1)


def test_a_separable_convolution_with_a_large_window_is_left_unchanged(monkeypatch):
    layer, weights = LAYERS["separable"]
    windows = windows_for(layer)
    y = outputs_of(layer, weights, windows) + windows[:, 1, 1] @ normal(5, 4)
    for max_columns, is_unchanged in ((2 * 45 - 1, True), (2 * 45, False)):
        monkeypatch.setattr(layer_fits, "MAX_COLUMNS", max_columns)
        new, _ = fit_layer(layer, weights, None, windows, y, np.arange(4), free_mean=False)
        assert all((new[key] is weights[key]) == is_unchanged for key in weights)


def correlated(rows, channels=4):
    """Return windows of correlated pixels, like those of images."""
    return (normal(rows, 1, 1, channels) + 0.2 * normal(rows, 3, 3, channels)).astype(np.float32)


def test_factors_weighted_by_the_data_fit_it_better():
    kernel, windows = normal(3, 3, 4, 6), correlated(2000)
    x = windows.reshape(2000, -1)
    y = x @ kernel.reshape(-1, 6)
    moments = np.stack([w.T @ w / 2000 for w in np.moveaxis(windows.reshape(2000, 9, 4), 2, 0)])
    layer = L.SeparableConv2D(6, 3)

    def off(weights):
        return loss(x, full_kernel(layer, weights).reshape(-1, 6), y)

    plain, weighted = separate(kernel), separate(kernel, moments=moments)
    assert off(weighted) < 0.7 * off(plain)
    new, _ = fit_layer(layer, plain, kernel, windows, y, np.arange(6), free_mean=False)
    assert off(new) < off(weighted)
    other = {key: normal(*value.shape) for key, value in plain.items()}
    same, _ = fit_layer(layer, other, kernel, windows, y, np.arange(6), free_mean=False)
    for key, value in new.items():  # the fit starts from the replaced kernel alone
        np.testing.assert_array_equal(same[key], value)


def test_weighted_factors_of_a_separable_kernel_are_exact():
    layer = L.SeparableConv2D(6, 3)
    weights = {"depthwise_kernel": normal(3, 3, 4, 1), "pointwise_kernel": normal(1, 1, 4, 6)}
    kernel = full_kernel(layer, weights)
    windows = correlated(500)
    moments = np.stack([w.T @ w / 500 for w in np.moveaxis(windows.reshape(500, 9, 4), 2, 0)])
    again = full_kernel(layer, separate(kernel, moments=moments))
    np.testing.assert_allclose(again, kernel, atol=1e-5)


def test_a_channel_without_data_gives_finite_factors():
    moments = np.stack([np.eye(9), np.zeros((9, 9))])
    found = separate(normal(3, 3, 2, 5), moments=moments)
    assert all(np.isfinite(value).all() for value in found.values())
