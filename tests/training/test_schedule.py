from dataclasses import replace

import numpy as np

from lemonade_tf.training.schedule import cosine, learning_rates, stepwise
from lemonade_tf.training.settings import TrainingSettings


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


def test_a_step_schedule_divides_by_5_every_10_epochs():
    rates = stepwise(0.01, 40, every=10, factor=0.2)
    expected = np.repeat([0.01, 0.002, 0.0004, 0.00008], 10)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert rates.dtype == np.float32


def test_the_schedule_is_that_of_the_settings():
    settings = TrainingSettings(learning_rate=0.5, decay_epochs=2, decay_factor=0.1)
    np.testing.assert_array_equal(learning_rates(settings, 3, 4).ravel(), cosine(0.5, 12))
    rates = learning_rates(replace(settings, schedule="step"), 3, 4)
    np.testing.assert_allclose(rates, [[0.5] * 4, [0.5] * 4, [0.05] * 4], rtol=1e-6)
    assert learning_rates(replace(settings, schedule="step"), 3, 0).shape == (3, 0)
