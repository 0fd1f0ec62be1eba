"""Full, composed and factored kernels, compared with a reference convolution."""

import numpy as np
import pytest
from reference import _apply

from lemonade_tf.architecture import layers as L
from lemonade_tf.operators.kernels import compose, full_kernel, same_window, separate, with_kernel


def _rng():
    return np.random.default_rng(0)


def _convolve(x, kernel, padding="same"):
    layer = L.Conv2D(kernel.shape[-1], kernel.shape[:2], padding=padding)
    return _apply(layer, {"kernel": np.asarray(kernel, np.float64)}, x)


def _weights(layer, channels):
    shapes = layer.weight_shapes((9, 9, channels))
    return {key: _rng().normal(size=shape) for key, shape in shapes.items()}


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize("window", [1, 3, (3, 5)])
def test_the_full_kernel_of_a_separable_convolution(window, multiplier):
    layer = L.SeparableConv2D(5, window, depth_multiplier=multiplier)
    weights = _weights(layer, 4)
    x = _rng().normal(size=(2, 9, 9, 4))
    kernel = full_kernel(layer, weights)
    assert kernel.shape == (*layer.kernel_size, 4, 5)
    np.testing.assert_allclose(_convolve(x, kernel), _apply(layer, weights, x), atol=1e-12)


def test_the_full_kernel_of_a_grouped_convolution():
    layer = L.Conv2D(6, 3, groups=2)
    weights = _weights(layer, 4)
    kernel = full_kernel(layer, weights)
    assert kernel.shape == (3, 3, 4, 6)
    x = _rng().normal(size=(2, 9, 9, 4))
    np.testing.assert_allclose(_convolve(x, kernel), _apply(layer, weights, x), atol=1e-12)


def test_the_full_kernel_of_other_layers():
    kernel = _rng().normal(size=(4, 5))
    assert full_kernel(L.Dense(5), {"kernel": kernel}).shape == (1, 1, 4, 5)
    assert full_kernel(L.Conv2D(5), {"kernel": kernel}) is kernel


@pytest.mark.parametrize(
    "layer", [L.Dense(5), L.Conv2D(5, 3, use_bias=True), L.SeparableConv2D(5, 3, use_bias=True)]
)
def test_with_kernel_sets_the_full_kernel(layer):
    weights = _weights(layer, 4)
    kernel = full_kernel(layer, weights)
    again = with_kernel(layer, weights, kernel)
    assert {k: np.shape(v) for k, v in again.items()} == layer.weight_shapes((9, 9, 4))
    assert again["bias"] is weights["bias"]
    np.testing.assert_allclose(full_kernel(layer, again), kernel, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_kernels_of_low_rank_are_separated_exactly(rank):
    layer = L.SeparableConv2D(5, 3, depth_multiplier=rank)
    kernel = full_kernel(layer, _weights(layer, 4))
    again = full_kernel(layer, separate(kernel, rank))
    np.testing.assert_allclose(again, kernel, atol=1e-6)


def test_factors_beyond_the_rank_are_zero():
    kernel = _rng().normal(size=(1, 2, 4, 5))
    factors = separate(kernel, 3)
    assert factors["depthwise_kernel"].shape == (1, 2, 4, 3)
    assert (factors["depthwise_kernel"][..., 2] == 0).all()
    layer = L.SeparableConv2D(5, (1, 2), depth_multiplier=3)
    np.testing.assert_allclose(full_kernel(layer, factors), kernel, atol=1e-6)


def test_the_separated_kernel_is_the_closest_one():
    """The error is the sum of the squared smaller singular values, and no step reduces it."""
    kernel = _rng().normal(size=(3, 3, 2, 5))
    layer, factors = L.SeparableConv2D(5, 3), separate(kernel)
    assert all(value.dtype == np.float32 for value in factors.values())

    def error(weights):
        return np.square(full_kernel(layer, weights) - kernel).sum()

    values = [np.linalg.svd(kernel[:, :, i].reshape(9, 5))[1] for i in range(2)]
    least = sum(np.square(v[1:]).sum() for v in values)
    assert error(factors) == pytest.approx(least, rel=1e-6)
    for key in factors:
        for step in (1e-2, -1e-2):
            moved = {**factors, key: factors[key] + step * _rng().normal(size=factors[key].shape)}
            assert error(moved) > least


@pytest.mark.parametrize(
    ("first", "second"), [(1, 3), (3, 3), (3, 5), (5, 3), ((1, 3), 3), ((3, 1), (1, 3)), (3, 2)]
)
def test_a_composed_kernel_equals_both_in_sequence(first, second):
    """Away from the border, and with a second kernel so wide that nothing is cropped."""
    first, second = (L.Conv2D(1, k).kernel_size for k in (first, second))
    one = _rng().normal(size=(*first, 2, 3))
    other = np.zeros((*(a + b - 1 for a, b in zip(first, second, strict=True)), 3, 4))
    top, left = first[0] // 2, first[1] // 2
    other[top : top + second[0], left : left + second[1]] = _rng().normal(size=(*second, 3, 4))
    x = _rng().normal(size=(1, 16, 16, 2))
    expected = _convolve(_convolve(x, one), other)[:, 6:-6, 6:-6]
    composed = compose(one, other)
    assert composed.shape == (*other.shape[:2], 2, 4)
    np.testing.assert_allclose(_convolve(x, composed)[:, 6:-6, 6:-6], expected, atol=1e-5)


def test_a_composed_kernel_is_cropped():
    one, other = _rng().normal(size=(3, 3, 2, 3)), _rng().normal(size=(3, 3, 3, 4))
    wide = np.pad(other, ((1, 1), (1, 1), (0, 0), (0, 0)))
    np.testing.assert_allclose(compose(one, other), compose(one, wide)[1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize(("first", "second"), [(9, 3), (7, 2), (11, 3), ((1, 9), (3, 2))])
def test_a_kernel_much_larger_than_the_second_is_cropped(first, second):
    first, second = (L.Conv2D(1, k).kernel_size for k in (first, second))
    one, other = _rng().normal(size=(*first, 2, 3)), _rng().normal(size=(*second, 3, 4))
    pads = [(k // 2, k // 2) for k in first]
    wide = compose(one, np.pad(other, (*pads, (0, 0), (0, 0))))
    inside = tuple(slice(a, a + k) for (a, _), k in zip(pads, second, strict=True))
    np.testing.assert_allclose(compose(one, other), wide[inside], atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "keeps"),
    [
        (L.Conv2D(3), True),
        (L.Conv2D(3, (1, 5)), True),
        (L.SeparableConv2D(3, 5), True),
        (L.Conv2D(3, 2), False),
        (L.Conv2D(3, (3, 4)), False),
        (L.Conv2D(3, strides=(1, 2)), False),
        (L.Conv2D(3, 1, padding="valid"), True),
        (L.Conv2D(3, 3, padding="valid"), False),
    ],
    ids=str,
)
def test_same_window_is_true_if_the_resolution_stays(layer, keeps):
    assert same_window(layer) == keeps
