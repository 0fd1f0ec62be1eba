"""Measure the memory of the driver and of a worker over many children.

    python benchmarks/memory.py [--strategy mirrored] [--quick]

Trains 150 different children of the smallest initial network for one epoch each on digits, in one
worker that is never replaced, and prints the resident memory of driver and worker meanwhile. The
last line is the worker's memory at the end relative to that after the first 20 children. Target: at
most 1.1 (plain `model.fit` grows by 3 to 5 MB per child). With `--strategy mirrored`, the worker
trains on all GPUs, or without GPUs on two logical CPUs.
"""

import importlib
import os
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from script import Parser, run_benchmark

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.source import NamedDatasets
from lemonade_tf.executors import ProcessExecutor, count_gpus
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.tasks import ChildTask
from lemonade_tf.workers.worker_setup import SEARCH_WORKER, WorkerSetup

WARM = 20


class WithMemory:
    """Runs tasks and returns the memory of the process with each result."""

    def __init__(self, setup):
        self.run = setup()

    def __call__(self, task):
        return self.run(task), resident()


def resident():
    """Return the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def tasks(number, folder):
    """Yield different children of one parent."""
    rng = np.random.default_rng(0)
    parent = NETWORKS.initial_graphs((8, 8, 1), 10)[0].copy(weights=False)
    for index in range(number):
        graph, _ = NETWORKS.propose(parent, rng=rng)
        seed = np.random.SeedSequence(0, spawn_key=(index,))
        yield ChildTask(
            id=f"0-{index}",
            operators=(),
            output=str(Path(folder) / "child.h5"),
            architecture=to_json(graph),
            weights_seed=seed,
            training_seed=seed,
        )


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="30 children")
    parser.add_argument("--strategy", choices=["one_per_gpu", "mirrored"], default="one_per_gpu")
    options = parser.parse_args()
    number = 30 if options.quick else 150
    os.environ.setdefault("LEMONADE_LOGICAL_CPUS", "2")  # used by mirrored only
    # Workers do not run the main script; they import it as the module `memory`.
    settings = TrainingSettings(
        epochs=1, distillation_epochs=0, pad=0, flip=False, cutout=0, mixup=0.0
    )
    worker_setup = WorkerSetup(
        SEARCH_WORKER, NamedDatasets("digits"), settings, 1, options.strategy
    )
    setup = partial(importlib.import_module("memory").WithMemory, worker_setup)
    worker, driver = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessExecutor(
            setup,
            num_workers=1,
            gpus_per_worker=max(1, count_gpus()) if options.strategy == "mirrored" else 1,
            max_tasks_per_worker=10 * number,
            preload=worker_setup.preload,
        ) as executor,
    ):
        for outcome in executor.run(tasks(number, folder)):
            if outcome.failure is not None:
                raise SystemExit(outcome.failure)
            worker.append(outcome.result[1])
            driver.append(resident())
            if len(worker) % 10 == 0:
                print(
                    f"{len(worker):4} children: worker {worker[-1]:.0f} MB,"
                    f" driver {driver[-1]:.0f} MB"
                )
    grown = (worker[-1] - worker[WARM - 1]) / (len(worker) - WARM)
    print(f"after the first {WARM}: {grown:+.2f} MB per child")
    print(f"ratio: {worker[-1] / worker[WARM - 1]:.3f}")


if __name__ == "__main__":
    run_benchmark(main)
