from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.training.evaluation import (
    error_on_test_images,
    error_rate,
    predict,
    ranked_error_rate,
    worst_classes,
)
from lemonade_tf.training.fit import TrainingDiverged


def test_the_error_is_the_fraction_of_misclassified_images(network, digits):
    forward = current_backend().forward(to_keras(network, logits=True))
    right = np.asarray(to_keras(network)(digits.x_test)).argmax(axis=1)
    labels = right.copy()
    labels[:25] = (labels[:25] + 1) % 10
    assert error_rate(predict(forward, digits.x_test, batch_size=30), labels) == 0.25
    assert error_rate(predict(forward, digits.x_test), right) == 0.0
    assert error_on_test_images(forward, replace(digits, y_test=labels), batch_size=30) == 0.25
    assert forward.num_traces == 1


def test_the_cross_entropy_breaks_ties_between_errors():
    labels = np.array([0, 1, 1, 0])
    # The mean cross-entropy is log(2), of which log(2) / (1 + log(2)) is 0.409.
    half = np.array([[0.5, 0.1], [0.1, 0.5], [0.1, 0.5], [0.5, 0.9]])
    assert error_rate(half, labels) == 0.25
    assert ranked_error_rate(half, labels) == (1 + 0.409) / 4
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.5, 0.9]])
    assert error_rate(sure, labels) < ranked_error_rate(sure, labels)
    assert ranked_error_rate(sure, labels) < ranked_error_rate(half, labels)
    assert ranked_error_rate(np.eye(2)[labels], labels) == 0


def test_no_cross_entropy_is_worth_a_misclassified_image():
    labels = np.zeros(50, int)
    unsure = np.full((50, 1000), 1e-3)  # the first of equal probabilities counts
    sure_but_once = np.eye(1000)[[1, *[0] * 49]]
    assert (error_rate(unsure, labels), error_rate(sure_but_once, labels)) == (0, 0.02)
    assert ranked_error_rate(unsure, labels) < ranked_error_rate(sure_but_once, labels)
    wrong, nearly = np.eye(2)[np.ones(50, int)], np.eye(2)[[0, *[1] * 49]]  # finite
    assert 1 < ranked_error_rate(wrong, labels) < 1.02
    assert 0.98 < ranked_error_rate(nearly, labels) < 1


def test_the_last_digits_of_probabilities_do_not_count():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(10), 300), rng.integers(10, size=300)
    other = probabilities * (1 + 1e-6 * rng.standard_normal(probabilities.shape))
    assert ranked_error_rate(probabilities, labels) == ranked_error_rate(other, labels)


def test_without_test_images_there_is_no_test_error(network, digits):
    forward = current_backend().forward(to_keras(network, logits=True))
    assert error_on_test_images(forward, replace(digits, x_test=None, y_test=None)) is None


def test_probabilities_do_not_depend_on_the_batch(network, digits):
    forward = current_backend().forward(to_keras(network, logits=True))
    found = predict(forward, digits.x_test, batch_size=7)
    np.testing.assert_allclose(found, predict(forward, digits.x_test), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_outputs_that_are_not_finite_are_divergence(network, digits):
    model = to_keras(network, logits=True)
    model.get_layer("logits").bias.assign(np.full(10, np.nan))
    with pytest.raises(TrainingDiverged, match="not finite for 100 of 100 images"):
        predict(current_backend().forward(model), digits.x_test)


def test_the_classes_with_the_highest_errors_come_first():
    labels = np.array([0, 0, 0, 0, 1, 1, 3, 3])
    predicted = np.array([0, 2, 0, 0, 1, 0, 2, 1])
    # Class 2 has no images.
    assert worst_classes(np.eye(4)[predicted], labels) == [[3, 2, 2], [1, 1, 2], [0, 1, 4]]
    many = np.arange(30)
    assert worst_classes(np.eye(30)[many], many) == [[index, 0, 1] for index in range(20)]
