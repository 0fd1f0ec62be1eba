"""Damaged and malicious files, and what reading them must do: return a value, or one line.

    python tests/fuzzing.py --cases 100000 [--seed 0] [--targets h5,npz,run,async]
    python tests/fuzzing.py --atheris h5 [CORPUS]    # with coverage; requires `pip install atheris`

The cases run in another process, which is watched: a case that crashes it, takes more than ten
seconds or 64 MB counts as a failure, like one that ends in any exception but a `LemonadeError` of
one line. Prints a line per failure and the number of cases, and exits with 1 if any failed.
"""

import argparse
import importlib
import json
import logging
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
from mutations import mutated_bytes, mutated_json, mutated_text

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.errors import LemonadeError
from lemonade_tf.keras_bridge import load_graph, load_record
from lemonade_tf.monitoring.status import read_status, status_lines
from lemonade_tf.report.front_table import table_rows
from lemonade_tf.runs import read_run
from lemonade_tf.runs.recorded_history import read_recorded_history
from lemonade_tf.search.continued_config import resumed_config
from lemonade_tf.search.initial_networks import initial_graphs
from lemonade_tf.search.rebuild import rebuild_individuals, rebuild_pending
from lemonade_tf.search.warm_start import WarmStartNetwork
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.store import RunStore, journal

MAX_SECONDS, MAX_GROWTH = 10.0, 64.0  # of a case; megabytes

# --- Targets -------------------------------------------------------------------------------------


class Hdf5Files:
    """The file of a network: its bytes, or the JSON in it, are changed."""

    def __init__(self, folder):
        self.path = folder / "a.h5"
        graph = NETWORKS.initial_graphs((4, 4, 1), 3)[0]
        self.content = {"architecture": json.loads(to_json(graph)), "record": {"parent": None}}
        write_network(self.path, graph)
        self.whole = self.path.read_bytes()
        self.read()

    def change(self, rng):
        if rng.randrange(2):
            self.path.write_bytes(mutated_bytes(rng, self.whole))
            return
        content = dict(self.content)
        if rng.randrange(8):
            content["architecture"] = mutated_text(rng, content["architecture"])
        else:
            content = mutated_json(rng, content)
        self.path.write_bytes(self.whole)
        with h5py.File(self.path, "r+") as file:
            del file["lemonade_tf"]
            file["lemonade_tf"] = json.dumps(content)

    def read(self):
        load_graph(self.path)
        load_record(self.path)

    def set(self, data):
        self.path.write_bytes(data)


def write_network(path, graph):
    """Write a network like `save_model`, without Keras."""
    with h5py.File(path, "w") as file:
        content = {"architecture": to_json(graph), "record": {"parent": None}}
        file["lemonade_tf"] = json.dumps(content)
        for name, node in graph.items():
            group = file.create_group(f"model_weights/{name}")
            for key, value in node.weights.items():
                group[f"{name}/{key}"] = value


class NpzFiles:
    """A data set: the bytes of its file, or the headers of its arrays, are changed."""

    def __init__(self, folder):
        self.path = folder / "a.npz"
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (24, 3, 2, 1), dtype=np.uint8)
        self.arrays = {"x_train": images, "y_train": np.arange(24) % 3}
        self.arrays |= {"x_test": images[:4], "y_test": np.arange(4) % 3}
        self.whole = []
        for save in (np.savez, np.savez_compressed):
            save(self.path, **self.arrays)
            self.whole.append(self.path.read_bytes())
            self.read()

    def change(self, rng):
        if rng.randrange(2):
            self.path.write_bytes(mutated_bytes(rng, rng.choice(self.whole)))
            return
        method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        with zipfile.ZipFile(self.path, "w", method) as archive:
            for name, array in self.arrays.items():
                archive.writestr(f"{name}.npy", self._member(rng, array))

    def _member(self, rng, array):
        header = np.lib.format.header_data_from_array_1_0(array)
        content = array.tobytes()
        if rng.randrange(2):
            header["shape"] = list(header["shape"])
            header = mutated_json(rng, header)
            if isinstance(header, dict) and isinstance(header.get("shape"), list):
                header["shape"] = tuple(header["shape"])
        if rng.randrange(4) == 0:
            content = rng.choice((content[:-1], content * 2, b"", mutated_bytes(rng, content)))
        text = repr(header).encode()
        if rng.randrange(8) == 0:
            text = mutated_bytes(rng, text)
        magic = np.lib.format.magic(*rng.choice(((1, 0), (2, 0), (3, 0))))
        return magic + len(text).to_bytes(2 if magic[6] == 1 else 4, "little") + text + content

    def read(self):
        load_dataset(self.path)

    def set(self, data):
        self.path.write_bytes(data)


