"""The networks of keras.applications: round trips, operators, multiply-adds.

    pytest tests/keras_bridge/test_applications.py -m slow -s

prints the figures.
"""

import keras
import numpy as np
import pytest
from keras_networks import randomised

from lemonade_tf.architecture import check
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.keras_bridge import from_keras, to_keras
from lemonade_tf.operators import APPROXIMATE, EXACT

pytestmark = pytest.mark.slow

# Side of the image, multiply-adds in millions, and the tolerance. Papers differ in what they count,
# and in where a network has its strides and its padding.
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


@pytest.fixture(scope="module", params=PUBLISHED)
def application(request):
    """Name of a network, the Keras model, its graph."""
    build, side = getattr(keras.applications, request.param), _side(request.param)
    # Logits, because probabilities of networks with random weights are 0 and 1, or all the same.
    model = build(weights=None, input_shape=(side, side, 3), classifier_activation=None)
    return request.param, model, from_keras(randomised(model))


def _side(name):
    return 71 if name == "Xception" else 64


def _outputs(name, *models):
    side = _side(name)
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    return [np.asarray(model(images, training=False)) for model in models]


def test_a_round_trip_keeps_the_function(application):
    name, model, graph = application
    assert count_parameters(graph) == model.count_params()
    again = to_keras(graph)
    for layer in model.layers:
        given = {v.name: np.asarray(v.value) for v in layer.weights}
        found = {v.name: np.asarray(v.value) for v in again.get_layer(layer.name).weights}
        assert given.keys() == found.keys()
        for key, value in given.items():
            np.testing.assert_array_equal(found[key], value)
    expected, found = _outputs(name, model, again)
    largest = np.abs(expected).max()
    difference = np.abs(found - expected).max() / largest
    print(f"\n{name}: largest difference of logits {difference:.1e}, relative to {largest:.2g}")
    assert np.isfinite(difference)
    assert difference <= 1e-6


def test_multiply_adds(application):
    name, _, graph = application
    side, published, tolerance = PUBLISHED[name]
    graph = graph.copy(weights=False)
    graph.set_layer(graph.input, kinds.Input((side, side, 3)))
    counted = count_multiply_adds(graph)
    print(f"\n{name} at {side}x{side}: {counted:,} multiply-adds; published {published} million")
    if published is not None:
        assert counted / 1e6 == pytest.approx(published, rel=tolerance)


def test_exact_operators_keep_the_function(application):
    name, model, graph = application
    rng = np.random.default_rng(2)
    most, done = 2 * count_parameters(graph), 0
    for operator in EXACT:
        sites = operator.candidates(graph)
        for site in (sites[i] for i in rng.permutation(len(sites))[:5]):
            shapes = operator.apply(graph.copy(weights=False), site, rng=rng).graph
            if count_parameters(shapes) <= most:
                graph, done = operator.apply(graph, site, rng=rng).graph, done + 1
                check(graph)
                break
    assert done == (
        2 if name == "EfficientNetB0" else 3
    )  # none of its activations is never negative
    expected, found = _outputs(name, model, to_keras(graph))
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"\n{name}: relative change by {done} exact operators {difference:.1e}")
    assert difference <= 1e-5


def test_children_pass_all_checks(application):
    _, _, graph = application
    graph = graph.copy(weights=False)
    rng = np.random.default_rng(3)
    for operator in (*EXACT, *APPROXIMATE) * 2:
        sites = operator.candidates(graph)
        if sites:
            site = sites[int(rng.integers(len(sites)))]
            child = operator.apply(graph, site, rng=rng).graph
            check(child)
            before, after = count_parameters(graph), count_parameters(child)
            assert (after >= before) if operator.exact else (after <= before), site
            graph = child
