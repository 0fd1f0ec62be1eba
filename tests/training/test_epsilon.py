import numpy as np
import pytest

from lemonade_tf.training.epsilon import epsilon

P = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], np.float32)


def test_by_hand():
    q = np.array([[0.25, 0.25, 0.5], [0.5, 0.5, 0.0]], np.float32)
    found = epsilon(P, q)
    assert found["cross_entropy"] == pytest.approx((np.log(4) + np.log(2)) / 2)
    entropy = np.log(2) / 2
    assert found["kl"] == pytest.approx((np.log(4) + np.log(2)) / 2 - entropy)


def test_of_the_same_network():
    found = epsilon(P, P)
    assert found["kl"] == 0
    assert found["cross_entropy"] == pytest.approx(np.log(2) / 2)  # the parent's entropy


def test_probabilities_that_underflowed():
    found = epsilon(P, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32))
    assert np.isfinite(found["kl"])
    assert found["kl"] > 40
