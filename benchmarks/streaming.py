"""Compare training on streamed images with training on resident ones, and the memory of workers.

    python benchmarks/streaming.py [--gigabytes 0.4] [--quick]

Writes random images of 32x32x3 pixels to an `.npz` file. In worker processes that each load it, and
in workers that share memory-mapped files, one and two at a time, it prints the memory of a worker
after some training steps and after all images have been read: what it has for itself (USS), and
with its share of what processes have in common (PSS). Then it trains the smallest initial network
with all augmentation, on the device of this machine: 300 steps at a time (a whole epoch on a GPU)
on random images, which are resident, or stream in eight parts or more. The last line is the images
per second of streaming relative to resident images. Target: at least 0.95.

With --quick, only two workers at a time, and 40 steps.
"""

import importlib
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from common import BATCH, CLASSES, IMAGE, INITIAL, random_images
from script import Parser, positive, run_benchmark

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.source import NamedDatasets, SharedDatasets
from lemonade_tf.executors import ProcessExecutor, count_gpus
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.tasks import TimingTask
from lemonade_tf.workers.worker_setup import SEARCH_WORKER, WorkerSetup

SETTINGS = TrainingSettings()


class WithMemory:
    """Runs a task, reads all images, waits for the other workers, and returns the memory."""

    def __init__(self, setup):
        self.worker = setup()

    def __call__(self, task):
        self.worker(task)
        self.worker._datasets[None][0].digest()
        time.sleep(3)  # until the others have read the images as well
        return memory()


def memory():
    """Return the USS and the PSS of this process in MB (Linux only)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return private / 1024, kilobytes["Pss"] / 1024


def compare_memory(path, source, numbers):
    """Print the memory of workers that load the images, and of workers that share them."""
    print("workers that         number  USS, MB  PSS, MB")
    for name, each in (("load the images", NamedDatasets(path)), ("share the images", source)):
        for number in numbers:
            worker = WorkerSetup(SEARCH_WORKER, each, SETTINGS, 1)
            # Workers do not run the main script; they import it as the module `streaming`.
            setup = partial(importlib.import_module("streaming").WithMemory, worker)
            task = TimingTask(to_json(INITIAL[0].graph()))
            with ProcessExecutor(setup, num_workers=number, preload=worker.preload) as executor:
                outcomes = list(executor.run([task] * number))
            for outcome in outcomes:
                if outcome.failure is not None:
                    raise SystemExit(outcome.failure)
            private, proportional = (
                median(values) for values in zip(*(o.result for o in outcomes), strict=True)
            )
            print(f"{name:20} {number:6}  {private:7,.0f}  {proportional:7,.0f}", flush=True)


def compare_speed(data, num_pairs, most_steps):
    """Print images per second with resident and with streamed images, and their ratio.

    Args:
        data: The images.
        num_pairs: Epochs of each.
        most_steps: Training steps of an epoch at most; None: all images.
    """
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.training.augmentation import augmentation_for
    from lemonade_tf.training.fit import make_trainer
    from lemonade_tf.training.streaming import place_images, place_targets

    current_backend().set_up(1)
    transform, rng = augmentation_for(data, SETTINGS), np.random.default_rng(0)
    num_steps = len(data.x_train) // BATCH
    num_steps = min(num_steps, most_steps or num_steps)
    rates = np.full(num_steps, 1e-3, np.float32)

    def epochs(device_bytes):
        """Yield the images per second of one epoch after another."""
        images = place_images(data.x_train, device_bytes)
        targets = place_targets(data.y_train, images)
        model = current_backend().training_model(INITIAL[0].graph(), seed=0)
        trainer = make_trainer(model, SETTINGS, transform, images=images, num_steps=10**6)
        while True:
            order = rng.permutation(len(data.x_train))[: num_steps * BATCH].astype(np.int32)
            draws = transform.draw(num_steps, BATCH, rng=rng)
            start = time.perf_counter()
            trainer.run_epoch(images, targets, order.reshape(num_steps, BATCH), rates, draws)
            yield num_steps * BATCH / (time.perf_counter() - start)

    resident, streamed = epochs(None), epochs(num_steps * BATCH * data.x_train[:1].nbytes / 4)
    next(resident), next(streamed)  # compile
    pairs = []
    for number in range(num_pairs):
        if number % 2:
            second = next(streamed)
            pairs.append((next(resident), second))
        else:
            pairs.append((next(resident), next(streamed)))
    for name, speeds in zip(("resident", "streamed"), zip(*pairs, strict=True), strict=True):
        middle, low, high = median(speeds), min(speeds), max(speeds)
        print(f"{name}: {middle:,.0f} images per second ({low:,.0f} to {high:,.0f})")
    print(f"ratio: {median(second / first for first, second in pairs):.3f}")


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=positive(float), default=0.4, help="of images")
    parser.add_argument("--quick", action="store_true", help="25 MB of images, two pairs of epochs")
    options = parser.parse_args()
    gigabytes = 0.025 if options.quick else options.gigabytes
    images, labels = random_images(int(gigabytes * 1e9) // int(np.prod(IMAGE)))
    labels[:CLASSES] = range(CLASSES)
    with tempfile.TemporaryDirectory() as folder, ArrayFiles() as files:
        path = str(Path(folder) / "images.npz")
        np.savez(path, x_train=images, y_train=labels)
        del images
        data = load_dataset(path, allocate=files.allocate)
        compare_memory(path, SharedDatasets.of(data), (2,) if options.quick else (1, 2))
        most = 40 if options.quick else None if count_gpus() else 300
        compare_speed(data, 2 if options.quick else 6, most)


if __name__ == "__main__":
    run_benchmark(main)
