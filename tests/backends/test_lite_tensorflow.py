"""Networks in LiteRT: the same function in floats, and almost the same in int8."""

import numpy as np
import pytest
import tensorflow as tf
from graphs import small

from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.layers import GroupNormalization, LayerNormalization
from lemonade_tf.backends.base import LiteError
from lemonade_tf.backends.lite_tensorflow import LiteRTModel, to_lite
from lemonade_tf.keras_bridge import to_keras


def _operations(content):
    """Return the names of the operations in LiteRT."""
    details = LiteRTModel(content)._interpreter._get_ops_details()
    return {operation["op_name"] for operation in details}


def test_every_kind_of_layer_equals_keras(graph, images):
    expected = to_keras(graph)(images.astype(np.float32), training=False)
    found = LiteRTModel(to_lite(graph)).predict(images)
    assert found.shape == (7, 5)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_model_converts_like_its_graph(graph, images):
    of_graph, of_model = (LiteRTModel(to_lite(n)) for n in (graph, to_keras(graph)))
    np.testing.assert_array_equal(of_graph.predict(images), of_model.predict(images), strict=True)


def test_batch_normalization_is_folded_and_weights_are_constants(graph):
    """LiteRT would transpose kernels that are variables in every pass."""
    operations = _operations(to_lite(graph))
    assert "CONV_2D" in operations
    assert not {"VAR_HANDLE", "READ_VARIABLE"} & operations
    kinds = {type(node.layer) for _, node in graph.items()}
    if not kinds & {LayerNormalization, GroupNormalization}:  # these need the statistics of images
        assert "RSQRT" not in operations


def test_int8_takes_raw_pixels_and_returns_probabilities(images):
    graph = small()
    content = to_lite(graph, quantize="int8", calibration=images)
    model = LiteRTModel(content)
    found = model.predict(images)
    [input_details] = model._interpreter.get_input_details()
    assert input_details["dtype"] == np.uint8
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.05)
    assert len(np.unique(np.round(found * 256, 4) % 1)) == 1  # multiples of 1/256
    assert not np.array_equal(found, LiteRTModel(to_lite(graph)).predict(images))


def test_int8_logits_have_a_finer_scale_than_probabilities(images):
    graph = small()
    expected = LiteRTModel(to_lite(graph, logits=True)).predict(images)
    content = to_lite(graph, logits=True, quantize="int8", calibration=images)
    found = LiteRTModel(content).predict(images)
    assert "SOFTMAX" not in _operations(content)
    spread = expected.max() - expected.min()
    np.testing.assert_allclose(found, expected, atol=0.15 * spread)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_int8_requires_calibration_images(graph, images):
    with pytest.raises(
        ValueError, match="calibration is empty; int8 quantization requires some training"
    ):
        to_lite(graph, quantize="int8")
    with pytest.raises(ValueError, match="quantize is 'int4'; expected 'int8', 'float16' or None"):
        to_lite(graph, quantize="int4", calibration=images)


def test_a_network_that_cannot_be_converted_is_an_error(graph, monkeypatch):
    def convert(self):
        raise Exception("no such\noperation")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "convert", convert, raising=False)
    broken = graph.copy()
    broken.set_layer("relu", kinds.ReLU())
    with pytest.raises(LiteError, match="'network': Exception: no such operation"):
        to_lite(broken)


def test_content_that_cannot_be_run_is_an_error():
    with pytest.raises(LiteError, match="LiteRT cannot run the network"):
        LiteRTModel(b"no network")
