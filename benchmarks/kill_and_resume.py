"""Kill searches with `kill -9` at random moments, resume them, and compare their results.

    python benchmarks/kill_and_resume.py [--mode asynchronous] [--moments 50] [--quick]

Runs a small search with real training to its end. Then runs the same search repeatedly, kills its
process at a random moment (in half of the cases the worker processes first) and resumes it.
Compares the history, the front, and the weights of its networks. Also checks that every network
reported before the kill keeps its line of the history, and that no file is incomplete.

The result of an asynchronous search depends on the order in which its children are completed, which
a kill changes. It must then end like a search that was not killed and completed its children in the
order that the run folder records: like its own replay, with one worker. Half of the killed searches
are themselves replays of the first one, with two workers, and must end like it.

The last line is the fraction of moments after which all results are equal. Target: 1.
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from script import Parser, positive, run_benchmark

from lemonade_tf import load_graph
from lemonade_tf.runs import read_run

SETTINGS = {
    "preset": "quick",
    "num_generations": 2,
    "num_proposed": 8,
    "num_accepted": 3,
    "epochs": 1,
    "distillation_epochs": 1,
    "workers": 1,
}
LEFT_OUT = ("seconds", "images_per_second", "timestamp", "log", "first_failure", "file")


def images(path):
    """Write a small learnable data set: the class is the bright quadrant."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 260)
    pixels = rng.integers(0, 90, (260, 8, 8, 1))
    for image, label in zip(pixels, labels, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 120
    x = pixels.astype(np.uint8)
    np.savez(path, x_train=x[:200], y_train=labels[:200], x_test=x[200:], y_test=labels[200:])


def command(data, workdir, **settings):
    options = {**SETTINGS, "dataset": data, "workdir": workdir, **settings}
    listed = [f"--{name}={value}" for name, value in options.items()]
    program = "from lemonade_tf.cli import main; raise SystemExit(main())"
    return [sys.executable, "-c", program, "search", "--resume", *listed]


def results(workdir):
    """Return the results of a search: history, front and weights; for a replay, in its order."""
    run = read_run(workdir)
    history = {
        record.id: {k: v for k, v in record.as_json().items() if k not in LEFT_OUT}
        for record in run.history
    }
    weights = {}
    with (workdir / "front.csv").open() as file:
        front = list(csv.DictReader(file))
    for row in front:
        for name, node in load_graph(workdir / row["file"]).items():
            for key, value in node.weights.items():
                weights[row["id"], name, key] = value.tobytes()
    order = list(history) if run.config.slots_per_generation is not None else None
    return history, front, weights, order


def descendants(pid):
    """Return the process ids of all descendants of a process."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def search(data, workdir, **settings):
    """Run a search to its end."""
    subprocess.run(command(data, workdir, **settings), stdout=subprocess.DEVNULL, check=True)


def kill_and_resume(data, workdir, moment, workers_too, **settings):
    """Kill a search after `moment` seconds and resume it; return how many networks it recorded."""
    process = subprocess.Popen(command(data, workdir, **settings), stdout=subprocess.DEVNULL)
    with process:
        time.sleep(moment)
        victims = descendants(process.pid) if workers_too else []
        for pid in [*victims, process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    history = workdir / "history.jsonl"
    content = history.read_bytes() if history.exists() else b""
    reported = content[: content.rfind(b"\n") + 1]
    for path in workdir.glob("models/*.h5"):
        load_graph(path)  # raises if the file is incomplete
    search(data, workdir, **settings)
    if not history.read_bytes().startswith(reported):
        raise SystemExit(f"{history} lacks a network that was reported before the kill.")
    return reported.count(b"\n")


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=["generational", "asynchronous"], default="generational")
    parser.add_argument("--moments", type=positive(int), default=50, help="number of kills")
    parser.add_argument("--quick", action="store_true", help="two kills")
    options = parser.parse_args()
    num_moments = 2 if options.quick else options.moments
    rng = random.Random(0)
    equal = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "images.npz"
        images(data)
        start = time.monotonic()
        is_asynchronous = options.mode == "asynchronous"
        given = {"mode": options.mode, "workers": 1 + is_asynchronous}
        search(data, folder / "whole", **given)
        seconds = time.monotonic() - start
        whole = results(folder / "whole")
        print(f"uninterrupted search: {len(whole[0])} networks, {seconds:.0f} s", flush=True)
        num_recorded = []
        for number in range(num_moments):
            workdir = folder / f"run-{number}"
            moment = rng.uniform(0.1, 1.1) * seconds
            is_replay = is_asynchronous and number // 2 % 2 == 1
            more = {"replay": folder / "whole"} if is_replay else {}
            num = kill_and_resume(data, workdir, moment, number % 2 == 1, **given, **more)
            num_recorded.append(num)
            expected = whole
            if is_asynchronous and not is_replay:
                again = folder / f"again-{number}"
                search(data, again, **given | {"workers": 1, "replay": workdir})
                expected = results(again)
            equal += results(workdir) == expected
            shutil.rmtree(workdir)
        print(f"networks recorded before each kill: {json.dumps(num_recorded)}")
    print("target: 1")
    print(f"ratio: {equal / num_moments:.2f}")


if __name__ == "__main__":
    run_benchmark(main)
