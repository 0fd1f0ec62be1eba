"""Measure how fast the downsampled ImageNet is read from disk, and the memory that it takes.

    python benchmarks/streaming_from_disk.py [--gigabytes 4] [--folder FOLDER] [--quick]

Writes random images of 64x64x3 pixels in the layout of the official files, pickles of one tenth of
the training images each, and converts them as the first use of `--dataset imagenet64` does. (Twice
the gigabytes are needed on the disk; 15.7 is the size of all of ImageNet64x64.) It prints

- seconds and images per second of the conversion, and the peak of its anonymous memory (see below);
- images per second of an epoch's reads alone, in random order, in chunks as training streams them,
  and of training the fastest network: the smallest initial one of space I, on streamed images. Both
  with the converted file dropped from the page cache ("cold": `posix_fadvise`, without root) and in
  it ("warm"), each in a process of its own; with the bytes that came from the disk;
- the memory of the driver, and of one and two workers that have read all images: RSS, which counts
  the pages of the files that happen to be in the page cache and that the system may drop at any
  time; PSS, with each page divided by the number of processes that map it; and anonymous memory,
  which belongs to no file, as a copy of images would.

The last line is the images per second of reading cold relative to those of training warm. Target:
at least 1, so that the disk never holds up training.
"""

import importlib
import os
import pickle
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from common import BATCH
from script import Parser, positive, run_benchmark

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.imagenet_sources import TEST, TRAIN
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.source import SharedDatasets
from lemonade_tf.executors import ProcessExecutor
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.tasks import TimingTask
from lemonade_tf.workers.worker_setup import SEARCH_WORKER, WorkerSetup

NAME, SIDE, CLASSES = "imagenet64", 64, 1000
IMAGE_BYTES = 3 * SIDE**2
SETTINGS = TrainingSettings(batch_size=BATCH, mixup=0.0, cutout=0, pad=4)
CHUNK_BYTES = 2**27  # as many as training streams at a time


def write_files(folder, num_images):
    """Write official files: ten with training images, and one with a twentieth as many."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in (*TRAIN, TEST):
        number = max(num_images // (10 if name in TRAIN else 20), CLASSES)
        data = rng.integers(0, 256, (number, IMAGE_BYTES), dtype=np.uint8)
        batch = {"data": data, "labels": [1 + index % CLASSES for index in range(number)]}
        if name in TRAIN:
            batch["mean"] = np.zeros(IMAGE_BYTES)
        with (folder / name).open("wb") as file:
            pickle.dump(batch, file, protocol=4)


def convert(data_dir):
    """Load the data set, and return seconds, images, and the peak of the anonymous memory in MB."""
    sizes, done = [], threading.Event()

    def sample():
        while not done.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            sizes.extend(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    thread, start = threading.Thread(target=sample), time.perf_counter()
    thread.start()
    try:
        data = load_dataset(NAME, data_dir)
    finally:
        done.set()
        thread.join()
    seconds = time.perf_counter() - start
    number = sum(map(len, (data.x_train, data.x_validation, data.x_test)))
    return seconds, number, max(sizes, default=0) / 1024


def drop_from_cache(path):
    """Drop a file that no process maps from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def disk_bytes():
    """Return the bytes that this process has had read from the disk (Linux only)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])


def epoch_order(data, num_images):
    """Return the rows of the first images of an epoch."""
    return np.random.default_rng(1).permutation(len(data.x_train))[:num_images].astype(np.int32)


def read(data_dir, num_images):
    """Read images as an epoch does; return images per second and the share from the disk."""
    from lemonade_tf.training.streaming import gather

    data = load_dataset(NAME, data_dir)
    order, size = epoch_order(data, num_images), CHUNK_BYTES // IMAGE_BYTES
    before, start = disk_bytes(), time.perf_counter()
    for first in range(0, len(order), size):
        rows = np.sort(order[first : first + size])
        gather(data.x_train, rows, len(rows))
    seconds = time.perf_counter() - start
    return len(order) / seconds, (disk_bytes() - before) / (len(order) * IMAGE_BYTES)


def train(data_dir, num_images):
    """Train on streamed images; return images per second and the share from the disk."""
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.training.augmentation import augmentation_for
    from lemonade_tf.training.fit import make_trainer
    from lemonade_tf.training.streaming import place_images, place_targets

    current_backend().set_up(1)
    data = load_dataset(NAME, data_dir)
    transform = augmentation_for(data, SETTINGS)
    images = place_images(data.x_train, 2 * CHUNK_BYTES)
    targets = place_targets(data.y_train, images)
    model = current_backend().training_model(fastest(data), seed=0)
    num_steps = num_images // BATCH
    trainer = make_trainer(model, SETTINGS, transform, images=images, num_steps=num_steps)
    order = epoch_order(data, num_steps * BATCH).reshape(num_steps, BATCH)
    draws = transform.draw(num_steps, BATCH, rng=np.random.default_rng(0))
    rates = np.full(num_steps, 1e-3, np.float32)
    trainer.compile(images, targets, order, rates, draws)
    before, start = disk_bytes(), time.perf_counter()
    trainer.run_epoch(images, targets, order, rates, draws)
    seconds = time.perf_counter() - start
    return order.size / seconds, (disk_bytes() - before) / (order.size * IMAGE_BYTES)


def fastest(data):
    return NETWORKS.initial_graphs(data.input_shape, data.num_classes)[0]


class WithMemory:
    """Times a task, reads all images, waits for the other workers, and returns the memory."""

    def __init__(self, setup):
        self.worker = setup()

    def __call__(self, task):
        self.worker(task)
        images = self.worker._datasets[None][0].x_train
        for first in range(0, len(images), 4096):
            images[first : first + 4096].max()
        time.sleep(5)  # until the others have read the images as well
        return memory()


def memory():
    """Return the RSS, the PSS and the anonymous memory of this process in MB (Linux only)."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}
    return tuple(kilobytes[name] / 1024 for name in ("Rss", "Pss", "Anonymous"))


