"""The runtimes that networks are timed in: Keras and LiteRT.

Each runtime has an objective, a table of measured times and a latency model. A pass takes a network
from raw pixels in the memory of the host to probabilities there, as in the paper (A.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import ConvexSum
from lemonade_tf.latency.protocol import Protocol
from lemonade_tf.operators.initial import initial_weights

Pass = Callable[[], Any]  # runs a network once


@dataclass(frozen=True)
class Runtime:
    """A way to run networks in inference.

    Attributes:
        name: The name of its objective.
        single_image: Whether a pass processes one image, as on a phone; otherwise a batch.
        single_thread: Whether it runs on one thread, whatever the number of threads of the search.
        folds_layers: Whether it folds batch normalizations and ReLUs into the preceding layer.
        compile: Builds a pass over a batch of raw images; loads the backend.
    """

    name: str
    single_image: bool
    single_thread: bool
    folds_layers: bool
    compile: Callable[[Graph, np.ndarray], Pass]

    def batch_size(self, protocol: Protocol) -> int:
        """Return the number of images per pass."""
        return 1 if self.single_image else protocol.batch_size

    def num_threads(self, threads: int) -> int:
        """Return the number of threads per operation, where a search uses `threads`."""
        return 1 if self.single_thread else threads

    def build_pass(self, graph: Graph, protocol: Protocol) -> Pass:
        """Return a function that runs a network once.

        Args:
            graph: The network; only its shapes are used.
            protocol: Sets the batch size.

        Raises:
            LiteError: If LiteRT cannot convert or run the network.
        """
        # The time does not depend on the weights, with one exception: LiteRT removes a term of a
        # convex sum whose factor lambda is 0.
        weighted = initial_weights(graph, rng=np.random.default_rng(0))
        for name, node in graph.items():
            if isinstance(node.layer, ConvexSum):
                weighted.set_weights(name, {"lambda": np.array(0.3, np.float32)})
        shape = (self.batch_size(protocol), *graph.shapes()[graph.input])
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        return self.compile(weighted, images)


def _compile_keras(graph: Graph, images: np.ndarray) -> Pass:
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.keras_bridge.graph_to_model import to_keras

    return current_backend().inference_pass(to_keras(graph), images)


def _compile_lite(graph: Graph, images: np.ndarray) -> Pass:
    from lemonade_tf.backends.current import current_backend

    backend = current_backend()
    model = backend.lite_model(backend.to_lite(graph))
    return model.inference_pass(images[0].astype(np.float32))


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
RUNTIMES: Mapping[str, Runtime] = {runtime.name: runtime for runtime in (KERAS, LITE)}
