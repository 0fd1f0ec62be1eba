"""A replacement of training: milliseconds per child, with a different result for each.

Run a search with it in a separate process:

    python tests/toy_training.py WORKDIR '{"num_generations": 3}' [FAULT]

prints how the search ended, or a user's error.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.names import file_id
from lemonade_tf.executors import Executor, InProcessExecutor, Outcome
from lemonade_tf.executors.base import TaskQueue
from lemonade_tf.latency import Measurement
from lemonade_tf.latency.measuring_task import Measured, MeasuringTask
from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.objectives import TrainedNetwork
from lemonade_tf.operators import APPROXIMATE, replay
from lemonade_tf.runs import read_run
from lemonade_tf.search import search, worker_processes
from lemonade_tf.workers.measured_objectives import measure_objectives, prepare_objective
from lemonade_tf.workers.several_datasets import train_on_all
from lemonade_tf.workers.tasks import ChildResult, ObjectiveTask, Timing, TimingTask

SETTINGS = {
    "dataset": "digits",
    "preset": "quick",
    "num_generations": 3,
    "num_proposed": 10,
    "num_accepted": 4,
    "workers": 2,
}


def start_worker(source, settings, **options):
    """Set up a worker like the real one; environment variables select a fault."""
    return Toy(os.environ.get("TOY_FAULT", ""), float(os.environ.get("TOY_SECONDS", 0.03)))


class Toy:
    """Trains a child: its file is its architecture, which determines its error."""

    def __init__(self, fault="", seconds=0.03):
        self.fault, self.seconds, self.num_measured = fault, seconds, 0

    def __call__(self, task):
        if isinstance(task, TimingTask):
            return Timing(0.01, 0.001, 0.0001)
        if isinstance(task, MeasuringTask):
            return self._measure(task)
        if isinstance(task, ObjectiveTask):
            return prepare_objective(task, load_dataset("digits"))
        return train_on_all(task, self._train)

    def _train(self, task):
        if "TOY_STARTED" in os.environ:  # tells that a child is in training
            Path(os.environ["TOY_STARTED"]).touch()
        while "TOY_AFTER" in os.environ and not Path(os.environ["TOY_AFTER"]).exists():
            time.sleep(0.05)
        time.sleep(self.seconds)
        parent = from_json(task.architecture or Path(task.parent_file).read_text())
        graph = replay(parent, task.operators, rng=np.random.default_rng(0)).graph
        text = to_json(graph.copy(weights=False))
        self._go_wrong(task)
        if self.fault == "diverge":
            return ChildResult(task.id, failure="diverged: the loss became nan in epoch 1 of 1.")
        seed = f"{text}{task.training_seed.entropy}{task.dataset or ''}"
        seed = hashlib.sha256(seed.encode()).digest()
        share = int.from_bytes(seed[:4], "big") / 2**32
        parameters = count_parameters(graph)
        Path(task.output).write_text(text)
        guesses = np.random.default_rng(seed[0]).dirichlet(np.ones(10), 20)
        images, labels = np.zeros((20, 8, 8, 1)), np.arange(20) % 10
        trained = TrainedNetwork(
            graph, images, labels, guesses, lambda: None, lambda: None, images, None
        )
        return ChildResult(
            task.id,
            measured=measure_objectives(task.objectives, trained),
            error=round((1 + share) / np.log(parameters), 4),
            ranked_error=round((1 + share) / np.log(parameters), 4),
            test_error=round(share, 4),
            seconds={"train": self.seconds, "total": self.seconds},
            losses=(share,),
            epsilon=_epsilon(task, share),
            epochs=1,
            num_images=100,
            parameters=parameters,
            multiply_adds=count_multiply_adds(graph),
        )

    def _measure(self, task):
        if self.fault == "die_measuring":
            os.kill(os.getpid(), signal.SIGKILL)
        seconds = [1e-6 * len(from_json(network)) for network in task.networks]
        results = [Measurement(s, 10, 0.01) for s in seconds]
        if self.fault == "unmeasured":  # every second network
            self.num_measured += 1
            results = ["LiteError: no such operation" if self.num_measured % 2 else results[0]]
        return Measured(tuple(results), "a toy", {}, 0.1)

    def _go_wrong(self, task):
        kind, _, ids = self.fault.partition(":")
        if not kind or (ids and file_id(task.id, task.dataset) not in ids.split(",")):
            return
        if kind == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "die_once" and not Path(f"{task.output}.was_here").exists():
            Path(f"{task.output}.was_here").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hang":
            time.sleep(600)
        if kind.startswith("until"):  # the history has that many lines
            history = Path(task.output).parents[1] / "history.jsonl"
            while history.read_bytes().count(b"\n") < int(kind.removeprefix("until")):
                time.sleep(0.01)
        if kind == "raise":
            raise ValueError(f"no luck with {task.id}")
        if kind == "full":
            raise OSError(28, "No space left on device")


def _epsilon(task, share):
    approximate = {operator.name for operator in APPROXIMATE}
    if not any(record["operator"] in approximate for record in task.operators):
        return None
    both = (("before", 1 + share), ("after", share))
    return {when: {"cross_entropy": 2 + kl, "kl": kl} for when, kl in both}


def toy_executor():
    """Return an executor that trains toys in this process."""
    return InProcessExecutor(lambda: start_worker(None, None, threads=1, strategy="one_per_gpu"))


class ShuffledExecutor(Executor):
    """Trains toys in this process as if in several workers, which finish in a random order."""

    def __init__(self, num_workers, seed):
        self.num_workers, self.rng = num_workers, random.Random(seed)
        self.worker = start_worker(None, None, threads=1)

    def run(self, tasks, *, deadline=None):
        queue, running = TaskQueue(tasks, deadline), []
        while True:
            while len(running) < self.num_workers and (task := next(queue, None)) is not None:
                running.append(task)
            if not running:
                return
            task = running.pop(self.rng.randrange(len(running)))
            yield Outcome(task, self.worker(task), None, worker=0, seconds=0.0)

    def close(self):
        pass


def toy_search(workdir, *, in_process=False, **settings):
    """Run a search with toy training; see `lemonade_tf.search.search`."""
    given = {"workdir": str(workdir), **SETTINGS, **settings}
    if in_process:
        return search(executor=toy_executor(), **given)
    with patch.object(worker_processes, "SEARCH_WORKER", f"{__name__}:start_worker"):
        return search(**given)


class Break(Callback):
    """Interrupts a search after a number of networks."""

    def __init__(self, after):
        self.left = after

    def on_network_end(self, state, record):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def cut(workdir, after, **settings):
    """Run a search that is interrupted after a number of networks."""
    with pytest.raises(KeyboardInterrupt):
        toy_search(workdir, in_process=True, callbacks=[Break(after)], **settings)
    return workdir


def accepted(results, generation):
    """Return the ids of the children of a generation, of the results of a search."""
    return [i for i, record in results["history"].items() if record.generation == generation]


LEFT_OUT = {  # when histories are compared
    "seconds": {},
    "timestamp": 0.0,
    "images_per_second": None,
    "first_failure": None,
    "log": "",
}


def results(workdir):
    """Return the history of a search by id, without times, its proposals, files and front."""
    run = read_run(workdir)
    history = {record.id: replace(record, **LEFT_OUT) for record in run.history}
    proposals = run.store.proposals.read()
    files = sorted(path.name for path in (run.store.path / "models").iterdir())
    front = (run.store.path / "front.csv").read_text()
    return {"history": history, "proposals": proposals, "front": front, "files": files}


if __name__ == "__main__":
    import toy_training  # the name under which workers import it

    from lemonade_tf.errors import LemonadeError

    os.environ["TOY_FAULT"] = sys.argv[3] if len(sys.argv) > 3 else ""
    try:
        result = toy_training.toy_search(sys.argv[1], **json.loads(sys.argv[2]))
    except LemonadeError as error:
        raise SystemExit(f"toy: {error}") from None
    print("stopped" if result.stopped else "complete" if result.complete else "incomplete")
