from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.training.evaluation import (
    error_on_test_images,
    error_rate,
    predict,
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
