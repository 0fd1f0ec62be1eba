"""What is built does not depend on Keras's settings of the process, which stay as they are."""

import keras
import numpy as np
import pytest

from lemonade_tf import Surgery
from lemonade_tf.keras_bridge import from_keras, load_graph, load_model, save_model, to_keras
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults

SETTINGS = {
    "image_data_format": "channels_first",
    "floatx": "float16",
    "dtype_policy": "mixed_bfloat16",
    "epsilon": 1e-4,
}


def settings_of_keras() -> dict:
    found = {name: getattr(keras.config, name)() for name in SETTINGS}
    return found | {"dtype_policy": found["dtype_policy"].name}


@pytest.fixture
def other_settings():
    """Return a function that changes Keras's settings until the end of the test."""
    with keras_defaults():
        yield lambda: [getattr(keras.config, f"set_{name}")(SETTINGS[name]) for name in SETTINGS]


def test_settings_are_restored(other_settings):
    other_settings()
    with keras_defaults():
        assert settings_of_keras() == {
            "image_data_format": "channels_last",
            "floatx": "float32",
            "dtype_policy": "float32",
            "epsilon": 1e-7,
        }
    assert settings_of_keras() == SETTINGS


def test_conversions_and_files_ignore_the_settings(
    graph, images, tmp_path, assert_same, other_settings
):
    before = to_keras(graph)
    config, expected = before.get_config(), np.asarray(before(images))
    other_settings()
    after = to_keras(graph)
    assert after.get_config() == config
    assert_same(graph, from_keras(to_keras(graph, learnable=True)))
    save_model(graph, tmp_path / "a.h5", {})
    assert_same(graph, load_graph(tmp_path / "a.h5"))
    loaded = load_model(tmp_path / "a.h5")
    assert settings_of_keras() == SETTINGS
    keras.config.set_image_data_format("channels_last")  # Keras's Rescaling asks for it in a call
    for model in (after, loaded):
        np.testing.assert_array_equal(model(images), expected)


@pytest.mark.filterwarnings("ignore:the images, from", "ignore:7 images are few")
def test_edits_ignore_the_settings(graph, images, other_settings):
    model = to_keras(graph)

    def edited() -> keras.Model:
        surgery = Surgery(model, images=images)
        surgery.widen("conv")  # exact
        surgery.prune("conv", 0.5)  # approximate, fitted to the images
        return surgery.model()

    expected = edited()
    other_settings()
    found = edited()
    assert found.get_config() == expected.get_config()
    for value, right in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(value, right)
