"""How much the output of an edited network differs from that of the original."""

from __future__ import annotations

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Rescaling
from lemonade_tf.inheritance.activations import Images, in_order, max_batch_size
from lemonade_tf.keras_bridge import to_keras

_IMAGES = 32
_RANDOM_IMAGES = 4


def output_change(original: Graph, graph: Graph, images: Images | None) -> str:
    """Describe the change of the output, in words.

    Args:
        original: The original network.
        graph: The edited one.
        images: Preprocessed like their input; None for random numbers.
    """
    given = "images" if images is not None else "random images"
    inputs = _random_inputs(original) if images is None else in_order(original, images)
    number = min(_IMAGES, len(inputs[0]), max_batch_size(original, _IMAGES))
    some = [each[:number] for each in inputs]
    before, after = (_outputs(graph, some) for graph in (original, graph))
    differences = [b - a for a, b in zip(before, after, strict=True)]
    largest = max(float(np.abs(d).max()) for d in differences)
    relative = max(
        float(np.linalg.norm(d) / max(float(np.linalg.norm(a)), 1e-30))
        for a, d in zip(before, differences, strict=True)
    )
    return f"largest {largest:.2g}, relative {relative:.2g}, on {number} {given}"


def _outputs(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    model = to_keras(graph, learnable=True, layer_per_node=True)
    found = model(inputs[0] if len(inputs) == 1 else inputs, training=False)
    values = found if isinstance(found, list | tuple) else [found]
    return [np.asarray(value, np.float64) for value in values]


def _random_inputs(graph: Graph) -> list[np.ndarray]:
    """Return numbers from 0 to 255 for an input that the network rescales, else normal ones."""
    rng, found = np.random.default_rng(0), []
    for name in graph.inputs:
        shape = (_RANDOM_IMAGES, *graph.shapes()[name])
        rescales = all(isinstance(graph[c].layer, Rescaling) for c in graph.consumers(name))
        values = rng.uniform(0, 255, shape) if rescales else rng.normal(size=shape)
        found.append(values.astype(np.float32))
    return found
