"""A run folder made by hand, for tests of what reads one."""

import json

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


def change_config(folder, **changes):
    """Change the settings of a run, made by hand or not."""
    store = RunStore.open(folder)
    config = {**store.read_config(), **changes}
    if store.sealed:
        store.write_config(config)
    else:
        (folder / "config.json").write_text(json.dumps(config))
