"""Measure training speed, fixed cost per child, exactness and searches on one GPU.

    python benchmarks/gpu.py [--quick] [--seconds N] [--json FILE]

Training uses the trainer of `training.fit` on batches of 64 images of 32x32x3, with all
augmentation, 300 steps per epoch and one CPU thread: `plain` as a search trains, `XLA` with the
epoch compiled by XLA (`jit_compile`). PyTorch is the training of `benchmarks/pytorch.py` on the
GPU, eager and with the whole step as a CUDA graph. The fixed seconds are the time of a child
besides its epochs: building, tracing and compiling up to steady steps, with libraries already
loaded. tf32 is TensorFlow's default; float32 turns it off.

Exactness is the largest change of the logits of a trained network by an exact operator, relative to
the largest logit. Searches train up to 19 networks within half a minute, for 4 epochs of 2,560
random images, so that most of a child is its fixed cost. Their rate excludes the start of the
workers.

Measurements run in order of importance and print one line each. None is started for which the time
(240 seconds by default) is unlikely to suffice; those left out are listed at the end. The last line
is the ratio of XLA's images per second to those of the plain loop in tf32, the median over
networks. Without a GPU nothing is measured, and the last line starts with "skipped".
"""

import argparse
import gc
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import BATCH, CLASSES, IMAGE, INITIAL, Network, chain, random_images

NUM_STEPS = 300
NETWORKS = (INITIAL[0], chain(30), INITIAL[5], chain(10), INITIAL[2])
SEARCH_SECONDS = 30
NUM_CHILDREN = 15  # so few that the search does not estimate its duration first
COMMAND = "import sys; from lemonade_tf.cli import main; sys.exit(main())"


class NotMeasured(Exception):
    """A measurement failed; the message is the reason."""


# --- Ours ------------------------------------------------------------------------------------


def set_up_tensorflow(tf32):
    """Set up a process like a worker of a search; return GPU and version, or None without a GPU."""
    import tensorflow as tf

    from lemonade_tf.backends.current import current_backend

    current_backend().set_up(1)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    gpus = tf.config.list_physical_devices("GPU")
    for jit_compile in (False, True):
        measure_training(Network((8, 8, 8)), 2, jit_compile)  # warm-up: loads libraries
    gc.freeze()
    if not gpus:
        return None
    details = tf.config.experimental.get_device_details(gpus[0])
    return f"{details.get('device_name', 'GPU')}, TensorFlow {tf.__version__}"


def measure_training(network, num_steps, jit_compile):
    """Return images per second and fixed seconds of training a network."""
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.backends.training_tensorflow import TensorFlowTrainer
    from lemonade_tf.training.augmentation import Augmentation
    from lemonade_tf.training.settings import TrainingSettings

    graph, backend, settings = network.graph(), current_backend(), TrainingSettings()
    images, labels = map(backend.place, random_images(num_steps * BATCH))
    augmentation = Augmentation(IMAGE, CLASSES, (127.5, 127.5, 127.5))
    rng = np.random.default_rng(0)
    rates = np.full(num_steps, 0.01, np.float32)
    started = time.perf_counter()
    trainer = TensorFlowTrainer(
        backend.training_model(graph, seed=0),
        settings.momentum,
        settings.weight_decay,
        augmentation,
        jit_compile=jit_compile,
    )

    def epoch():
        order = rng.permutation(num_steps * BATCH).astype(np.int32).reshape(num_steps, BATCH)
        draws = augmentation.draw(num_steps, BATCH, rng=rng)
        trainer.run_epoch(images, labels, order, rates, draws)

    return _speed_and_fixed(epoch, started, num_steps)


def _speed_and_fixed(epoch, started, num_steps):
    """Run epochs for about a second; return images per second and fixed seconds."""
    epoch()
    first = time.perf_counter() - started
    taken = []
    while not taken or (sum(taken) < 1 and len(taken) < 20):
        start = time.perf_counter()
        epoch()
        taken.append(time.perf_counter() - start)
    gc.collect()
    return num_steps * BATCH / np.median(taken), max(0.0, first - np.median(taken))


def measure_exactness(network, num_steps):
    """Return the largest relative change of the logits by each exact operator."""
    from lemonade_tf.backends.current import current_backend
    from lemonade_tf.keras_bridge import read_weights, to_keras
    from lemonade_tf.operators import EXACT
    from lemonade_tf.training.fit import fit
    from lemonade_tf.training.settings import TrainingSettings

    def logits(graph):
        forward = backend.forward(to_keras(graph, logits=True, seed=0))
        return forward.outputs(images[:256])[0]

    graph, backend = network.graph(), current_backend()
    images, labels = random_images(num_steps * BATCH)
    model = backend.training_model(graph, seed=0)
    on_device = map(backend.place, (images, labels))
    rng = np.random.default_rng(0)
    fit(model, *on_device, epochs=1, settings=TrainingSettings(batch_size=BATCH), rng=rng)
    graph = read_weights(model, graph)
    expected = logits(graph)
    changes = {}
    for operator in EXACT:
        sites = list(operator.candidates(graph))
        some = {round(i) for i in np.linspace(0, len(sites) - 1, 3)}
        children = [operator.apply(graph, sites[i], rng=rng).graph for i in sorted(some)]
        apart = max(np.abs(logits(child) - expected).max() for child in children)
        changes[operator.name] = float(apart / np.abs(expected).max())
    gc.collect()
    return changes


