"""Run an exported file in the runtime that its users will run it in, on one CPU thread."""

from __future__ import annotations

import os
import runpy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.current import current_backend
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.export.c_source import array_bytes
from lemonade_tf.export.formats import ExportError, Format
from lemonade_tf.keras_bridge.graph_to_model import to_keras

_BATCH = 256  # images


@dataclass(frozen=True)
class Running:
    """An exported file, loaded into its runtime.

    Attributes:
        predict: Returns the outputs, (n, classes), of raw images, float32 (n, height, width,
            channels).
        single_pass: Returns a function without arguments to time: one pass over an image.
        lite: The content of the .tflite file, if it is one or contains one.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    single_pass: Callable[[np.ndarray], Callable[[], Any]]
    lite: bytes | None = None


def load(path: Path, format: Format) -> Running:
    """Load an exported file into its runtime.

    Raises:
        ExportError: If the runtime cannot load it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _LOADERS[format.name](path)
    except (LemonadeError, OSError, MemoryError):
        raise
    except Exception as error:  # runtimes raise anything
        raise ExportError(
            f"{format.runtime} cannot load the exported file: {type(error).__name__}:"
            f" {quoted(error)}"
        ) from error


def _of_batches(run: Callable[[np.ndarray], Any]) -> Running:
    """Return a file that is run by a function of a batch of images."""

    def predict(images: np.ndarray) -> np.ndarray:
        parts = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))
        return np.concatenate([np.asarray(run(part)) for part in parts])

    return Running(predict, lambda image: lambda: run(image[None]))


def _keras(path: Path) -> Running:
    return _of_model(keras.models.load_model(path, compile=False))


def _of_model(model: Any) -> Running:
    forward = current_backend().forward(model)
    return _of_batches(lambda images: forward.outputs(images)[0])


def of_graph(graph: Graph) -> Running:
    """Return a network as the Keras model of its file."""
    return _of_model(to_keras(graph, layer_per_node=True))


def _python(path: Path) -> Running:
    return _of_model(runpy.run_path(os.fspath(path))["load_model"]())


def _saved_model(path: Path) -> Running:
    return _of_batches(keras.layers.TFSMLayer(os.fspath(path), call_endpoint="serve"))


def _lite(path: Path) -> Running:
    return of_lite(path.read_bytes())


def _c(path: Path) -> Running:
    return of_lite(array_bytes(path.read_text(encoding="utf-8")))


def of_lite(content: bytes) -> Running:
    """Return the content of a .tflite file in LiteRT."""
    model = current_backend().lite_model(content)
    return Running(
        model.predict, lambda image: model.inference_pass(model.as_input(image)), content
    )


def _onnx(path: Path) -> Running:
    import onnxruntime  # pyright: ignore[reportMissingImports] (optional)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return _of_batches(lambda images: session.run(None, {name: images})[0])


def _openvino(path: Path) -> Running:
    import openvino  # pyright: ignore[reportMissingImports] (optional)

    compiled = openvino.Core().compile_model(
        os.fspath(path), "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    )
    return _of_batches(lambda images: compiled(images)[0])


_LOADERS: Mapping[str, Callable[[Path], Running]] = {
    "keras": _keras,
    "h5": _keras,
    "saved_model": _saved_model,
    "tflite": _lite,
    "onnx": _onnx,
    "openvino": _openvino,
    "c": _c,
    "python": _python,
}
