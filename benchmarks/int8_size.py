"""How exactly `int8_bytes` and `int8_arena` are predicted, on networks of both spaces.

    python benchmarks/int8_size.py [--seed 1] [--quick]

Each network has random weights and is converted to an int8 .tflite file, calibrated on random
images. The arena is measured by LiteRT Micro, if the package tflite-micro is installed. The script
prints the errors of the predictions, relative to the true values: the lowest, the mean of the
absolute ones, and the highest. The networks are descendants of the initial ones; the constants of
the predictions were fitted to others. The last line is the largest absolute error of `int8_bytes`.
Target: at most 0.05. It takes a minute.
"""

from dataclasses import replace

import numpy as np
from script import Parser, run_benchmark

from lemonade_tf.architecture.layers import ConvexSum
from lemonade_tf.backends.current import current_backend
from lemonade_tf.export.formats import ExportError
from lemonade_tf.export.micro import has_micro, measure_arena
from lemonade_tf.latency.sample import sample_networks
from lemonade_tf.objectives.int8_size import int8_arena, int8_bytes
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.search_spaces import CELLS, NETWORKS

# Space, shape of the images, classes, number of networks.
SMALL_CELLS = replace(CELLS, filters=(32, 64))
SAMPLES = (
    (NETWORKS, (8, 8, 1), 10, 14),
    (NETWORKS, (32, 32, 3), 10, 14),
    (NETWORKS, (64, 64, 3), 20, 6),
    (SMALL_CELLS, (32, 32, 3), 10, 8),
    (SMALL_CELLS, (8, 8, 1), 10, 6),
)


def converted(graph, shape, rng):
    """Return the content of the int8 file of a network with new weights."""
    network = initial_weights(graph, rng=rng)
    for name, node in graph.items():
        if isinstance(node.layer, ConvexSum):  # 0 would be left out
            network.set_weights(name, {"lambda": np.float32(0.3)})
    images = rng.integers(0, 256, (2, *shape)).astype(np.float32)
    return current_backend().to_lite(network, quantize="int8", calibration=images)


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the networks (default: 1)")
    parser.add_argument("--quick", action="store_true", help="two small networks")
    options = parser.parse_args()
    rng, errors = np.random.default_rng(options.seed), {"int8_bytes": [], "int8_arena": []}
    for space, shape, num_classes, number in SAMPLES[:1] if options.quick else SAMPLES:
        initial = space.initial_graphs(shape, num_classes)
        number = len(initial) + (2 if options.quick else number)
        sample = sample_networks(initial, space.propose, rng=rng, number=number)
        for graph in sample[len(initial) :]:
            content = converted(graph, shape, rng)
            errors["int8_bytes"].append(int8_bytes(graph) / len(content) - 1)
            if has_micro():
                try:
                    arena = measure_arena(content)
                except ExportError as error:
                    print(f"{len(graph)} layers, {shape}: {error}", flush=True)
                    continue
                errors["int8_arena"].append(int8_arena(graph) / arena - 1)
    for name, found in errors.items():
        if found:
            low, mean, high = min(found), np.abs(found).mean(), max(found)
            print(f"{name}, {len(found)} networks: {low:+.1%}, {mean:.1%}, {high:+.1%}", flush=True)
        else:
            print(f"{name}: pip install tflite-micro, to measure it", flush=True)
    print(f"largest error of int8_bytes: {np.abs(errors['int8_bytes']).max():.3f}")


if __name__ == "__main__":
    run_benchmark(main)
