"""Record the results of proposals and searches, and compare them with those of another version.

    python benchmarks/same_results.py --output after.json [--reference before.json] [--quick]

A refactoring must not change what the package computes. The record holds 1,000 proposals in each
search space (operators, architecture, parameters) and every network of two searches on digits, the
preset `quick` and the default one (operators, architecture, objectives, test error, losses). Run
both versions on the same machine, then compare:

    PYTHONPATH=before python benchmarks/same_results.py --output before.json
    PYTHONPATH=after python benchmarks/same_results.py --output after.json --reference before.json

`before` and `after` are checkouts of the two versions. With --quick: 50 proposals per space, no
search. The last line is the fraction of records that are identical to the reference; without a
reference, to a second recording. Target: 1. It takes about five minutes on two CPU cores.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from script import Parser, run_benchmark

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.config import ConfigError
from lemonade_tf.search_spaces import CELLS, NETWORKS

MOST_PARAMETERS = 3_000_000  # larger networks get no children, to keep proposals fast
COMPARED = ("parent", "operators", "architecture", "objectives", "test_error", "losses", "failure")
RENAMED = {"architecture_hash": "architecture"}  # keys of newer run folders to those of format 1
SEARCHES = {"quick": ["--preset", "quick"], "digits": []}


def proposals(space, number):
    """Yield the operators, architecture and parameters of children of a growing population."""
    rng = np.random.default_rng(0)
    parents = list(space.initial_graphs((32, 32, 3), 10))
    for _ in range(number):
        child = space.propose(parents[int(rng.integers(len(parents)))], rng=rng)
        if child is None:
            yield None
            continue
        graph, operators = child
        parameters = count_parameters(graph)
        yield [operators, canonical_hash(graph), parameters]
        if parameters <= MOST_PARAMETERS:
            parents.append(graph)


def search(options):
    """Run a search in a subprocess; return the compared fields of its history by id."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        command = "from lemonade_tf.cli import main; main()"
        subprocess.run(
            [sys.executable, "-c", command, "search", *options, "--workdir", str(workdir)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            check=True,
        )
        lines = map(json.loads, (workdir / "history.jsonl").read_text().splitlines())
        lines = [{RENAMED.get(key, key): line[key] for key in line} for line in lines]
        return {line["id"]: [line[key] for key in COMPARED] for line in lines}


def record(quick):
    """Return all compared values by name, as JSON data."""
    number = 50 if quick else 1000
    records = {
        f"proposal {space.name} {i}": proposal
        for space in (NETWORKS, CELLS)
        for i, proposal in enumerate(proposals(space, number))
    }
    for name, options in () if quick else SEARCHES.items():
        records |= {f"search {name} {id_}": line for id_, line in search(options).items()}
    return json.loads(json.dumps(records))


def _read(path):
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"--reference: {path} is not such a record ({error}).") from error


def main():
    """Record, compare, and print the fraction of identical records."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="JSON file to write the record to")
    parser.add_argument("--reference", type=Path, help="JSON file of the record to compare with")
    parser.add_argument("--quick", action="store_true", help="50 proposals per space, no search")
    options = parser.parse_args()
    reference = None if options.reference is None else _read(options.reference)
    records = record(options.quick)
    if options.output:
        options.output.write_text(json.dumps(records))
    if reference is None:
        reference = record(options.quick)
    names = sorted({*records, *reference})
    same = [name for name in names if records.get(name) == reference.get(name)]
    for name in [name for name in names if name not in set(same)][:10]:
        print(f"{name}: {reference.get(name)} -> {records.get(name)}")
    print(f"{len(same):,} of {len(names):,} records are identical")
    print(f"ratio: {len(same) / len(names):.4f}")


if __name__ == "__main__":
    run_benchmark(main)
