"""Seconds and memory of the edits of `Surgery` on large networks.

    python benchmarks/surgery_cost.py [--quick] [--repeats 3]

The networks: ResNet50 of `keras.applications`, and the same with twice the filters everywhere, of
about 98 million parameters; random weights, images of 224x224. For each of them: the conversion
from Keras, an edit of each kind, without images, and the conversion back.

- seconds: CPU time of the process, the lowest of the repeats, so that other programs count little.
- memory: how far the peak of resident memory during the edit is above the memory before it.

With --quick: an eighth of the filters, one repeat. The last line is the CPU time of the slowest
edit of the larger network, in seconds; target: at most 10.
"""

import gc
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from script import Parser, positive, run_benchmark

from lemonade_tf import Surgery

layers = keras.layers
BLOCKS = (3, 4, 6, 3)
EDITS = {
    "widen": lambda s: s.widen("conv4_block3_1_conv", 1.5),
    "widen 4 tied": lambda s: s.widen("conv3_block1_3_conv", 1.25),
    "deepen": lambda s: s.deepen("conv4_block3_2_relu"),
    "add a skip": lambda s: s.add_skip("conv4_block3_1_relu", "conv4_block3_2_relu"),
    "prune": lambda s: s.prune("conv4_block3_2_conv", 0.5),
    "prune 4 tied": lambda s: s.prune("conv3_block1_3_conv", 0.25),
    "separate": lambda s: s.separate("conv4_block3_2_conv"),
    "remove": lambda s: s.remove("conv4_block3_add"),
    "shrink to 50 %": lambda s: s.shrink(multiply_adds=0.5),
}


def wide_resnet50(width):
    """Return ResNet50 with a multiple of the filters, its layers named as in keras.applications."""

    def convolution(x, filters, size, name, strides=1):
        x = layers.Conv2D(
            round(width * filters), size, strides, padding="same", name=f"{name}_conv"
        )(x)
        return layers.BatchNormalization(epsilon=1.001e-5, name=f"{name}_bn")(x)

    start = keras.Input((224, 224, 3))
    x = layers.ReLU(name="conv1_relu")(convolution(start, 64, 7, "conv1", 2))
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool1_pool")(x)
    for stage, number in enumerate(BLOCKS):
        filters = 64 * 2**stage
        for block in range(1, number + 1):
            name = f"conv{stage + 2}_block{block}"
            strides = 2 if block == 1 and stage else 1
            skip = convolution(x, 4 * filters, 1, f"{name}_0", strides) if block == 1 else x
            x = convolution(x, filters, 1, f"{name}_1", strides)
            x = layers.ReLU(name=f"{name}_1_relu")(x)
            x = layers.ReLU(name=f"{name}_2_relu")(convolution(x, filters, 3, f"{name}_2"))
            x = convolution(x, 4 * filters, 1, f"{name}_3")
            x = layers.Add(name=f"{name}_add")([skip, x])
            x = layers.ReLU(name=f"{name}_out")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(start, layers.Dense(1000, activation="softmax", name="predictions")(x))


def resident(field):
    """Return VmRSS, the resident memory, or VmHWM, its peak since it was reset, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no {field} in /proc/self/status")


def measure(action):
    """Return the CPU seconds of a call, its additional peak memory in MiB, and its result."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before, begin = resident("VmRSS"), time.process_time()
    result = action()
    return time.process_time() - begin, resident("VmHWM") - before, result


def lowest(prepare, action, repeats):
    """Return the lowest CPU seconds of some repeats and the highest memory."""
    found = []
    for _ in range(repeats):
        subject = prepare()
        found.append(measure(lambda subject=subject: action(subject))[:2])
        del subject
        keras.utils.clear_session()
    return min(seconds for seconds, _ in found), max(memory for _, memory in found)


def report(name, model, repeats):
    """Print the lines of a network, and return the seconds of its slowest edit."""
    print(f"{name}: {model.count_params():,} parameters", flush=True)
    figures = {"from Keras": lowest(lambda: model, Surgery, repeats)}
    for edit, action in EDITS.items():
        figures[edit] = lowest(lambda: Surgery(model), action, repeats)
        print(f"| {edit} | {figures[edit][0]:.2f} s | {figures[edit][1]:.0f} MiB |", flush=True)
    surgery = Surgery(model)
    figures["to Keras"] = lowest(lambda: surgery, Surgery.model, repeats)
    for each in ("from Keras", "to Keras"):
        print(f"| {each} | {figures[each][0]:.2f} s | {figures[each][1]:.0f} MiB |", flush=True)
    return max(figures[edit][0] for edit in EDITS)


def main():
    """Print the tables."""
    parser = Parser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small networks, one repeat")
    parser.add_argument("--repeats", type=positive(int), default=3)
    options = parser.parse_args()
    repeats = 1 if options.quick else options.repeats
    if options.quick:
        slowest = report("ResNet50, an eighth of the width", wide_resnet50(1 / 8), repeats)
    else:
        report("ResNet50", keras.applications.ResNet50(weights=None), repeats)
        keras.utils.clear_session()
        slowest = report("ResNet50, twice the width", wide_resnet50(2), repeats)
    print(f"slowest edit: {slowest:.2f}")


if __name__ == "__main__":
    run_benchmark(main)
