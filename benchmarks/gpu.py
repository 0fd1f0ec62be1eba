"""Measure training speed, fixed cost per child, exactness and searches on one GPU.

    python benchmarks/gpu.py [--quick] [--seconds N] [--json FILE]

Training uses the trainer of `training.fit` on batches of 64 images of 32x32x3, with all
augmentation, 300 steps per epoch and one CPU thread, in three precisions: `XLA` with the epoch
compiled by XLA, `plain` without. PyTorch is the training of `benchmarks/pytorch.py` on the GPU in
TF32, eager and with the whole step as a CUDA graph. One process per precision and one for PyTorch
build and compile at the same time, and take turns at training, as the workers of a search do. A
speed is that of the fastest of several epochs. The fixed seconds are the time of a child besides
its epochs: building, tracing and compiling, with libraries already loaded.

Exactness is the largest change of the logits of a trained network by an exact operator, relative to
the largest logit: as this package evaluates (float32), and with TF32, TensorFlow's default.

Searches train for 25 seconds, 10 epochs of 40,000 random images per network, and once more under
NVIDIA's Multi-Process Service (MPS), with which processes train at the same time. Hidden is what a
child needs besides training and distilling, in seconds; exposed is what of it the GPU waited for:
the time of the search without training and distilling, per child. The start of the workers is not
part of it.

Measurements are in order of importance and print one line each. None is started for which the time
(240 seconds by default) is unlikely to suffice; those left out are listed at the end. The last line
is the ratio of XLA's images per second to those of the CUDA graph, both in TF32, the median over
networks; without PyTorch, to those of the plain loop. Without a GPU nothing is measured, and the
last line starts with "skipped".
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from common import INITIAL, NETWORKS, random_images
from gpu_training import (
    measure_exactness,
    measure_torch,
    measure_training,
    set_up_tensorflow,
    set_up_torch,
)
from processes import NotMeasured, Process
from script import Parser, run_benchmark

NUM_STEPS = 300
NUM_TRAINING, EPOCHS = 40_000, 10  # of the searches
SEARCH_SECONDS = 25
NUM_CHILDREN = 15  # so few that the search does not estimate its duration first
PRECISIONS = ("tf32", "float32", "bfloat16")
MPS = "nvidia-cuda-mps-control"
COMMAND = "import sys; from lemonade_tf.cli import main; sys.exit(main())"


# --- Searches --------------------------------------------------------------------------------


def measure_search(num_workers, seconds):
    """Return children per hour of a small search, their number, hidden and exposed seconds."""
    from lemonade_tf.runs import read_run

    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "random.npz", Path(folder) / "run"
        images, labels = random_images(NUM_TRAINING + 2_000)
        parts = {"train": slice(NUM_TRAINING), "validation": slice(NUM_TRAINING, None)}
        arrays = {f"x_{name}": images[part] for name, part in parts.items()}
        np.savez(data, **arrays, **{f"y_{name}": labels[part] for name, part in parts.items()})
        options = {
            "dataset": data,
            "workdir": run,
            "num_generations": 1,
            "num_accepted": NUM_CHILDREN,
            "epochs": EPOCHS,
            "distillation_epochs": 2,
            "workers": num_workers,
            "max_hours": f"{seconds / 3600:.6f}",
        }
        arguments = [str(word) for n, value in options.items() for word in (f"--{n}", value)]
        command = [sys.executable, "-c", COMMAND, "search", *arguments]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=3 * seconds)
        except subprocess.TimeoutExpired:
            raise NotMeasured(f"the search exceeded {3 * seconds} seconds") from None
        if ended.returncode:
            raise NotMeasured((ended.stderr.strip().splitlines() or ["the search failed"])[-1])
        trained = read_run(run).trained
    start = min(record.timestamp - record.seconds["total"] for record in trained)
    span = max(record.timestamp for record in trained) - start
    training = [record.seconds["train"] + record.seconds["distill"] for record in trained]
    hidden = [record.seconds["total"] - record.seconds["wait"] for record in trained]
    return {
        "children_per_hour": 3600 * len(trained) / span,
        "children": len(trained),
        "training_seconds": float(np.mean(training)),
        "hidden_seconds": float(np.mean(hidden) - np.mean(training)),
        "exposed_seconds": (span - sum(training)) / len(trained),
    }


# --- The report ------------------------------------------------------------------------------


class Report:
    """Runs measurements while time remains, and prints a line for each.

    Args:
        seconds: Time limit of all measurements.
        path: JSON file for all results, rewritten after each line; None for no file.
    """

    def __init__(self, seconds, path):
        self._end, self._path, self._title = time.monotonic() + seconds, path, None
        self.facts = {"found": [], "rows": [], "left_out": []}
        self._lock = threading.Lock()

    @property
    def left(self):
        """The remaining seconds."""
        return self._end - time.monotonic()

    def add(self, title, header, what, expected, measure):
        """Run a measurement if time remains, and print its row.

        Args:
            title: Title of the table.
            header: Column names of the table.
            what: The first columns of the row: name to value and width.
            expected: Expected seconds; the limit is three times as many.
            measure: Called with the limit in seconds; returns the text of the rest of the row, and
                its values by name.
        """
        text = "".join(f"{value!s:{width}}" for value, width in what.values())
        row = {name: str(value) for name, (value, _) in what.items()}
        if self.left < expected:
            self.facts["left_out"].append(f"{title}: {' '.join(text.split())}")
            return
        start = time.monotonic()
        try:
            rest, values = measure(min(3 * expected, self.left))
        except NotMeasured as why:
            rest, values = f"not measured: {why}", {"failure": str(why)}
        with self._lock:
            if title != self._title:
                self.say(f"\n{title}\n  {header}")
                self._title = title
            self.say(f"  {text}{rest}")
            took = round(time.monotonic() - start, 1)
            self.facts["rows"].append({"table": title, **row, **values, "took": took})
            self.write()

    def say(self, text):
        """Print a line immediately."""
        print(text, flush=True)

    def write(self):
        """Write all results so far to the file."""
        if self._path is not None:
            new = self._path.with_name(f"{self._path.name}.new")
            new.write_text(json.dumps(self.facts, indent=1))
            new.replace(self._path)


def add_training(report, process, network, num_steps, precision, loop, expected):
    """Measure the training speed of a network in a process."""

    def measure(seconds):
        if loop.startswith("PyTorch"):
            job = (measure_torch, network, num_steps, loop.endswith("graph"))
        else:
            job = (measure_training, network, num_steps, loop, precision)
        speed, fixed = process.ask(seconds, *job)
        values = {"images_per_second": float(speed), "fixed_seconds": float(fixed)}
        return f"{speed:10,.0f}{fixed:10.2f}", values

    what = {"network": (network, 28), "precision": (precision, 11), "loop": (loop, 20)}
    header = f"{'network':28}{'precision':11}{'loop':20}{'images/s':>10}{'fixed s':>10}"
    report.add("Training", header, what, expected, measure)


def add_exactness(report, process, tf32, num_steps):
    """Measure the exactness of operators in a process."""

    def measure(seconds):
        changes = process.ask(seconds, measure_exactness, INITIAL[2], num_steps, tf32)
        text = ", ".join(f"{name} {change:.1e}" for name, change in changes.items())
        return f"{max(changes.values()):.1e} ({text})", {"largest_relative_change": changes}

    header = f"{'precision':11}largest relative change of the logits"
    what = {"precision": ("tf32" if tf32 else "float32", 11)}
    report.add("Exactness", header, what, 15, measure)


@contextmanager
def multi_process_service(wanted):
    """Run NVIDIA's Multi-Process Service for the processes started meanwhile, if wanted."""
    if not wanted:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        try:
            subprocess.run([MPS, "-d"], check=True, capture_output=True, timeout=20)
            yield
        except (OSError, subprocess.SubprocessError) as error:
            raise NotMeasured(f"MPS cannot be started: {error}") from None
        finally:
            subprocess.run([MPS], input="quit\n", text=True, capture_output=True, timeout=20)
            for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
                del os.environ[name]


