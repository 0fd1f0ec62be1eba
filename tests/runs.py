"""A run folder made by hand, for tests of what reads one."""

import json

import numpy as np

from lemonade_tf.objectives import ERROR, MULTIPLY_ADDS, PARAMETERS, TOP5_ERROR, Objective
from lemonade_tf.runs import read_run
from lemonade_tf.store import RunStore

OBJECTIVES = ("error", "parameters")


def line(identity, error, parameters, parent="0-0", operators=("widen_convolution",), **more):
    """Return a line of history.jsonl."""
    generation = int(identity.split("-")[0])
    return {
        "id": identity,
        "generation": generation,
        "parent": parent if generation else None,
        "operators": [{"operator": name, "site": {}} for name in operators] if generation else [],
        "architecture": identity,
        "objectives": {"error": error, "parameters": parameters},
        "test_error": None if error is None else round(error + 0.01, 4),
        "seconds": {"total": 1.5},
        "failure": None,
        **more,
    }


HISTORY = (
    line("0-0", 0.30, 1_000),
    line("0-1", 0.20, 5_000),
    line("0-2", 0.10, 50_000),
    line("1-0", 0.15, 4_000),
    line("1-3", None, 6_000, failure="diverged: the loss became nan in epoch 1 of 5."),
    line("2-1", 0.25, 800),
    line("2-0", 0.40, 90_000),
)
CONFIG = {
    "dataset": "digits",
    "seed": 3,
    "objectives": list(OBJECTIVES),
    "reference": {"error": 0.9, "parameters": 500_000},
}


def make_run(folder, history=HISTORY, config=CONFIG):
    """Write a run folder and return its path."""
    (folder / "models").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "history.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
    return folder


# Objectives of all units and scales, as many as a picture should hold.
MANY = (
    ERROR,
    PARAMETERS,
    MULTIPLY_ADDS,
    Objective("file_bytes", "log", len, unit="B"),
    Objective("latency", "log", len, unit="s"),
    Objective("peak_memory", "linear", len, unit="B"),
    TOP5_ERROR,
)


def make_run_in(folder, num_objectives, num_networks=60, **constant):
    """Write and read a run of random networks with the first so many of MANY.

    Args:
        folder: Where.
        num_objectives: How many.
        num_networks: Of three generations; one more fails.
        **constant: A value that all networks have, by objective.
    """
    rng = np.random.default_rng(0)
    sizes = 10 ** rng.uniform(3, 6, num_networks)
    errors = 0.3 * (sizes / 1e3) ** -0.3 * rng.uniform(0.6, 1.6, num_networks)
    history = [line("1-99", None, 6_000, failure="died")]
    for number, (size, error) in enumerate(zip(sizes, errors, strict=True)):
        values = {
            "error": round(float(error), 4),
            "parameters": int(size),
            "multiply_adds": int(150 * size ** rng.uniform(0.8, 1.1)),
            "file_bytes": int(4 * size + 20_000 * rng.uniform(1, 1.5)),
            "latency": float(1e-5 * size ** rng.uniform(0.4, 0.6)),
            "peak_memory": int(60_000 * rng.uniform(0.5, 2)),
            "top5_error": round(float(error) / 5 * rng.uniform(0.5, 1), 4),
        }
        entry = line(f"{3 * number // num_networks}-{number}", 0.5, 1)
        values = {o.name: constant.get(o.name, values[o.name]) for o in MANY[:num_objectives]}
        history.append({**entry, "objectives": values})
    objectives = MANY[:num_objectives]
    reference = {o.name: 1e9 for o in objectives} | {"error": 0.9}
    config = {**CONFIG, "objectives": [o.name for o in objectives], "reference": reference}
    run = read_run(make_run(folder, history, config))
    vars(run)["objectives"] = objectives  # instead of those that come with the package
    return run


def make_small_run(folder):
    """Write and read a run of three objectives and four networks; the last is dominated.

    1-0 is on the front for its few multiply-adds; in error and parameters, 0-1 dominates it.
    """
    history = []
    for identity, error, parameters, multiply_adds in (
        ("0-0", 0.30, 1_000, 9_000),
        ("0-1", 0.20, 5_000, 8_000),
        ("1-0", 0.25, 6_000, 1_000),
        ("1-1", 0.40, 7_000, 10_000),
    ):
        entry = line(identity, error, parameters)
        entry["objectives"]["multiply_adds"] = multiply_adds
        history.append(entry)
    names = [*OBJECTIVES, "multiply_adds"]
    reference = {**CONFIG["reference"], "multiply_adds": 1e6}
    config = {**CONFIG, "objectives": names, "reference": reference}
    return read_run(make_run(folder, history, config))


def change_config(folder, **changes):
    """Change the settings of a run, made by hand or not."""
    store = RunStore.open(folder)
    config = {**store.read_config(), **changes}
    if store.sealed:
        store.write_config(config)
    else:
        (folder / "config.json").write_text(json.dumps(config))
