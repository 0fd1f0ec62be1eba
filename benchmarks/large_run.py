"""Measure reading and resuming a long search: 4,000 children, 300 of them on the front.

    python benchmarks/large_run.py [--quick]

Creates such a run folder (real lineages of operators, artificial errors, small files) and times its
readers: `read_run` with the front and all hypervolumes, as in a report; `read_status`; and resuming
up to the first training: all checks, all networks rebuilt. The last line is the longest of the
three in seconds relative to the target, 10.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np
from script import Parser, run_benchmark

from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import canonical_hash
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.monitoring.status import read_status
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.search.rebuild import rebuild_individuals
from lemonade_tf.search.resume import resume_run
from lemonade_tf.search.start import start_run
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.store import NetworkRecord, ProposalRecord, RunStore, parse_network_id

TARGET = 10.0
SECONDS = ("load", "operators", "build", "repair", "distill", "train", "evaluate", "save", "total")


def children(initial, number, num_accepted, rng):
    """Yield (id, parent, graph, records): children of the last 300 networks."""
    networks = [(f"0-{n}", graph) for n, graph in enumerate(initial)]
    for id_, graph in networks:
        yield id_, None, graph, ()
    for count in range(number):
        parent, graph = networks[int(rng.integers(len(networks)))]
        graph, records = NETWORKS.propose(graph, rng=rng)
        id_ = f"{1 + count // num_accepted}-{count % num_accepted}"
        yield id_, parent, graph, records
        networks = [*networks[-300:], (id_, graph)]


def make(workdir, num_generations, num_accepted, front_size):
    """Create the folder of a finished search."""
    config = make_config(
        "digits",
        workdir=str(workdir),
        num_generations=num_generations,
        num_accepted=num_accepted,
    )
    setup = start_run(config, load_dataset("digits"))
    rng = np.random.default_rng(0)
    found = list(children(setup.initial, num_generations * num_accepted, num_accepted, rng))
    by_size = sorted(found, key=lambda child: count_parameters(child[2]))
    sizes = {}
    for id_, _, graph, _ in by_size:  # one network per size, evenly spread over the sizes
        sizes.setdefault(count_parameters(graph), id_)
    chosen = list(sizes.values())[:: max(1, len(sizes) // front_size)][:front_size]
    errors = {id_: 0.5 - 0.4 * place / len(chosen) for place, id_ in enumerate(chosen)}
    proposals = []
    for id_, parent, graph, records in found:
        generation, _ = parse_network_id(id_)
        if id_ in errors:
            setup.store.models.staging_path(id_).write_bytes(rng.bytes(100_000))
        made = {
            "id": id_,
            "generation": generation,
            "parent": parent,
            "operators": list(records),
        }
        parameters = count_parameters(graph)
        setup.store.history.append(
            [
                NetworkRecord(
                    **made,
                    architecture_hash=canonical_hash(graph),
                    objectives={"error": errors.get(id_, 0.6), "parameters": parameters},
                    test_error=0.6,
                    losses=[0.1] * 20,
                    lineage_epochs=20,
                    seconds=dict.fromkeys(SECONDS, 1.5),
                    timestamp=1.8e9,
                    file=setup.store.models.adopt(id_) if id_ in errors else None,
                )
            ]
        )
        if generation:
            cheap = {"parameters": parameters}
            proposals.append(ProposalRecord(**made, cheap_objectives=cheap, outcome="accepted"))
    setup.store.proposals.append(proposals)
    setup.store.release()
    return config


def timed(what, function):
    start = time.perf_counter()
    value = function()
    seconds = time.perf_counter() - start
    print(f"{what}: {seconds:.2f} s")
    return value, seconds


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer children")
    num_generations, num_accepted, front_size = (
        (4, 10, 20) if parser.parse_args().quick else (100, 40, 300)
    )
    data = load_dataset("digits")
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        config = make(workdir, num_generations, num_accepted, front_size)

        def report():
            run = read_run(workdir)
            return run.front(), run.hypervolumes()

        def resume():
            setup = resume_run(config, RunStore.open(workdir), data)
            rebuild_individuals(setup.history, setup.initial, setup.objectives, setup.store)
            return setup

        (front, _), reading = timed("read, with all hypervolumes", report)
        _, status = timed("status", lambda: read_status(workdir))
        setup, resuming = timed("resume, up to the first training", resume)
        num_lines = len((workdir / "history.jsonl").read_text().splitlines())
        sizes = {path.name: path.stat().st_size for path in workdir.glob("*.jsonl")}
        print(f"{num_lines} networks, {len(front)} on the front; bytes: {json.dumps(sizes)}")
        setup.store.release()
    print(f"target: at most {TARGET:g} s")
    print(f"ratio: {max(reading, status, resuming) / TARGET:.3f}")


if __name__ == "__main__":
    run_benchmark(main)
