"""The runtimes that networks are timed in: Keras, LiteRT, and LiteRT in int8.

Each runtime has an objective, a table of measured times and a latency model. A pass takes a network
from raw pixels in the memory of the host to probabilities there, as in the paper (A.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lemonade_tf.architecture.graph import Graph
from lemonade_tf.latency.protocol import Protocol

if TYPE_CHECKING:
    from lemonade_tf.backends.base import Backend

Pass = Callable[[], Any]  # runs a network once


@dataclass(frozen=True)
class Runtime:
    """A way to run networks in inference.

    Attributes:
        name: The name of its objective.
        single_image: Whether a pass processes one image, as on a phone; otherwise a batch.
        single_thread: Whether it runs on one thread, regardless of the threads of the search.
        folds_layers: Whether it folds batch normalizations and ReLUs into the preceding layer.
        compile: Builds a pass of a network with weights over a batch of raw images.
        converts_ends: Whether it converts the input and the output, to int8 and back.
    """

    name: str
    single_image: bool
    single_thread: bool
    folds_layers: bool
    compile: Callable[[Backend, Graph, np.ndarray], Pass]
    converts_ends: bool = False

    def batch_size(self, protocol: Protocol) -> int:
        """Return the number of images per pass."""
        return 1 if self.single_image else protocol.batch_size

    def num_threads(self, threads: int) -> int:
        """Return the number of threads per operation, where a search uses `threads`."""
        return 1 if self.single_thread else threads


def _compile_keras(backend: Backend, graph: Graph, images: np.ndarray) -> Pass:
    return backend.inference_pass(graph, images)


def _compile_lite(backend: Backend, graph: Graph, images: np.ndarray) -> Pass:
    model = backend.lite_model(backend.to_lite(graph))
    return model.inference_pass(images[0].astype(np.float32))


def _compile_int8(backend: Backend, graph: Graph, images: np.ndarray) -> Pass:
    """Quantize for the images of the pass: the ranges of activations do not change the time."""
    model = backend.lite_model(backend.to_lite(graph, quantize="int8", calibration=images))
    return model.inference_pass(model.as_input(images[0]))


KERAS = Runtime(
    "latency",
    single_image=False,
    single_thread=False,
    folds_layers=False,
    compile=_compile_keras,
)
LITE = Runtime(
    "lite_latency",
    single_image=True,
    single_thread=True,
    folds_layers=True,
    compile=_compile_lite,
)
INT8 = Runtime(
    "int8_latency",
    single_image=True,
    single_thread=True,
    folds_layers=True,
    compile=_compile_int8,
    converts_ends=True,
)
RUNTIMES: Mapping[str, Runtime] = {runtime.name: runtime for runtime in (KERAS, LITE, INT8)}
