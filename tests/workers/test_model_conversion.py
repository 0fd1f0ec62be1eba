"""Keras files of the user become network files that take raw pixels and output probabilities."""

import keras
import numpy as np
import pytest

from lemonade_tf.architecture.layers import Activation, Rescaling
from lemonade_tf.errors import LemonadeError
from lemonade_tf.keras_bridge import load_graph, load_model
from lemonade_tf.workers import model_conversion
from lemonade_tf.workers.model_conversion import convert

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPE = (4, 4, 1)
RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 2
IMAGES = (80 * LABELS[:, None, None, None] + RNG.integers(60, 90, (40, *SHAPE))).astype(np.uint8)


@pytest.fixture
def convert_model(tmp_path):
    """Return a function that converts a model; it returns the network and the notes."""

    def converted(model, *, input_shape=SHAPE, num_classes=2):
        source, target, sample = (tmp_path / name for name in ("m.keras", "m.h5", "sample.npz"))
        model.save(source)
        np.savez(sample, x=IMAGES, y=LABELS)
        notes = convert(str(source), str(target), list(input_shape), num_classes, str(sample))
        return target, notes

    return converted


def brightness(threshold, activation="softmax", shape=SHAPE):
    """Return a model that decides whether the mean of an image is above a threshold."""
    source = keras.Input(shape)
    mean = keras.layers.GlobalAveragePooling2D()(source)
    model = keras.Model(source, keras.layers.Dense(2, activation=activation)(mean))
    slope = 10 / threshold
    model.set_weights([np.array([[-slope, slope]]), np.array([10.0, -10.0])])
    return model


def test_a_model_for_raw_pixels_stays(convert_model):
    model = brightness(120.0)
    file, notes = convert_model(model)
    assert notes == []
    pixels = IMAGES.astype(np.float32)
    np.testing.assert_array_equal(load_model(file).predict_on_batch(pixels), model(pixels))


@pytest.mark.parametrize(
    ("threshold", "pixels", "rescaling"),
    [(120 / 255, "0 to 1", Rescaling(1 / 255)), (-0.06, "-1 to 1", Rescaling(1 / 127.5, -1.0))],
)
def test_a_model_for_other_pixels_gets_a_rescaling(convert_model, threshold, pixels, rescaling):
    model = brightness(threshold)
    if threshold < 0:
        model.set_weights([np.array([[-20.0, 20.0]]), np.array([-1.2, 1.2])])
    file, notes = convert_model(model)
    assert notes == [
        f"it takes pixels from {pixels}, so a rescaling of raw pixels was added: its error on 40"
        " validation images is 0.0% instead of 50.0%"
    ]
    assert load_graph(file)["raw_pixels_1"].layer == rescaling


def test_logits_get_a_softmax(convert_model):
    file, notes = convert_model(brightness(120.0, activation=None))
    assert notes == ["a softmax was added: it outputs logits"]
    graph = load_graph(file)
    assert graph[graph.output].layer == Activation("softmax")


def test_open_sizes_are_those_of_the_images(convert_model):
    file, notes = convert_model(brightness(120.0, shape=(None, None, 1)))
    graph = load_graph(file)
    assert (graph.shapes()[graph.input], notes) == (SHAPE, [])


def test_a_model_for_other_classes_is_not_judged(convert_model):
    _, notes = convert_model(brightness(120 / 255), num_classes=5)
    assert notes == []


def test_another_end_is_refused(convert_model):
    source = keras.Input(SHAPE)
    mean = keras.layers.GlobalAveragePooling2D()(source)
    model = keras.Model(source, keras.layers.Dense(1, activation="sigmoid")(mean))
    with pytest.raises(LemonadeError, match=r"is a Activation; expected a dense layer with one"):
        convert_model(model)


def test_images_are_judged_in_small_batches(monkeypatch):
    """All activations of a batch are in memory at a time."""
    sizes = []

    def model(images):
        sizes.append(len(images))
        return np.eye(4)[images[:, 0, 0, 0].astype(int)]

    monkeypatch.setattr(model_conversion, "to_keras", lambda graph: model)
    labels = np.arange(40) % 4
    images = np.zeros((40, 8, 8, 1), np.uint8) + labels[:, None, None, None]
    wrong = np.where(np.arange(40) < 10, 3 - labels, labels)
    assert model_conversion._error(None, images.astype(np.uint8), wrong) == 0.25
    assert sum(sizes) == 40
    assert max(sizes) <= 16
