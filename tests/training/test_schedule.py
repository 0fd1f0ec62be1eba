import numpy as np

from lemonade_tf.training.schedule import cosine


def test_values():
    half = np.sqrt(0.5)
    expected = 0.01 * np.array([1, (1 + half) / 2, 0.5, (1 - half) / 2])
    np.testing.assert_allclose(cosine(0.01, 4), expected, rtol=1e-6)
    assert cosine(0.01, 4).dtype == np.float32


def test_it_starts_at_the_learning_rate_and_falls_towards_zero():
    rates = cosine(0.025, 1000)
    assert rates[0] == np.float32(0.025)
    assert (np.diff(rates) < 0).all()
    assert 0 < rates[-1] < 1e-6


def test_no_steps():
    assert cosine(0.01, 0).shape == (0,)
