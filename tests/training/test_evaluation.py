import numpy as np
import pytest

from lemonade_tf.backends.base import backend
from lemonade_tf.keras_bridge import to_keras
from lemonade_tf.training.evaluation import error, predict
from lemonade_tf.training.fit import TrainingDiverged


def test_error_is_the_share_of_wrong_images(network, digits):
    forward = backend().forward(to_keras(network, logits=True))
    images = digits.x_test
    right = np.asarray(to_keras(network)(images)).argmax(axis=1)
    labels = right.copy()
    labels[:25] = (labels[:25] + 1) % 10
    assert error(forward, images, labels, batch_size=30) == 0.25
    assert error(forward, images, right) == 0.0
    assert forward.num_traces == 1


def test_probabilities_do_not_depend_on_the_batch(network, digits):
    forward = backend().forward(to_keras(network, logits=True))
    found = predict(forward, digits.x_test, batch_size=7)
    np.testing.assert_allclose(found, predict(forward, digits.x_test), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_predictions_that_are_not_finite(network, digits):
    model = to_keras(network, logits=True)
    model.get_layer("logits").bias.assign(np.full(10, np.nan))
    with pytest.raises(TrainingDiverged, match="not finite for 100 of 100 images"):
        error(backend().forward(model), digits.x_test, digits.y_test)