def measure_search(num_workers, seconds):
    """Return children per hour of a small search, and their number."""
    from lemonade_tf.runs import read_run

    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "random.npz", Path(folder) / "run"
        images, labels = random_images(3_560)
        parts = {"train": slice(2560), "validation": slice(2560, 3060), "test": slice(3060, None)}
        arrays = {f"x_{name}": images[part] for name, part in parts.items()}
        np.savez(data, **arrays, **{f"y_{name}": labels[part] for name, part in parts.items()})
        options = {
            "dataset": data,
            "workdir": run,
            "num_generations": 1,
            "num_accepted": NUM_CHILDREN,
            "epochs": 4,
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
    hours = (max(record.timestamp for record in trained) - start) / 3600
    return len(trained) / hours, len(trained)


# --- PyTorch ---------------------------------------------------------------------------------


def set_up_torch():
    """Set up a process with PyTorch; return its version, or None without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    torch.set_default_device("cuda")
    torch.set_float32_matmul_precision("high")  # TF32, like TensorFlow and PyTorch's convolutions
    torch.backends.cudnn.benchmark = True
    measure_torch(Network((8, 8, 8)), 2, False)
    return f"PyTorch {torch.__version__}"


def measure_torch(network, num_steps, as_graph):
    """Return images per second and fixed seconds of training a network in PyTorch."""
    import torch
    from pytorch import augment, module
    from torch.nn import functional

    place = torch.get_default_device()
    images, labels = (torch.from_numpy(a).to(place) for a in random_images(num_steps * BATCH))
    images = images.permute(0, 3, 1, 2)  # channels last in memory
    targets = functional.one_hot(labels.long(), CLASSES).float()
    started = time.perf_counter()
    model = module(network).to(memory_format=torch.channels_last).train()
    kernels = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": kernels, "weight_decay": 5e-4}, {"params": others}]
    rate = torch.tensor(0.01)
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    batch, total = torch.arange(BATCH), torch.zeros(())

    def step():
        inputs, probabilities = augment(images[batch].float(), targets[batch])
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), probabilities)
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    run_step = _as_cuda_graph(step) if as_graph else step

    def epoch():
        for indices in torch.randperm(len(images)).split(BATCH):
            batch.copy_(indices)
            rate.fill_(0.01)
            run_step()
        total.item()

    return _speed_and_fixed(epoch, started, num_steps)


def _as_cuda_graph(step):
    """Capture a step as a CUDA graph and return its replay function."""
    import torch

    # Capturing requires some warm-up steps on another stream.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


# --- Processes -------------------------------------------------------------------------------


class Process:
    """A process that runs measurements on request; restarted when it hangs or dies.

    Args:
        set_up: Called first, as set_up(*args); a module-level function.
        *args: Passed to `set_up`.

    Attributes:
        found: The result of `set_up`; None before `wait` or `ask`.
    """

    def __init__(self, set_up, *args):
        self._set_up, self._process, self.found = (set_up, args), None, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._end()

    def start(self):
        """Start the process if it is not running, without waiting for it."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            given = (theirs, *self._set_up)
            self._process = context.Process(target=_serve, args=given, daemon=True)
            self._process.start()
            theirs.close()
            self._is_ready = False

    def wait(self, seconds):
        """Wait until the process is set up."""
        self.start()
        if not self._is_ready:
            self.found = self._answer(seconds)
            self._is_ready = True

    def ask(self, seconds, function, *args):
        """Return function(*args), computed in the process.

        Raises:
            NotMeasured: If it raises, dies, or takes longer than `seconds`.
        """
        self.wait(seconds)
        self._pipe.send((function, args))
        return self._answer(seconds)

    def _answer(self, seconds):
        try:
            if not self._pipe.poll(seconds):
                raise NotMeasured(f"stopped after {seconds:.0f} seconds")
            done, answer = self._pipe.recv()
        except NotMeasured:
            self._end()
            raise
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            self._end()
            raise NotMeasured(f"its process ended with exit status {code}") from None
        if not done:
            raise NotMeasured(answer)
        return answer

    def _end(self):
        if self._process is not None:
            self._process.kill()
            self._pipe.close()
            self._process = None


def _serve(pipe, set_up, args):
    _answer_with(pipe, set_up, args)
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        _answer_with(pipe, function, args)


def _answer_with(pipe, function, args):
    try:
        pipe.send((True, function(*args)))
    except Exception as error:
        text = " ".join(str(error).split())
        pipe.send((False, f"{type(error).__name__}: {text[:200]}"))


# --- The report ------------------------------------------------------------------------------


class Report:
    """Runs measurements one after the other while time remains, and prints a line for each.

    Args:
        seconds: Time limit of all measurements.
        path: JSON file for all results, rewritten after each line; None for no file.
    """

    def __init__(self, seconds, path):
        self._end, self._path, self._title = time.monotonic() + seconds, path, None
        self.facts = {"found": [], "rows": [], "left_out": []}

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
        function = measure_torch if loop.startswith("PyTorch") else measure_training
        compiled = loop in ("XLA", "PyTorch CUDA graph")
        speed, fixed = process.ask(seconds, function, network, num_steps, compiled)
        values = {"images_per_second": float(speed), "fixed_seconds": float(fixed)}
        return f"{speed:10,.0f}{fixed:10.2f}", values

    what = {"network": (network, 28), "precision": (precision, 11), "loop": (loop, 20)}
    header = f"{'network':28}{'precision':11}{'loop':20}{'images/s':>10}{'fixed s':>10}"
    report.add("Training", header, what, expected, measure)


def add_exactness(report, process, precision, num_steps):
    """Measure the exactness of operators in a process."""

    def measure(seconds):
        changes = process.ask(seconds, measure_exactness, INITIAL[2], num_steps)
        text = ", ".join(f"{name} {change:.1e}" for name, change in changes.items())
        return f"{max(changes.values()):.1e} ({text})", {"largest_relative_change": changes}

    header = f"{'precision':11}largest relative change of the logits"
    report.add("Exactness", header, {"precision": (precision, 11)}, 15, measure)


def add_search(report, num_workers):
    """Measure the speed of a search."""

    def measure(seconds):
        rate, number = measure_search(num_workers, min(SEARCH_SECONDS, int(seconds)))
        return f"{rate:16,.0f}{number:10}", {"children_per_hour": rate, "children": number}

    header = f"{'workers':11}{'children/hour':>16}{'children':>10}"
    what = {"workers": (num_workers, 11)}
    report.add("Small searches", header, what, SEARCH_SECONDS + 15, measure)


def measure_all(report, tf32, float32, torch, quick):
    """Run all measurements in order of importance."""
    networks, steps = (NETWORKS[:1], 100) if quick else (NETWORKS, NUM_STEPS)

    def train(process, precision, loops, networks=networks):
        for network in networks:
            for loop in loops:
                expected = 15 if loop == "XLA" or len(network.filters) > 10 else 8
                add_training(report, process, network, steps, precision, loop, expected)

    train(tf32, "tf32", ("plain", "XLA"))
    add_exactness(report, float32, "float32", steps)
    add_exactness(report, tf32, "tf32", steps)
    if torch is not None:
        train(torch, "tf32", ("PyTorch eager", "PyTorch CUDA graph"), networks[:3])
    for num_workers in (1, 4):
        add_search(report, num_workers)
    train(float32, "float32", ("plain", "XLA"), networks[:2])
    if not quick:
        add_search(report, 2)
    train(float32, "float32", ("plain", "XLA"), networks[2:])


def ratio(rows):
    """Return the speed of XLA relative to the plain loop, the median over networks."""
    speeds = {}
    for row in rows:
        if row.get("precision") == "tf32" and "images_per_second" in row:
            speeds.setdefault(row["network"], {})[row["loop"]] = row["images_per_second"]
    ratios = [s["XLA"] / s["plain"] for s in speeds.values() if {"XLA", "plain"} <= set(s)]
    return float(np.median(ratios)) if ratios else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
    from lemonade_tf.executors import count_gpus

    if not count_gpus():
        print("skipped: no GPU found (nvidia-smi -L lists GPUs).")
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # several processes share it
    report = Report(options.seconds or (120 if options.quick else 240), options.json)
    with (
        Process(set_up_tensorflow, True) as tf32,
        Process(set_up_tensorflow, False) as float32,
        Process(set_up_torch) as torch,
    ):
        for process in (tf32, float32, torch):
            try:
                process.wait(min(90, report.left))
            except NotMeasured as why:
                report.say(f"set-up of a process failed: {why}")
        if tf32.found is None:
            print(
                "skipped: TensorFlow does not find the GPU; set TF_CPP_MIN_LOG_LEVEL=0 for details."
            )
            return
        report.facts["found"] = [found for found in (tf32.found, torch.found) if found]
        report.say("; ".join(report.facts["found"]))
        measure_all(report, tf32, float32, torch if torch.found else None, options.quick)
    left_out = [*report.facts["left_out"], "bfloat16 (the package does not support it yet)"]
    if not torch.found:
        left_out.append("PyTorch (not installed, or without GPU support)")
    report.facts |= {"left_out": left_out, "ratio": ratio(report.facts["rows"])}
    report.write()
    report.say("\nLeft out:\n" + "\n".join(f"  {what}" for what in left_out))
    report.say(f"ratio: {report.facts['ratio']:.2f}")


if __name__ == "__main__":
    main()
