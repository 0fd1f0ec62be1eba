"""Convert a Keras file of the user to a network file, in a process that serves nothing else.

Keras opens the file, which may come from a stranger. So the process has little time and memory, and
Keras's safe mode is on, in which it refuses files that contain code. What leaves the process is
plain: a network file, which is read like any other, and a line of JSON.

`main` reads the request from stdin. It is JSON: "source" and "target", the files; "input_shape" and
"num_classes" of the data set; and "sample", an .npz file with a few of its images and labels. The
answer is {"error": TEXT}, or {"notes": [TEXT, ...]}.

**Pixels.** Networks of a search take raw pixels, 0 to 255. A model that was trained on pixels from
0 to 1, or -1 to 1, gets the rescaling that it lacks, if the sample shows that it needs it: if the
model is right for at least a tenth more of the images with it.

**Output.** A model that ends with logits gets a softmax.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Activation, Dense, LayerScale, Rescaling
from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.keras_bridge import from_keras, save_model, to_keras
from lemonade_tf.keras_bridge.keras_defaults import set_keras_defaults

MAX_SECONDS = 300
_MIN_BYTES, _BYTES_PER_STORED = 2**31, 8  # memory for reading: at least; per byte of the file
_RESCALINGS = {"0 to 1": Rescaling(1 / 255), "-1 to 1": Rescaling(1 / 127.5, -1.0)}
_BATCH = 16  # images
_GAIN = 0.1  # of images that must be classified correctly because of a rescaling


def main() -> None:
    """Convert the file of the request on stdin; print the answer as the last line of stdout."""
    request = json.load(sys.stdin)
    set_keras_defaults()
    _limit_resources(os.path.getsize(request["source"]))
    try:
        answer: dict[str, Any] = {"notes": convert(**request)}
    except MemoryError:
        answer = {"error": "it needs much more memory than it has bytes"}
    except Exception as error:  # Keras may raise anything for a damaged file
        answer = {"error": quoted(error).rstrip(".")}
    print(f"\n{json.dumps(answer)}", flush=True)


def convert(
    source: str, target: str, input_shape: list[int], num_classes: int, sample: str
) -> list[str]:
    """Convert a Keras file to a network file.

    Args:
        source: The Keras file, .keras or .h5.
        target: The network file to write.
        input_shape: (height, width, channels) of the data set.
        num_classes: Its number of classes.
        sample: An .npz file with a few of its images, `x`, and labels, `y`.

    Returns:
        What was changed, one sentence each.

    Raises:
        LemonadeError: If the model is not supported.
    """
    model: Any = keras.saving.load_model(source, compile=False, safe_mode=True)
    is_open = any(None in tensor.shape[1:] for tensor in model.inputs or ())
    graph = from_keras(model, input_shape=tuple(input_shape) if is_open else None)
    scales = [name for name, node in graph.items() if isinstance(node.layer, LayerScale)]
    if scales:
        raise LemonadeError(
            f"its layer {scales[0]!r} is a LayerScale; expected layers that keras.models.load_model"
            " finds by itself, as files of networks are opened by it"
        )
    notes = []
    if not _ends_with_probabilities(graph):
        graph.output = graph.add(
            graph.unique_name("softmax"), Activation("softmax"), [graph.output]
        )
        notes.append("a softmax was added: it outputs logits")
    shapes = graph.shapes()
    if (shapes[graph.input], shapes[graph.output]) == (tuple(input_shape), (num_classes,)):
        with np.load(sample) as arrays:
            graph, further = _for_raw_pixels(graph, arrays["x"], arrays["y"])
        notes += further
    save_model(graph, target, {"source": os.path.basename(source)})
    return notes


def _ends_with_probabilities(graph: Graph) -> bool:
    layer = graph[graph.output].layer
    if layer == Activation("softmax"):
        return True
    if isinstance(layer, Dense) and layer.units > 1:
        return False
    raise LemonadeError(
        f"its output {graph.output!r} is a {type(layer).__name__}; expected a dense layer with one"
        " unit per class, and perhaps a softmax."
    )


def _for_raw_pixels(graph: Graph, images: np.ndarray, labels: np.ndarray) -> tuple[Graph, list]:
    """Return the network with the rescaling that it lacks, if it lacks one, and what was done."""
    candidates = {None: graph} | {
        pixels: _rescaled(graph, rescaling) for pixels, rescaling in _RESCALINGS.items()
    }
    errors = {pixels: _error(each, images, labels) for pixels, each in candidates.items()}
    best = min(errors, key=lambda pixels: errors[pixels])
    if best is None or errors[None] - errors[best] < _GAIN:
        return graph, []
    return candidates[best], [
        f"it takes pixels from {best}, so a rescaling of raw pixels was added: its error on"
        f" {len(labels)} validation images is {errors[best]:.1%} instead of {errors[None]:.1%}"
    ]


def _rescaled(graph: Graph, rescaling: Rescaling) -> Graph:
    graph = graph.copy()
    name = graph.unique_name("raw_pixels")
    graph.insert_after(graph.input, name, rescaling)
    return graph


def _error(graph: Graph, images: np.ndarray, labels: np.ndarray) -> float:
    model = to_keras(graph)
    starts = range(0, len(images), _BATCH)  # a model of Keras keeps all activations of a batch
    batches = (images[start : start + _BATCH].astype(np.float32) for start in starts)
    predicted = np.concatenate([np.asarray(model(batch)).argmax(axis=-1) for batch in batches])
    return float((predicted != labels).mean())


def _limit_resources(num_bytes: int) -> None:
    """Limit the memory, in addition to what is in use now, and the time of this process."""
    np.asarray(keras.ops.zeros(1))  # starts the threads of the backend, whose stacks take memory
    allowed = max(_MIN_BYTES, _BYTES_PER_STORED * num_bytes)
    _limit(resource.RLIMIT_CPU, MAX_SECONDS)
    try:
        with open("/proc/self/status") as file:
            facts = dict(line.split(":", 1) for line in file)
    except OSError:
        return  # macOS does not enforce such a limit
    _limit(resource.RLIMIT_DATA, 1024 * int(facts["VmData"].split()[0]) + allowed)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    unlimited = hard == resource.RLIM_INFINITY
    resource.setrlimit(kind, (value if unlimited else min(value, hard), hard))