def in_a_process(function, *args):
    """Return what a function returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *args).result()


def compare_speed(data_dir, num_read, num_trained):
    """Print the speeds of reading and training, cold and warm; return the first and the last."""
    print("                       images per second   read from disk, of the images' bytes")
    images = data_dir / NAME / "converted" / "train_images.npy"
    speeds = []
    for function, number in ((read, num_read), (train, num_trained)):
        for is_cold in (True, False):
            if is_cold:
                drop_from_cache(images)
            speed, share = in_a_process(function, data_dir, number)
            name = f"{function.__name__}, {'cold' if is_cold else 'warm'}"
            print(f"{name:20} {speed:20,.0f} {share:24.2f}", flush=True)
            speeds.append(speed)
    return speeds[0], speeds[-1]


def print_memory(data_dir):
    """Print the memory of the driver and of workers that share the converted files."""
    data = load_dataset(NAME, data_dir)
    task = TimingTask(to_json(fastest(data)))
    worker = WorkerSetup(SEARCH_WORKER, SharedDatasets.of(data), SETTINGS, 1)
    print("                RSS, MB   PSS, MB   anonymous, MB")
    for number in (1, 2):
        # Workers do not run the main script; they import it as a module.
        setup = partial(importlib.import_module("streaming_from_disk").WithMemory, worker)
        with ProcessExecutor(setup, num_workers=number, preload=worker.preload) as executor:
            for outcome in executor.run([task] * number):
                if outcome.failure is not None:
                    raise SystemExit(outcome.failure)
                _print_row(f"worker of {number}", outcome.result)
    _print_row("driver", memory())


def _print_row(name, sizes):
    print(f"{name:12} {sizes[0]:10,.0f} {sizes[1]:9,.0f} {sizes[2]:15,.0f}", flush=True)


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=positive(float), default=4.0, help="of images")
    parser.add_argument("--folder", type=Path, help="where to write files; deleted at the end")
    parser.add_argument("--quick", action="store_true", help="0.05 GB, 200 images, no memory")
    options = parser.parse_args()
    num_images = int((0.05 if options.quick else options.gigabytes) * 1e9) // IMAGE_BYTES
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        data_dir = Path(folder)
        write_files(data_dir / NAME, num_images)
        seconds, number, peak = in_a_process(convert, data_dir)
        gigabytes = number * IMAGE_BYTES / 1e9
        print(
            f"conversion of {number:,} images, {gigabytes:.1f} GB: {seconds:.0f} s,"
            f" {number / seconds:,.0f} images per second; at most {peak:,.0f} MB of anonymous"
            " memory",
            flush=True,
        )
        for name in (*TRAIN, TEST):
            (data_dir / NAME / name).unlink()
        num_read = 200 if options.quick else num_images // 4
        speeds = compare_speed(data_dir, num_read, 200 if options.quick else 10_000)
        if not options.quick:
            print_memory(data_dir)
    print(f"ratio: {speeds[0] / speeds[1]:.2f}")


if __name__ == "__main__":
    run_benchmark(main)
