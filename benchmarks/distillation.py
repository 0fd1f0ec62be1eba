"""Measure how much distillation gains when the part shared by parent and child is computed once.

    python benchmarks/distillation.py [--quick]

Prunes half of the filters of one convolution in a chain of ten blocks on 32x32 images, and distills
the child for five epochs: the teacher's probabilities, compiling, and all steps. One side works
like a search: the part before the first affected layer is computed once for parent and child and
cached (`distillation_memory`). The other side caches nothing. Both sides distill the same child, in
alternating order. Prints the ratio of CPU seconds for each depth of the pruned block, the median
over pairs. The last line is the mean over depths.
"""

import time

import numpy as np
from common import BATCH, IMAGE, chain
from script import Parser, run_benchmark

DEPTHS, NUM_BLOCKS, NUM_EPOCHS = (1, 3, 5, 7, 9), 10, 5


def child_of(parent, number):
    """Return the change that prunes a block: a child that no cache holds."""
    from lemonade_tf.operators import PruneFilters
    from lemonade_tf.operators.prune import PruneSite

    rng = np.random.default_rng(number)
    convolutions = [name for name in parent.topological_order() if name.startswith("conv")]
    site = PruneSite(convolutions[number - 1], "1/2")
    return PruneFilters().apply(parent, site, rng=rng)


def seconds(parent, change, images, memory):
    """Return CPU and wall-clock seconds of one distillation, and the nodes it shared."""
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.training.distillation import distill, distillation_targets
    from lemonade_tf.training.settings import TrainingSettings

    settings = TrainingSettings(
        distillation_epochs=NUM_EPOCHS, batch_size=BATCH, distillation_memory=memory
    )
    backend = current_backend()
    teacher, student = backend.training_model(parent), backend.training_model(change.graph)
    placed = backend.place(images)
    cpu, wall = time.process_time(), time.perf_counter()
    targets = distillation_targets(parent, teacher, change, student, images, placed, settings)
    distill(targets, change.distilled, settings=settings, rng=np.random.default_rng(0))
    return time.process_time() - cpu, time.perf_counter() - wall, len(targets.shared)


def compare(depth, number, num_images):
    """Return CPU and wall-clock seconds of a pair: with and without the cache."""
    parent = chain(NUM_BLOCKS, (16 + number, 32 + number, 64 + number)).graph()
    rng = np.random.default_rng(number)
    images = rng.integers(0, 256, (num_images, *IMAGE)).astype(np.uint8)
    change = child_of(parent, depth)
    found = {
        m: seconds(parent, change, images, m) for m in ((1.0, 0.0) if number % 2 else (0.0, 1.0))
    }
    if depth > 1 and not found[1.0][2]:
        raise RuntimeError("parent and child share no nodes; the comparison is invalid.")
    return found[1.0][:2], found[0.0][:2]


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two depths, one pair, few images")
    quick = parser.parse_args().quick
    depths, pairs, num_images = ((3, 9), 1, 256) if quick else (DEPTHS, 5, 2000)
    compare(9, 0, 2 * BATCH)  # warm-up
    print(f"{num_images} images; CPU seconds")
    print(f"{'pruned block':12}{'cached':>9}{'uncached':>11}{'ratio':>8}{'wall-clock ratio':>19}")
    ratios = []
    for depth in depths:
        times = np.array([compare(depth, n, num_images) for n in range(1, pairs + 1)])
        cpu, wall = times[..., 0], times[..., 1]
        ratios.append(np.median(cpu[:, 0] / cpu[:, 1]))
        print(
            f"{depth:12}{np.median(cpu[:, 0]):9.1f}{np.median(cpu[:, 1]):11.1f}"
            f"{ratios[-1]:8.2f}{np.median(wall[:, 0] / wall[:, 1]):19.2f}",
            flush=True,
        )
    print(f"ratio: {np.mean(ratios):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