class RunFolders:
    """A run folder: lines are changed and get a correct checksum, or bytes are changed."""

    NAMES = ("config.json", "history.jsonl", "proposals.jsonl", "measurements.jsonl")
    NAMES += ("initial.jsonl", "pinned.txt")

    def __init__(self, run):
        """Use the folder of a finished search of `toy_training`."""
        self.path = run
        store = RunStore.open(run)
        self.key = store._run_id
        self.initial = initial_graphs(NETWORKS, load_dataset("digits"), ())
        file = {"bytes": 3, "sha256": "ab"}
        first = {
            "id": "0-0",
            "path": "x.h5",
            "file": file,
            "architecture": to_json(self.initial[0]),
        }
        self._write("initial.jsonl", [json.dumps(first)])
        measurement = {"id": "0-0", "objective": "latency", "predicted": 1e-3, "measured": 2e-3}
        measurement |= {"standard_error": 0.01, "num_passes": 5, "protocol": "default"}
        self._write(
            "measurements.jsonl", [json.dumps(measurement | {"failure": None, "timestamp": 1})]
        )
        (run / "pinned.txt").write_text("0-0\n")
        self.whole = {name: (run / name).read_bytes() for name in self.NAMES}
        self.changed = "config.json"
        self.read()

    def _write(self, name, lines):
        (self.path / name).write_text("".join(f"{journal._seal(t, self.key)}\n" for t in lines))

    def change(self, rng):
        (self.path / self.changed).write_bytes(self.whole[self.changed])
        self.changed = name = rng.choice(self.NAMES)
        whole = self.whole[name]
        if rng.randrange(4) == 0 or name == "pinned.txt":
            (self.path / name).write_bytes(mutated_bytes(rng, whole))
        elif name == "config.json":
            values = json.loads(whole)
            del values["crc32"]
            values = mutated_json(rng, values)
            if isinstance(values, dict):
                values["crc32"] = journal.checksum(json.dumps(values, sort_keys=True).encode())
            (self.path / name).write_text(json.dumps(values))
        else:
            lines = [json.loads(line) for line in whole.splitlines()]
            for line in lines:
                del line["crc32"]
            texts = list(map(json.dumps, lines))
            at = rng.randrange(len(lines))
            texts[at] = mutated_text(rng, lines[at])
            if rng.randrange(8) == 0:
                texts.insert(rng.randrange(len(lines)), rng.choice(texts))
            self._write(name, [t if t.endswith("}") else "{" + t + "}" for t in texts])

    def read(self):
        status_lines(read_status(self.path), self.path)
        run = read_run(self.path)
        table_rows(run)
        run.hypervolumes()
        _ = run.measured
        run.store.models.read_pinned()
        for record in run.store.initial.read():
            WarmStartNetwork.from_record(record, run.store.path)
        resumed_config(run.config.settings, {"workdir": str(self.path)})
        slots = run.config.slots_per_generation
        history = read_recorded_history(run.store, run.config.num_initial, slots)
        individuals = rebuild_individuals(history, self.initial, run.objectives, run.store)
        if slots is not None:
            rebuild_pending(history, individuals, run.objectives, run.store)


