"""The error of a trained network after int8 quantization."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import keras
import numpy as np
import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.keras_bridge import read_weights, to_keras
from lemonade_tf.objectives import INT8_ERROR, ObjectiveError, TrainedNetwork
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.evaluation import error_rate, predict
from lemonade_tf.training.fit import fit
from lemonade_tf.training.settings import TrainingSettings


@pytest.fixture(scope="module")
def trained() -> TrainedNetwork:
    """A network with an error of some ten percent on the digits."""
    data = load_dataset("digits")
    initial = NETWORKS.initial_graphs((8, 8, 1), 10, rescaling=data.rescaling())[0]
    keras.utils.set_random_seed(0)
    model = current_backend().training_model(initial)
    settings = TrainingSettings(epochs=3)
    images, labels = current_backend().place(data.x_train), current_backend().place(data.y_train)
    rng = np.random.default_rng(0)
    fit(model, images, labels, epochs=3, settings=settings, rng=rng)
    graph = read_weights(model, initial)
    probabilities = predict(current_backend().forward(model), data.x_validation)
    return TrainedNetwork(
        graph,
        data.x_validation,
        data.y_validation,
        probabilities,
        make_model=lambda: to_keras(graph),
        make_file=lambda: None,
        training_images=data.x_train,
        backend=current_backend(),
    )


def test_int8_error_is_the_error_of_the_quantized_network(trained):
    error = error_rate(trained.probabilities, trained.labels)
    found = INT8_ERROR.measured(trained)
    assert 0.02 < error < 0.5  # otherwise the comparison means little
    assert abs(found - error) < 0.05
    backend = current_backend()
    content = backend.to_lite(
        trained.graph, logits=True, quantize="int8", calibration=trained.training_images[:128]
    )
    outputs = backend.lite_model(content).predict(trained.images)
    assert found == (outputs.argmax(axis=1) != trained.labels).mean()
    agreeing = (outputs.argmax(axis=1) == trained.probabilities.argmax(axis=1)).mean()
    assert agreeing > 0.9


def test_int8_error_does_not_depend_on_the_float_predictions(trained):
    blind = replace(trained, probabilities=np.zeros_like(trained.probabilities))
    assert INT8_ERROR.measured(blind) == INT8_ERROR.measured(trained)


def test_wrong_calibration_increases_the_error(trained):
    """The ranges of a black image clip all activations of a digit."""
    black = replace(trained, training_images=np.zeros_like(trained.training_images[:1]))
    assert INT8_ERROR.measured(black) > INT8_ERROR.measured(trained) + 0.2


def test_a_failed_quantization_is_an_objective_error(trained):
    nothing = replace(trained, graph=Graph())
    with pytest.raises(ObjectiveError, match="the objective 'int8_error' raised"):
        INT8_ERROR.measured(nothing)


def test_the_reference_is_the_chance_level_error():
    assert INT8_ERROR.reference_value([], 10) == 0.9
