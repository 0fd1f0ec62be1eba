"""Networks in LiteRT, TensorFlow's runtime for phones (formerly TensorFlow Lite).

A network is converted for one image at a time with constant weights: batch normalization is folded
into the preceding convolution, and a ReLU is fused into the layer that it follows. LiteRT runs it
by default on one thread, with the kernels of XNNPACK.

*float16* stores the weights in half precision; computations stay in float32.

*int8* is post-training full integer quantization (Jacob et al., 2018): weights, activations, input
and output are 8-bit integers q, which stand for (q - zero_point) * scale. The range of each
activation, and so its scale, is measured on calibration images.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.base import LiteError, LiteModel
from lemonade_tf.keras_bridge.graph_to_model import to_keras


def to_lite(
    network: Graph | keras.Model,
    *,
    logits: bool = False,
    quantize: Literal["int8", "float16"] | None = None,
    calibration: np.ndarray | None = None,
) -> bytes:
    """Convert a network to the content of a .tflite file; see `Backend.to_lite`."""
    if quantize not in (None, "int8", "float16"):
        raise ValueError(f"quantize is {quantize!r}; expected 'int8', 'float16' or None.")
    if quantize == "int8" and (calibration is None or not len(calibration)):
        raise ValueError("calibration is empty; int8 quantization requires some training images.")
    model = to_keras(network, logits=logits) if isinstance(network, Graph) else network
    try:
        with _quiet():
            converter = tf.lite.TFLiteConverter.from_concrete_functions([_for_one_image(model)])
            if quantize == "int8":
                _quantize(converter, calibration)
            elif quantize == "float16":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.target_spec.supported_types = [tf.float16]
            return converter.convert()
    except Exception as error:  # the converter raises many types, and plain Exception
        line = " ".join(str(error).split())[:300]
        raise LiteError(
            f"LiteRT cannot convert the network {model.name!r}: {type(error).__name__}: {line}"
        ) from error


class LiteRTModel(LiteModel):
    """A network loaded into LiteRT's interpreter; see `Backend.lite_model`."""

    def __init__(self, content: bytes, *, threads: int = 1) -> None:
        try:
            with _quiet():
                self._interpreter = _interpreter()(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise LiteError(f"LiteRT cannot run the network: {error}") from error
        [self._input] = self._interpreter.get_input_details()
        [self._output] = self._interpreter.get_output_details()

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Return the outputs for images, one after the other."""
        outputs = []
        for image in _to_integers(np.asarray(images, np.float32), self._input):
            self.inference_pass(image)()
            outputs.append(self._interpreter.get_tensor(self._output["index"])[0])
        return _to_floats(np.stack(outputs), self._output)

    def inference_pass(self, image: np.ndarray) -> Callable[[], None]:
        """Set the input, and return the interpreter's pass over it."""
        self._interpreter.set_tensor(self._input["index"], image[None])
        return self._interpreter.invoke

    def as_input(self, image: np.ndarray) -> np.ndarray:
        """Return an image in the form of the input; see `LiteModel.as_input`."""
        return _to_integers(np.asarray(image, np.float32), self._input)

    def quantization(self) -> tuple[tuple[float, int], tuple[float, int]]:
        """Return how input and output are quantized; see `LiteModel.quantization`."""
        (scale, zero), (out_scale, out_zero) = (
            details["quantization"] for details in (self._input, self._output)
        )
        return (float(scale), int(zero)), (float(out_scale), int(out_zero))


def _for_one_image(model: keras.Model) -> Any:
    function = tf.function(lambda images: model(images, training=False), autograph=False)
    spec = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32)
    return function.get_concrete_function(spec)


def _quantize(converter: Any, images: np.ndarray | None) -> None:
    def representative_dataset() -> Iterator[list[np.ndarray]]:
        for image in images if images is not None else ():
            yield [np.asarray(image, np.float32)[None]]

    # Only int8 operations are allowed: without this, the converter silently keeps floats where it
    # has no quantized operation.
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def _to_integers(images: np.ndarray, details: Any) -> np.ndarray:
    """Return images in the dtype of the input, quantized if it is an integer."""
    if not np.issubdtype(details["dtype"], np.integer):
        return images.astype(details["dtype"])
    scale, zero_point = details["quantization"]
    limits = np.iinfo(details["dtype"])
    integers = np.round(images / scale) + zero_point
    return np.clip(integers, limits.min, limits.max).astype(details["dtype"])


def _to_floats(values: np.ndarray, details: Any) -> np.ndarray:
    if not np.issubdtype(details["dtype"], np.integer):
        return values
    scale, zero_point = details["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def _interpreter() -> Any:
    """Return the interpreter of ai_edge_litert, the successor of tf.lite, if it is installed."""
    try:
        from ai_edge_litert.interpreter import (  # pyright: ignore[reportMissingImports] (optional)
            Interpreter,
        )
    except ImportError:
        return tf.lite.Interpreter
    return Interpreter


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the deprecation warning of tf.lite and the log of every conversion."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