def add_search(report, num_workers, mps=False):
    """Measure the speed of a search."""

    def measure(seconds):
        with multi_process_service(mps):
            found = measure_search(num_workers, min(SEARCH_SECONDS, int(seconds)))
        return "".join(f"{value:18,.2f}" for value in found.values()), found

    columns = ("children/hour", "children", "training s", "hidden s", "exposed s")
    header = f"{'workers':11}" + "".join(f"{column:>18}" for column in columns)
    what = {"workers": (f"{num_workers}{', MPS' if mps else ''}", 11)}
    report.add("Searches", header, what, SEARCH_SECONDS + 12, measure)


def train_all(report, process, precision, loops, networks, num_steps):
    """Measure training in one process, network by network."""
    for network in networks:
        for loop in loops:
            expected = 15 if loop == "XLA" or len(network.filters) > 10 else 8
            add_training(report, process, network, num_steps, precision, loop, expected)


def train_in_parallel(report, sides, num_steps):
    """Measure training on all sides at the same time; a side is process, precision, loops, ..."""
    with ThreadPoolExecutor(len(sides)) as pool:
        list(pool.map(lambda side: train_all(report, *side, num_steps), sides))


def measure_all(report, ours, torch, quick):
    """Run all measurements in order of importance."""
    networks, steps = (NETWORKS[:1], 100) if quick else (NETWORKS, NUM_STEPS)
    sides = [(ours["tf32"], "tf32", ("XLA", "plain"), networks)]
    if torch is not None:
        sides.append((torch, "tf32", ("PyTorch eager", "PyTorch CUDA graph"), networks))
    for precision in ("float32", "bfloat16"):
        sides.append((ours[precision], precision, ("XLA",), networks[:3]))
    train_in_parallel(report, sides, steps)
    for tf32 in (False, True):
        add_exactness(report, ours["float32"], tf32, steps)
    for process in (*ours.values(), torch):
        if process is not None:
            process.end()  # frees its memory on the GPU
    add_search(report, 4)
    if shutil.which(MPS):
        add_search(report, 4, mps=True)
    add_search(report, 1)
    if not quick:
        add_search(report, 2)
    rest = [(ours[name], name, ("XLA",), networks[3:]) for name in ("float32", "bfloat16")]
    train_in_parallel(report, rest, steps)


