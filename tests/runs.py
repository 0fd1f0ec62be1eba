"""A run folder made by hand, for tests of its readers."""

from dataclasses import replace

import numpy as np
import run_folders
from run_folders import network

from lemonade_tf.objectives import ERROR, MULTIPLY_ADDS, PARAMETERS, TOP5_ERROR, Objective
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run
from lemonade_tf.store import RunStore

OBJECTIVES = ("error", "parameters")


def line(identity, error, parameters, parent="0-0", operators=("widen_convolution",), **more):
    """Return the record of a network."""
    generation = int(identity.split("-")[0])
    made = [{"operator": name, "site": {}} for name in operators] if generation else []
    values = {
        "parent": parent if generation else None,
        "operators": made,
        "objectives": {"error": error, "parameters": parameters},
        "test_error": None if error is None else round(error + 0.01, 4),
        "seconds": {"total": 1.5},
        "timestamp": 1.7e9,
    }
    return network(identity, **{**values, **more})


HISTORY = (
    line("0-0", 0.30, 1_000),
    line("0-1", 0.20, 5_000),
    line("0-2", 0.10, 50_000),
    line("1-0", 0.15, 4_000),
    line("1-3", None, 6_000, failure="diverged: the loss became nan in epoch 1 of 5."),
    line("2-1", 0.25, 800),
    line("2-0", 0.40, 90_000),
)
CONFIG = replace(
    run_folders.CONFIG, settings=make_config("digits", num_generations=2, seed=3).as_json()
)


def make_run(folder, history=HISTORY, config=CONFIG):
    """Write a run folder and return its path."""
    store = RunStore.create(folder, config)
    store.history.append(history)
    store.release()
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
        history.append(replace(entry, objectives=values))
    objectives = MANY[:num_objectives]
    reference = {o.name: 1e9 for o in objectives} | {"error": 0.9}
    config = with_settings(CONFIG, objectives=[o.name for o in objectives])
    config = replace(config, reference_point=reference)
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
        values = {"error": error, "parameters": parameters, "multiply_adds": multiply_adds}
        history.append(line(identity, error, parameters, objectives=values))
    reference = {**CONFIG.reference_point, "multiply_adds": 1e6}
    config = with_settings(CONFIG, objectives=[*OBJECTIVES, "multiply_adds"])
    config = replace(config, reference_point=reference)
    return read_run(make_run(folder, history, config))


def with_settings(config, **settings):
    """Return the config of a run with other settings."""
    return replace(config, settings={**config.settings, **settings})


def change_settings(folder, **settings):
    """Change the settings of a run."""
    store = RunStore.open(folder)
    store.write_config(with_settings(store.read_config(), **settings))


def change_images(folder, **changes):
    """Change what a run recorded of its first data set."""
    store = RunStore.open(folder)
    config = store.read_config()
    store.write_config(replace(config, images=replace(config.images, **changes)))
