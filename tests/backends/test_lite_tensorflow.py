"""Networks in LiteRT: the same function, in floats and nearly so in whole numbers."""

import numpy as np
import pytest
import tensorflow as tf
from graphs import small

from lemonade_tf.architecture import layers as kinds
from lemonade_tf.backends.lite_tensorflow import LiteError, LiteModel, to_lite
from lemonade_tf.keras_bridge import to_keras


def _operations(content):
    """The names of the operations, as LiteRT has them."""
    details = LiteModel(content)._interpreter._get_ops_details()
    return {operation["op_name"] for operation in details}


def test_every_kind_of_layer_computes_what_keras_does(graph, images):
    expected = to_keras(graph)(images.astype(np.float32), training=False)
    found = LiteModel(to_lite(graph)).predict(images)
    assert found.shape == (7, 5)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_model_is_converted_as_a_graph_is(graph, images):
    of_graph, of_model = (LiteModel(to_lite(n)) for n in (graph, to_keras(graph)))
    np.testing.assert_array_equal(of_graph.predict(images), of_model.predict(images), strict=True)


def test_batch_normalization_is_folded_and_weights_are_constants(graph):
    """Where they are variables, LiteRT turns kernels around in every pass."""
    operations = _operations(to_lite(graph))
    assert "CONV_2D" in operations
    assert not {"VAR_HANDLE", "READ_VARIABLE", "RSQRT"} & operations


def test_int8_takes_raw_pixels_and_gives_probabilities(images):
    graph = small()
    content = to_lite(graph, quantise="int8", calibration=images)
    model = LiteModel(content)
    found = model.predict(images)
    [given] = model._interpreter.get_input_details()
    assert given["dtype"] == np.uint8
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.05)
    assert len(np.unique(np.round(found * 256, 4) % 1)) == 1  # whole 256ths
    assert not np.array_equal(found, LiteModel(to_lite(graph)).predict(images))


def test_int8_logits_are_finer_than_256ths(images):
    graph = small()
    expected = LiteModel(to_lite(graph, logits=True)).predict(images)
    content = to_lite(graph, logits=True, quantise="int8", calibration=images)
    found = LiteModel(content).predict(images)
    assert "SOFTMAX" not in _operations(content)
    spread = expected.max() - expected.min()
    np.testing.assert_allclose(found, expected, atol=0.15 * spread)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def test_int8_needs_images(graph, images):
    with pytest.raises(ValueError, match="int8 needs calibration: some training images"):
        to_lite(graph, quantise="int8")
    with pytest.raises(ValueError, match="quantise is 'int4'; expected 'int8' or None"):
        to_lite(graph, quantise="int4", calibration=images)


def test_what_cannot_be_converted_is_said(graph, monkeypatch):

    def convert(self):
        raise Exception("no such\noperation")

    monkeypatch.setattr(tf.lite.TFLiteConverter, "convert", convert, raising=False)
    broken = graph.copy()
    broken.set_layer("relu", kinds.ReLU())
    with pytest.raises(LiteError, match="'network': Exception: no such operation"):
        to_lite(broken)


def test_what_cannot_be_run_is_said():
    with pytest.raises(LiteError, match="LiteRT cannot run the network"):
        LiteModel(b"no network")
