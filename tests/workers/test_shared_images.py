"""Large data sets in workers: one copy per machine, streaming, and the same children."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets import array_files
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.source import SharedDatasets
from lemonade_tf.executors import ProcessExecutor
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.operators import APPROXIMATE, record
from lemonade_tf.search import search
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import StreamedImages
from lemonade_tf.workers.child import train_child
from lemonade_tf.workers.tasks import ChildTask, TimingTask
from lemonade_tf.workers.worker_setup import SEARCH_WORKER, WorkerSetup

ROLLUP = Path("/proc/self/smaps_rollup")


def _without_times(result):
    return replace(result, seconds={}, images_per_second=None)


def _pruning(parent_file):
    prune = next(operator for operator in APPROXIMATE if operator.name == "prune_filters")
    site = next(s for s in prune.candidates(load_graph(parent_file)) if s.node == "conv_2")
    return record(prune, site)


@pytest.mark.slow
@pytest.mark.parametrize("distillation_memory", [0.0, 1.0])  # teacher and images stream; cached
def test_a_child_is_the_same_with_mapped_and_with_streamed_images(
    parent_file, digits, settings, tmp_path, assert_equal_weights, monkeypatch, distillation_memory
):
    monkeypatch.setattr(array_files, "_LARGE", 1000)
    settings = replace(settings, distillation_memory=distillation_memory, pad=1, cutout=2)
    with ArrayFiles(tmp_path / "cache") as files:
        mapped = files.allocate(digits.x_train.shape, np.uint8)
        mapped[...] = digits.x_train
        shared, _ = SharedDatasets.of(replace(digits, x_train=mapped)).load()
        results, graphs = [], []
        for data, images in (
            (digits, None),
            (shared, None),
            (shared, StreamedImages(shared.x_train, 5_000)),
        ):
            output = str(tmp_path / f"{len(results)}.h5")
            seed = np.random.SeedSequence(5)
            task = ChildTask("1", (_pruning(parent_file),), output, seed, seed, parent_file)
            results.append(_without_times(train_child(task, data, settings, images=images)))
            graphs.append(load_graph(output))
    assert results[0].failure is None
    assert results[0].distillation_losses
    for result, graph in zip(results[1:], graphs[1:], strict=True):
        assert result == results[0]
        assert_equal_weights(graph, graphs[0])


class WithMemory:
    """Runs a task, reads all images, and returns the memory that the process has for itself."""

    def __init__(self, setup):
        self.before = _anonymous_bytes()
        self.worker = setup()

    def __call__(self, task):
        self.worker(task)
        data = self.worker._datasets[None][0]
        return _anonymous_bytes() - self.before, data.digest(), type(data.x_train).__name__


def _anonymous_bytes():
    [line] = [line for line in ROLLUP.read_text().splitlines() if line.startswith("Anonymous:")]
    return 1024 * int(line.split()[1])


class _WithMemorySetup:
    def __init__(self, setup):
        self.setup = setup

    def __call__(self):
        return WithMemory(self.setup)


@pytest.mark.slow
@pytest.mark.skipif(not ROLLUP.exists(), reason="the system does not tell shared memory apart")
def test_two_workers_share_400_megabytes(tmp_path):
    rng, num_images = np.random.default_rng(0), 130_000
    block = rng.integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
    images = np.concatenate([block] * (num_images // 1000))
    np.savez(tmp_path / "large.npz", x_train=images, y_train=np.arange(num_images) % 10)
    graph = NETWORKS.initial_graphs((32, 32, 3), 10)[0]
    with ArrayFiles(tmp_path) as files:
        data = load_dataset(tmp_path / "large.npz", allocate=files.allocate)
        worker = WorkerSetup(SEARCH_WORKER, SharedDatasets.of(data), TrainingSettings(), 1)
        setup = _WithMemorySetup(worker)
        with ProcessExecutor(setup, num_workers=2, preload=worker.preload) as executor:
            outcomes = list(executor.run([TimingTask(to_json(graph))] * 2))
        assert [outcome.failure for outcome in outcomes] == [None, None]
        for outcome in outcomes:
            own, digest, kind = outcome.result
            assert digest == data.digest()
            assert kind == "memmap"
            # 60 to 130 MB for a model and its steps; copies of the images would be 400 MB or more.
            assert own < 250e6


@pytest.mark.slow
def test_a_search_with_streamed_images_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(array_files, "_LARGE", 1000)
    histories = []
    for name, given in (("resident", {}), ("streamed", {"device_memory": 1e-5})):
        result = search(
            preset="quick",
            dataset=_digits_file(tmp_path),
            workdir=str(tmp_path / name),
            cache_dir=str(tmp_path / "cache"),
            num_generations=0,
            epochs=1,
            workers=2,
            **given,
        )
        histories.append(
            [{k: v for k, v in row.items() if "seconds" not in k} for row in result.front]
        )
        assert list((tmp_path / "cache").iterdir()) == []
    assert histories[0] == histories[1]


def _digits_file(folder):
    digits = load_dataset("digits")
    path = folder / "digits.npz"
    parts = {f"{a}_{p}": getattr(digits, f"{a}_{p}")[:300] for a in "xy" for p in ("train", "test")}
    np.savez(path, **parts)
    return str(path)
