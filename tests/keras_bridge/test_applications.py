"""The networks of keras.applications: there and back again, and their multiply-adds.

    pytest tests/keras_bridge/test_applications.py -m slow -s

prints the largest difference of outputs.
"""

import keras
import numpy as np
import pytest
from keras_networks import randomised

from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.keras_bridge import from_keras, to_keras

pytestmark = pytest.mark.slow

# Multiply-adds in millions, of an image of that side, and how far the count may be from them.
# Papers differ in what they count, and in where a network puts its strides and its padding.
PUBLISHED = {
    "MobileNet": (224, 569, 0.01),  # Howard et al., 2017, Table 4
    "MobileNetV2": (224, 300, 0.01),  # Sandler et al., 2018, Table 4
    "MobileNetV3Large": (224, 219, 0.02),  # Howard et al., 2019, Table 3
    "MobileNetV3Small": (224, 56, 0.02),  # likewise
    "ResNet50": (224, 3_800, 0.02),  # He et al., 2016, Table 1: 3.8e9
    "DenseNet121": (224, 2_830, 0.01),  # torchvision's table of models: 2.83 GFLOPS
    "EfficientNetB0": (224, 390, 0.02),  # Tan and Le, 2019, Table 2: 0.39e9
    "NASNetMobile": (224, 564, 0.01),  # Zoph et al., 2018, Table 3
    "Xception": (299, 8_380, 0.01),  # Zoph et al., 2018, Table 2
    "VGG16": (224, 15_300, 0.02),  # He et al., 2016, section 3.3: 15.3e9
    "ResNet50V2": (224, None, None),  # Keras strides elsewhere than He et al., 2016b
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_there_and_back_again(name):
    side = 71 if name == "Xception" else 64
    build = getattr(keras.applications, name)
    # Logits, because probabilities of networks with random weights are 0 and 1, or all the same.
    model = build(weights=None, input_shape=(side, side, 3), classifier_activation=None)
    randomised(model)
    graph = from_keras(model)
    assert count_parameters(graph) == model.count_params()
    _compare_multiply_adds(name, graph.copy(weights=False))
    again = to_keras(graph)
    names = {layer.name for layer in again.layers}
    for layer in model.layers:
        assert layer.name in names
        given = {v.name: np.asarray(v.value) for v in layer.weights}
        found = {v.name: np.asarray(v.value) for v in again.get_layer(layer.name).weights}
        assert given.keys() == found.keys()
        for key, value in given.items():
            np.testing.assert_array_equal(found[key], value)
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    expected, found = (np.asarray(m(images, training=False)) for m in (model, again))
    difference = np.abs(found - expected).max()
    print(
        f"\n{name}: largest difference of outputs {difference:.1e} (largest {expected.max():.2g})"
    )
    assert difference <= 1e-6


def _compare_multiply_adds(name, graph):
    side, published, tolerance = PUBLISHED[name]
    graph.set_layer(graph.input, kinds.Input((side, side, 3)))
    counted = count_multiply_adds(graph)
    print(f"\n{name} at {side}x{side}: {counted:,} multiply-adds; published {published} million")
    if published is not None:
        assert counted / 1e6 == pytest.approx(published, rel=tolerance)
