"""Compare training a network on all devices together with training it on one.

    python benchmarks/mirrored.py [--batch_size 64] [--quick]

Uses all GPUs. A single GPU is divided into two logical GPUs, and without GPUs the CPU into two
logical CPUs: this shows that the results are the same, and what the exchange costs, but two logical
devices are no faster than one. Batches of 32x32x3 with all augmentation, one network after the
other in one process. Per network:

- images per second on one device, compiled by XLA on a GPU, and on all devices, which XLA cannot
  compile together;
- seconds of compiling, likewise;
- the largest difference of a weight after one step and after 20 steps on the same images with the
  same random numbers. Rounding that changes the sign of an activation grows from step to step. For
  comparison, the difference on one device between this package's batch normalization and Keras's.

The last line is the ratio of images per second, all devices to one, the median over networks.
"""

import gc
import os
import time

import numpy as np
from common import CLASSES, IMAGE, INITIAL, chain, random_images
from script import Parser, positive, run_benchmark

STEPS, RATE = 20, 0.01
MEMORY_OF_LOGICAL_GPU = 2**14  # MB


def divide_devices():
    """Divide a single device into two, and return the number of devices."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) == 1:
        limit = tf.config.LogicalDeviceConfiguration(memory_limit=MEMORY_OF_LOGICAL_GPU)
        tf.config.set_logical_device_configuration(gpus[0], [limit] * 2)
        print("one GPU, divided into two logical GPUs")
    elif not gpus:
        os.environ["LEMONADE_LOGICAL_CPUS"] = "2"
        print("no GPU: the CPU, divided into two logical CPUs")
    else:
        print(f"{len(gpus)} GPUs")
    return max(2, len(gpus))


class Side:
    """A network on one device or on all, and what training it showed."""

    def __init__(self, graph, strategy, batch_size, *, stock=False):
        import tensorflow as tf

        from lemonade_tf.backends.current import current_backend
        from lemonade_tf.keras_bridge import to_keras
        from lemonade_tf.training.augmentation import Augmentation

        backend = current_backend()
        backend.set_up(None, strategy)
        xla = strategy == "one_per_gpu" and bool(tf.config.list_physical_devices("GPU"))
        transform = Augmentation(IMAGE, CLASSES, (127.5,) * 3, pad=4, cutout=16)
        self.model = to_keras(graph, logits=True) if stock else backend.training_model(graph)
        self._trainer = backend.trainer(
            self.model,
            momentum=0.9,
            weight_decay=5e-4,
            transform=transform,
            jit_compile="always" if xla and not stock else "never",
        )
        images, labels = random_images(STEPS * batch_size)
        self._data = backend.place(images), backend.place(labels)
        rng = np.random.default_rng(0)
        self._order = rng.permutation(len(images)).astype(np.int32).reshape(STEPS, batch_size)
        self._draws = transform.draw(STEPS, batch_size, rng=rng)
        self._num_images = len(images)
        self._initial = self._trainer.state()

    def train(self, num_steps=STEPS, rate=RATE):
        """Take the first steps of the epoch, and return their seconds."""
        rates = np.full(STEPS, rate, np.float32)
        start = time.perf_counter()
        self._trainer.run_epoch(*self._data, self._order, rates, self._draws, num_steps)
        return time.perf_counter() - start

    def differences(self, other):
        """Return the largest differences of a weight, after one step and after all."""
        found = []
        for num_steps in (1, STEPS):
            ours, theirs = (side.weights_after(num_steps) for side in (self, other))
            found.append(max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours))
        return found

    def weights_after(self, num_steps):
        """Return the weights after some steps from the initial ones."""
        self._trainer.restore(self._initial)
        self.train(num_steps)
        return self._trainer.state()

    def speed(self, rounds):
        """Return images per second, the median over epochs that do not change the weights."""
        return self._num_images / np.median([self.train(rate=0.0) for _ in range(rounds)])

    @property
    def seconds_compiling(self):
        return self._trainer.seconds_compiling


def compare(network, batch_size, rounds):
    """Print what one network showed, and return the ratio of speeds."""
    graph = network.graph()
    one, every = (Side(graph, name, batch_size) for name in ("one_per_gpu", "mirrored"))
    stock = Side(graph, "one_per_gpu", batch_size, stock=True)
    devices, algorithms = one.differences(every), one.differences(stock)
    speeds = [side.speed(rounds) for side in (one, every)]
    print(
        f"{network!s:28}{speeds[0]:9,.0f}{speeds[1]:9,.0f}{speeds[1] / speeds[0]:7.2f}"
        f"{one.seconds_compiling:8.1f}{every.seconds_compiling:6.1f}"
        f"{devices[0]:11.1e}{devices[1]:9.1e}{algorithms[0]:11.1e}{algorithms[1]:9.1e}",
        flush=True,
    )
    return speeds[1] / speeds[0]


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=positive(int), default=64, help="global batch")
    parser.add_argument("--quick", action="store_true", help="two networks, one epoch each")
    options = parser.parse_args()
    number = divide_devices()
    from lemonade_tf.backends.current import current_backend

    current_backend().set_up(None, "mirrored")  # before TensorFlow runs anything
    print(
        f"{'':28}{'images per second':>25}{'compiling':>14}{'1, 20 steps':>20}{'batch norms':>20}\n"
        f"{'network':28}{'one':>9}{number:>9}{'ratio':>7}{'one':>8}{number:>6}"
    )
    networks = (INITIAL[0], INITIAL[1], INITIAL[4], chain(10), INITIAL[0])
    ratios = []
    for network in networks[::3] if options.quick else networks:
        ratios.append(compare(network, options.batch_size, 1 if options.quick else 5))
        gc.collect()
    print(f"ratio: {np.median(ratios):.2f}")


if __name__ == "__main__":
    run_benchmark(main)
