"""How far a search has come, from its folder alone; from another terminal, or another machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lemonade_tf.monitoring.progress import duration
from lemonade_tf.runs import Run
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.search.resume import can_go_on, past_of
from lemonade_tf.store import CONFIG, RunStore, StoreError


@dataclass(frozen=True)
class Status:
    """How far a search has come.

    Attributes:
        is_running: Whether a process is at it now.
        is_finished: Whether all generations are on record, and no process is at it any more.
        can_go_on: Whether `--resume` takes it.
        generation: The last generation of which a network is on record.
        num_generations: How many there are to be.
        num_trained: Networks trained and evaluated, the initial ones included.
        failures: The id and the failure of each network that failed.
        proposals: How many children were proposed, by outcome: "accepted", "rejected", "duplicate",
            "over_limit".
        num_expected: Networks that the whole search trains, if every generation is full.
        front_size: Networks on the front.
        best_error: The least validation error, a fraction; None before the first network.
        hypervolume: Of the front, against the reference point in config.json.
        seconds_by_phase: Of all networks together, in their workers.
        seconds_since_last: Since the last network was put on record; None before the first.
        num_bytes: Of the networks' files.
    """

    is_running: bool
    is_finished: bool
    can_go_on: bool
    generation: int
    num_generations: int
    num_trained: int
    failures: Mapping[str, str]
    proposals: Mapping[str, int]
    num_expected: int
    front_size: int
    best_error: float | None
    hypervolume: float
    seconds_by_phase: Mapping[str, float]
    seconds_since_last: float | None
    num_bytes: int


def read_status(workdir: str | Path) -> Status:
    """Return how far the search in a folder has come.

    Raises:
        StoreError: The folder holds no run, or one that is damaged.
    """
    store = RunStore.open(workdir)
    is_running = store.is_locked()
    history = store.history.read(growing=is_running)
    proposals = store.proposals.read(growing=is_running)
    # Lists that were read one after the other fit each other only if nobody wrote meanwhile.
    is_running = is_running or store.is_locked()
    run = Run(store, store.read_config(), history)
    config = run.config
    lacking = [name for name in ("num_generations", "num_accepted") if name not in config]
    if lacking:
        raise StoreError(f"{store.path / CONFIG} lacks {', '.join(lacking)}; restore it.")
    num_expected = config.get("num_initial", 0)
    num_expected += config["num_generations"] * config["num_accepted"]
    front = [line["objectives"] for line in run.front()]
    times = [line["time"] for line in history if "time" in line]
    return Status(
        is_running=is_running,
        is_finished=not is_running and _is_finished(run, proposals, num_expected),
        can_go_on=can_go_on(store, config),
        generation=max((line["generation"] for line in history), default=0),
        num_generations=config["num_generations"],
        num_trained=len(run.trained),
        failures={line["id"]: line["failure"] for line in history if line["failure"] is not None},
        proposals=Counter(line["outcome"] for line in proposals),
        num_expected=num_expected,
        front_size=len(front),
        best_error=min((values["error"] for values in front), default=None),
        hypervolume=front_hypervolume(run.objectives, front, config["reference"]),
        seconds_by_phase=seconds_by_phase(history),
        seconds_since_last=max(0.0, time.time() - max(times)) if times else None,
        num_bytes=store.models.num_bytes(),
    )


def _proposals(counts: Mapping[str, int]) -> str:
    words = {
        "accepted": "accepted",
        "rejected": "rejected",
        "duplicate": "met before",
        "over_limit": "over a limit",
    }
    parts = (f"{counts[outcome]:,} {text}" for outcome, text in words.items() if counts[outcome])
    return ", ".join(parts) or "none yet"


def _is_finished(run: Run, proposals: Sequence[Mapping[str, Any]], num_expected: int) -> bool:
    if not run.store.sealed:  # made by other means
        return len(run.history) >= num_expected
    past = past_of(run.store, run.history, proposals, run.config["num_initial"])
    num_initial_done = sum(line["generation"] == 0 for line in past.lines.values())
    return (
        num_initial_done >= run.config["num_initial"]
        and past.start_generation > run.config["num_generations"]
    )


def seconds_by_phase(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of each phase of training, over all lines of a history."""
    totals: dict[str, float] = {}
    for line in history:
        for phase, seconds in line["seconds"].items():
            if phase != "total":
                totals[phase] = totals.get(phase, 0.0) + seconds
    return totals


def status_lines(status: Status, workdir: str | Path) -> list[str]:
    """Return the status as lines of text."""
    if status.is_running:
        state = "running"
    elif status.is_finished:
        state = "finished"
    elif not status.can_go_on:
        state = "not running; it was not made by a search, and cannot be gone on with"
    else:
        state = f"not running; go on with lemonade-tf search --workdir {workdir} --resume"
    error = "-" if status.best_error is None else f"{100 * status.best_error:.2f} %"
    last = status.seconds_since_last
    phases = ", ".join(
        f"{phase} {duration(seconds)}"
        for phase, seconds in sorted(status.seconds_by_phase.items(), key=lambda item: -item[1])
        if seconds >= 1
    )
    lines = [
        f"{workdir}: {state}",
        f"generation   {status.generation} of {status.num_generations}",
        f"networks     {status.num_trained} trained, {len(status.failures)} failed,"
        f" of {status.num_expected}" + ("" if last is None else f"; the last {duration(last)} ago"),
        f"proposals    {_proposals(status.proposals)}",
        f"front        {status.front_size} networks, best error {error},"
        f" hypervolume {status.hypervolume:.4f}",
        f"time         {phases or '-'} (in the workers)",
        f"files        {status.num_bytes / 1e6:.1f} MB of networks",
    ]
    return lines + [f"failed       {id_}: {text}" for id_, text in status.failures.items()]
