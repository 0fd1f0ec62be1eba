import numpy as np
import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.inheritance.batch_statistics import measure_statistics
from lemonade_tf.keras_bridge import load_graph, read_weights, to_keras
from lemonade_tf.operators import EXACT, MeasureStatistics, replay


def child_of(parent, *, names, seed=0):
    """Apply one site of each of the named operators, and return the change."""
    rng = np.random.default_rng(seed)
    records, graph = [], parent
    for name in names:
        operator = next(o for o in EXACT if o.name == name)
        sites = operator.candidates(graph)
        site = sites[int(rng.integers(len(sites)))]
        records.append({"operator": name, "site": vars(site)})
        graph = operator.apply(graph, site, rng=rng).graph
    return replay(parent, records, rng=np.random.default_rng(seed))


def repaired(change, images):
    model = to_keras(change.graph, learnable=True, logits=True)
    measure_statistics(change.repairs, change.graph, model, images)
    return read_weights(model, change.graph)


def outputs(graph, images, training):
    return np.asarray(to_keras(graph, learnable=True)(images, training=training))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "names",
    [
        ["insert_convolution"],
        ["widen_convolution"],
        ["insert_convolution", "widen_convolution", "insert_convolution"],
    ],
)
def test_repairs_keep_the_function_at_inference(parent_file, digits, names, seed):
    parent = load_graph(parent_file)
    change = child_of(parent, names=names, seed=seed)
    assert change.repairs
    child = repaired(change, digits.x_train[:128])
    images = digits.x_validation
    np.testing.assert_allclose(
        outputs(child, images, training=False),
        outputs(parent, images, training=False),
        atol=2e-5,
    )


def test_measured_statistics_agree_better_in_training_mode(parent_file, digits):
    parent = load_graph(parent_file)
    change = child_of(parent, names=["insert_convolution"] * 3)
    measured = repaired(change, digits.x_train[:256])
    other = digits.x_train[256:]
    expected = outputs(parent, other, training=True)
    closed_form = np.abs(outputs(change.graph, other, training=True) - expected).mean()
    after = np.abs(outputs(measured, other, training=True) - expected).mean()
    assert after < 0.5 * closed_form


def bare(width=3):
    """Return a network of one batch normalization of the pixels, and its images."""
    graph = Graph()
    graph.add("input", kinds.Input((4, 4, width)))
    weights = {
        "gamma": np.full(width, 2.0),
        "beta": np.full(width, 1.0),
        "moving_mean": np.zeros(width),
        "moving_variance": np.ones(width),
    }
    weights = {k: v.astype(np.float32) for k, v in weights.items()}
    graph.add("norm", kinds.BatchNormalization(), ["input"], weights)
    graph.output = graph.add("mean", kinds.GlobalAveragePooling2D(), ["norm"])
    images = np.random.default_rng(0).integers(0, 9, (50, 4, 4, width)).astype(np.uint8)
    return graph, images


def measure(graph, images, **repair):
    model = to_keras(graph, learnable=True)
    measure_statistics([MeasureStatistics("norm", **repair)], graph, model, images)
    return read_weights(model, graph)["norm"].weights


def test_statistics_are_the_moments_of_the_images():
    graph, images = bare()
    weights = measure(graph, images)
    pixels = images.astype(np.float64)
    np.testing.assert_allclose(weights["moving_mean"], pixels.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(weights["moving_variance"], pixels.var((0, 1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(weights["gamma"], 2)
    np.testing.assert_array_equal(weights["beta"], 1)


def test_an_identity_repair_sets_scale_and_offset():
    graph, images = bare()
    weights = measure(graph, images, identity=True)
    np.testing.assert_array_equal(weights["beta"], weights["moving_mean"])
    deviation = np.sqrt(weights["moving_variance"].astype(np.float64) + 1e-3)
    np.testing.assert_allclose(weights["gamma"], deviation, rtol=1e-6)


def test_only_the_channels_of_the_repair_change():
    graph, images = bare()
    weights = measure(graph, images, channels=(1,), identity=True)
    for name, before in graph["norm"].weights.items():
        changed = weights[name] != before
        np.testing.assert_array_equal(changed, [False, True, False])


def test_other_weights_stay_the_same(parent_file, digits, assert_equal_weights):
    change = child_of(load_graph(parent_file), names=["insert_convolution"])
    child = repaired(change, digits.x_train[:64])
    repairs = frozenset(repair.node for repair in change.repairs)
    assert_equal_weights(change.graph, child, exclude=repairs)


@pytest.mark.parametrize("training", [True, False])
def test_other_normalizations_use_the_batch_in_training_only(training):
    graph, images = bare()  # with scale 2, offset 1, moving mean 0 and moving variance 1
    graph.output = graph.add("second", kinds.BatchNormalization(), ["norm"], identity(3))
    model = to_keras(graph, learnable=True)
    repairs = [MeasureStatistics("second")]
    measure_statistics(repairs, graph, model, images, training=training)
    measured = read_weights(model, graph)["second"].weights["moving_mean"]
    expected = 1 if training else 1 + 2 * images.mean((0, 1, 2)) / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(measured, expected, rtol=1e-4)


def identity(width):
    ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
    return {"gamma": ones, "beta": zeros, "moving_mean": zeros, "moving_variance": ones}