def make_targets(folder):
    """Return the targets by name."""
    from toy_training import toy_search

    settings = {"num_generations": 2, "num_proposed": 6, "num_accepted": 2, "in_process": True}
    toy_search(folder / "run", tie_break="cross_entropy", **settings)
    toy_search(folder / "async", mode="asynchronous", **settings)
    return {
        "h5": Hdf5Files(folder),
        "npz": NpzFiles(folder),
        "run": RunFolders(folder / "run"),
        "async": RunFolders(folder / "async"),
    }


def outcome(target):
    """Read a changed file; return "read" or "refused".

    Raises:
        Exception: If it is neither.
    """
    try:
        target.read()
    except LemonadeError as error:
        text = str(error)
        if len(text) > 2000 or not text.strip():
            raise AssertionError(f"a message of {len(text)} characters") from error
        return "refused"
    return "read"


# --- Many cases ----------------------------------------------------------------------------------


def run_cases(names, seeds, connection):
    """Run cases in this process, and send (seed, target, outcome) for each."""
    logging.disable()
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        targets = make_targets(Path(folder))
        for seed in seeds:
            name = names[seed % len(names)]
            target, before = targets[name], _peak()
            connection.send((seed, name, None))
            target.change(random.Random(seed))
            try:
                result = outcome(target)
            except Exception:
                result = traceback.format_exc()
            grown = _peak() - before
            if grown > MAX_GROWTH:
                result = f"{grown:.0f} MB more"
            connection.send((seed, name, result))
    connection.send(None)


def _peak():
    """Return the largest memory of this process so far in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fast_folder():
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def watched(names, seeds):
    """Run cases in other processes; yield (seed, target, outcome) for each."""
    context = multiprocessing.get_context("spawn")
    position = 0
    while position < len(seeds):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=run_cases, args=(names, seeds[position:], theirs))
        process.start()
        theirs.close()
        last = None
        try:
            while ours.poll(60.0 if last is None else MAX_SECONDS):
                message = ours.recv()
                if message is None:
                    position = len(seeds)
                    break
                seed, name, result = message
                last = seed, name
                if result is not None:
                    position += 1
                    yield message
            else:
                yield *(last or ("-", "-")), f"takes more than {MAX_SECONDS} s"
                position += 1
        except EOFError:
            process.join()
            if last is None:
                raise RuntimeError("the process that reads the files did not start") from None
            yield *last, f"ends the process: {process.exitcode}"
            position += 1
        process.kill()
        process.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parser.add_argument("--targets", default="h5,npz,run,async")
    parser.add_argument("--atheris", choices=("h5", "npz"), help="fuzz bytes with coverage")
    options, rest = parser.parse_known_args()
    if options.atheris:
        return fuzz_with_coverage(options.atheris, rest)
    started, counts, failures = time.perf_counter(), Counter(), 0
    seeds = range(options.seed, options.seed + options.cases)
    for seed, name, result in watched(options.targets.split(","), seeds):
        counts[name, result if result in ("read", "refused") else "failed"] += 1
        if result not in ("read", "refused"):
            failures += 1
            print(f"seed {seed}, {name}: {result}", flush=True)
    for (name, result), count in sorted(counts.items()):
        print(f"{name} {result}: {count:,}")
    seconds = time.perf_counter() - started
    print(f"{failures} failures in {sum(counts.values()):,} cases, {seconds:.0f} s")
    return int(failures > 0)


def fuzz_with_coverage(name, arguments):
    """Let Atheris choose the bytes of a file, starting from the files of a corpus."""
    import atheris  # an optional tool

    for module in [each for each in sys.modules if each.startswith("lemonade_tf")]:
        del sys.modules[module]
    with atheris.instrument_imports(include=["lemonade_tf"]):
        again = importlib.import_module("fuzzing")  # imports the package again
    folder = Path(tempfile.mkdtemp(dir=_fast_folder()))
    target = {"h5": again.Hdf5Files, "npz": again.NpzFiles}[name](folder)

    def one(data):
        target.set(data)
        again.outcome(target)

    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main())