def ratios(rows, loop):
    """Return XLA's speed relative to another loop, by network, both in TF32."""
    speeds = {}
    for row in rows:
        if row.get("precision") == "tf32" and "images_per_second" in row:
            speeds.setdefault(row["network"], {})[row["loop"]] = row["images_per_second"]
    return {n: s["XLA"] / s[loop] for n, s in speeds.items() if {"XLA", loop} <= set(s)}


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="one network, fewer steps, in 2 minutes"
    )
    parser.add_argument(
        "--seconds", type=float, help="time limit (default: 240; with --quick: 120)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="JSON file to write all results to"
    )
    options = parser.parse_args()
    from lemonade_tf.executors.device_turn import turn_variables
    from lemonade_tf.executors.devices import visible_gpus

    gpus = visible_gpus()
    if not gpus:
        print("skipped: no GPU found (nvidia-smi -L lists GPUs).")
        return
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]
    os.environ.update(turn_variables(gpus[:1]))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # several processes share it
    report = Report(options.seconds or (120 if options.quick else 240), options.json)
    ours = {precision: Process(set_up_tensorflow, precision) for precision in PRECISIONS}
    torch = Process(set_up_torch)
    try:
        for process in (*ours.values(), torch):
            process.start()
        for process in (*ours.values(), torch):
            try:
                process.wait(min(90, report.left))
            except NotMeasured as why:
                report.say(f"set-up of a process failed: {why}")
        if not any(process.found for process in ours.values()):
            print(
                "skipped: TensorFlow does not find the GPU; set TF_CPP_MIN_LOG_LEVEL=0 for details."
            )
            return
        found = {process.found for process in (*ours.values(), torch) if process.found}
        report.facts["found"] = sorted(found)
        report.say("; ".join(sorted(found)))
        measure_all(report, ours, torch if torch.found else None, options.quick)
    finally:
        for process in (*ours.values(), torch):
            process.end()
    left_out = report.facts["left_out"]
    if not torch.found:
        left_out.append("PyTorch (not installed, or without GPU support)")
    if left_out:
        report.say("\nLeft out:\n" + "\n".join(f"  {what}" for what in left_out))
    against = "PyTorch CUDA graph" if torch.found else "plain"
    by_network = ratios(report.facts["rows"], against)
    ratio = float(np.median(list(by_network.values()))) if by_network else float("nan")
    report.facts |= {"ratios": by_network, "ratio": ratio}
    report.write()
    report.say(f"\nXLA to {against}, TF32:")
    for network, value in by_network.items():
        report.say(f"  {network:28}{value:8.2f}")
    report.say(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    run_benchmark(main)
