"""Fine-tuning for int8: the trained model rounds as LiteRT does, and the better one stays."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import forward

from lemonade_tf.architecture import Graph, check
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.backends.current import current_backend
from lemonade_tf.cli import main
from lemonade_tf.export import ExportError, export, fine_tuning
from lemonade_tf.export.bias_correction import with_corrected_biases
from lemonade_tf.export.int8_graph import rounded_outputs, without_separable
from lemonade_tf.export.output_comparison import some_images
from lemonade_tf.export.writing import Content
from lemonade_tf.keras_bridge.graph_to_model import to_keras
from lemonade_tf.operators.initial import initial_weights


def network():
    """Return a network with folded batch normalizations and separable convolutions."""
    graph = Graph()
    at = graph.add("input", kinds.Input((8, 8, 1)))
    at = graph.add("scaled", kinds.Rescaling(1 / 64, -2.0), [at])
    at = graph.add("conv", kinds.Conv2D(6, 3, use_bias=True), [at])
    conv = graph.add("conv_relu", kinds.ReLU(), [at])
    at = graph.add("separable", kinds.SeparableConv2D(6, 3, depth_multiplier=2), [conv])
    at = graph.add("sum", kinds.Add(), [at, conv])
    at = graph.add("sum_relu", kinds.ReLU(), [at])
    at = graph.add("pool", kinds.MaxPooling2D(2), [at])
    at = graph.add("strided", kinds.SeparableConv2D(5, 3, strides=2, use_bias=True), [at])
    at = graph.add("mean", kinds.GlobalAveragePooling2D(), [at])
    at = graph.add("logits", kinds.Dense(4), [at])
    graph.output = graph.add("softmax", kinds.Activation("softmax"), [at])
    return initial_weights(graph, rng=np.random.default_rng(0))


def pixels(number):
    """Return random images."""
    return np.random.default_rng(1).integers(0, 256, (number, 8, 8, 1)).astype(np.float32)


def test_separable_convolutions_become_two_layers_of_the_same_function():
    graph = network()
    split = without_separable(graph)
    check(split)
    assert not any(isinstance(node.layer, kinds.SeparableConv2D) for _, node in split.items())
    assert isinstance(graph["separable"].layer, kinds.SeparableConv2D)
    images = pixels(3)
    wanted, found = (forward(each, images)[each.output] for each in (graph, split))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_what_is_fused_or_keeps_its_scale_is_not_rounded():
    split = without_separable(network())
    assert rounded_outputs(split) == {
        "scaled",
        "conv_relu",
        "separable_depthwise",
        "separable_pointwise",
        "sum_relu",
        "strided_depthwise",
        "strided_pointwise",
        "mean",
        "logits",
    }


def test_the_model_rounds_as_lite_rt_does():
    split, images, backend = without_separable(network()), pixels(64), current_backend()
    # Channels of different scales, which the next layer makes good: rounded together, they lose.
    scales = np.exp(np.random.default_rng(2).normal(0, 2, 12)).astype(np.float32)
    for name, factors in (
        ("separable_depthwise", scales.reshape(6, 2)),
        ("separable_pointwise", 1 / scales[:, None]),
    ):
        split.set_weights(name, {"kernel": split[name].weights["kernel"] * factors})
    model = to_keras(split, layer_per_node=True, logits=True)
    rounded = backend.fake_quantized(model, rounded_outputs(split))
    content = backend.to_lite(split, logits=True, quantize="int8", calibration=images)
    lite = backend.lite_model(content).predict(images)
    exact, found = (np.asarray(each(images)) for each in (model, rounded))
    assert np.abs(found - lite).mean() < 0.5 * np.abs(exact - lite).mean()
    assert {v.path for v in rounded.trainable_variables} == {
        v.path for v in model.trainable_variables
    }


def test_biases_make_good_the_mean_error_of_rounding():
    split, images, backend = without_separable(network()), pixels(64), current_backend()
    # Large weights of an input that is 0: all others are rounded to 0.
    depthwise, kernel = (
        np.array(split[f"strided_{part}wise"].weights["kernel"]) for part in ("depth", "point")
    )
    depthwise[:, :, 0], kernel[..., 0, :] = 0.0, 900.0
    weights = {**split["strided_pointwise"].weights, "kernel": kernel}
    split.set_weights("strided_depthwise", {"kernel": depthwise})
    split.set_weights("strided_pointwise", weights)
    rounded = rounded_outputs(split)
    corrected = with_corrected_biases(split, rounded, images)
    np.testing.assert_array_equal(split["strided_pointwise"].weights["bias"], weights["bias"])

    def logits(graph, as_int8):
        model = to_keras(graph, layer_per_node=True, logits=True)
        return np.asarray((backend.fake_quantized(model, rounded) if as_int8 else model)(images))

    wanted = logits(split, False)
    before, after = (np.abs(logits(each, True) - wanted).mean() for each in (split, corrected))
    assert after < 0.5 * before, (after, before)


@pytest.mark.parametrize(
    ("layer", "axis"),
    [
        (keras.layers.Conv2D(5, 3), (3,)),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (2, 3)),
        (keras.layers.Conv2DTranspose(5, 3), (2,)),
        (keras.layers.Dense(5), (1,)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_kernels_have_255_values_per_output_channel_and_gradients_pass(layer, axis):
    inputs = keras.Input((4, 4, 3) if len(layer.__class__.__name__) > 5 else (3,))
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=layer.kernel.shape).astype(np.float32)
    kernel *= np.exp(rng.normal(size=[n if i in axis else 1 for i, n in enumerate(kernel.shape)]))
    layer.kernel.assign(kernel)
    others = tuple(i for i in range(kernel.ndim) if i not in axis)
    scale = np.abs(kernel).max(axis=others, keepdims=True) / 127
    wanted = np.round(kernel / scale) * scale
    rounded = current_backend().fake_quantized(model, ())
    image = rng.normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    with tf.GradientTape() as tape:
        found = rounded(image)
        total = tf.reduce_sum(found)
    gradient = tape.gradient(total, layer.kernel.value)
    layer.kernel.assign(wanted)
    np.testing.assert_allclose(found, model(image), rtol=1e-4, atol=1e-4)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(model(image))
    np.testing.assert_allclose(gradient, tape.gradient(total, layer.kernel.value), rtol=1e-4)


@pytest.mark.parametrize(("tuned", "is_kept"), [(2, True), (1, True), (0, False), (-1, False)])
def test_the_validation_images_decide(monkeypatch, tuned, is_kept):
    labels = np.array([0, 1, 0, 1])
    data = SimpleNamespace(x_train=labels, y_train=labels, x_validation=labels, y_validation=labels)
    test = some_images(-labels, labels, "test", 9)  # worse after, whatever is kept
    wanted = np.eye(2)[labels] * 0.8 + 0.1
    quality = {0: wanted[::-1], 2: wanted, 1: 0.9 * wanted[::-1] + 0.1 * wanted, -1: wanted[::-1]}
    quality[-1] = quality[-1] - 0.05
    before, after = (
        Content(name, SimpleNamespace(calls=dict, level=level), (), labels)
        for name, level in (("before", 0), ("after", tuned))
    )
    monkeypatch.setattr(fine_tuning, "folded", lambda content: content)
    monkeypatch.setattr(fine_tuning, "_trained", lambda graph, images, epochs: after.graph)
    monkeypatch.setattr(fine_tuning, "reference_outputs", lambda content, images: wanted)
    monkeypatch.setattr(fine_tuning, "lite_content", lambda content, how: content.graph.level)

    def of_lite(level):
        is_test = lambda images: (images <= 0).all()  # noqa: E731
        worse = wanted[::-1] if level else wanted
        return SimpleNamespace(predict=lambda x: worse if is_test(x) else quality[level])

    monkeypatch.setattr(fine_tuning, "of_lite", of_lite)
    content, found = fine_tuning.fine_tune(before, data, test, 1)
    assert content.graph is (after if is_kept else before).graph
    assert found.is_kept == is_kept
    assert (found.error_before, found.error_after) == (1.0, 0.0 if tuned == 2 else 1.0)
    assert found.reported_error_before == 0
    assert found.reported_error_after == (1 if tuned else 0)


def test_the_command_fine_tunes(run, tmp_path, capsys):
    output = ["--output", str(tmp_path / "net.tflite")]
    arguments = ["export", str(run), "0-0", "--format", "tflite", *output]
    assert main([*arguments, "--quantize", "int8", "--fine_tune", "1"]) == 0
    printed = capsys.readouterr().out
    assert "Fine-tuning for int8, epochs: 1." in printed
    assert "Fine-tuned  int8 error on 14 validation images" in printed
    assert "on the test images" in printed
    assert main([*arguments, "--fine_tune", "2"]) == 1
    assert "--fine_tune is for int8; add --quantize int8" in capsys.readouterr().err
    for options, message in (
        ({"fine_tune": -1}, "--fine_tune is -1; expected a number of epochs"),
        ({"fine_tune": 1, "fold": False}, "omit --no-fold"),
    ):
        with pytest.raises(ExportError, match=message):
            export(run, "0-0", "c", **options)
