"""How far a search has come, from its folder alone; from another terminal, or another machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lemonade_tf.config import SearchConfig
from lemonade_tf.monitoring.progress import duration
from lemonade_tf.runs import Run
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.runs.recorded_history import recorded_history
from lemonade_tf.store import NetworkRecord, ProposalRecord, RunStore


@dataclass(frozen=True)
class Status:
    """How far a search has come.

    Attributes:
        is_running: Whether a process is at it now.
        is_finished: Whether all generations are on record, and no process is at it any more.
        resumable: Whether `--resume` can continue it.
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
    resumable: bool
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
    settings = SearchConfig.from_flat(run.config.settings)
    num_expected = run.config.num_initial + settings.num_generations * settings.num_accepted
    front = run.front()
    return Status(
        is_running=is_running,
        is_finished=not is_running and _is_finished(run, proposals, settings.num_generations),
        resumable=run.config.resumable,
        generation=max((record.generation for record in history), default=0),
        num_generations=settings.num_generations,
        num_trained=len(run.trained),
        failures={record.id: record.failure for record in history if record.failure is not None},
        proposals=Counter(proposal.outcome for proposal in proposals),
        num_expected=num_expected,
        front_size=len(front),
        best_error=min((record.error for record in front), default=None),
        hypervolume=front_hypervolume(
            run.objectives, [record.objectives for record in front], run.config.reference_point
        ),
        seconds_by_phase=seconds_by_phase(history),
        seconds_since_last=(
            max(0.0, time.time() - max(record.timestamp for record in history)) if history else None
        ),
        num_bytes=store.models.num_bytes(),
    )


def _proposals(counts: Mapping[str, int]) -> str:
    words = {
        "accepted": "accepted",
        "rejected": "rejected",
        "duplicate": "duplicate",
        "over_limit": "over a limit",
    }
    parts = (f"{counts[outcome]:,} {text}" for outcome, text in words.items() if counts[outcome])
    return ", ".join(parts) or "none yet"


def _is_finished(run: Run, proposals: Sequence[ProposalRecord], num_generations: int) -> bool:
    num_initial = run.config.num_initial
    recorded = recorded_history(run.store, run.history, proposals, num_initial)
    num_initial_done = sum(record.generation == 0 for record in run.history)
    return num_initial_done >= num_initial and recorded.start_generation > num_generations


def seconds_by_phase(history: Sequence[NetworkRecord]) -> dict[str, float]:
    """Return the seconds of each phase of training, summed over all networks of a history."""
    totals: dict[str, float] = {}
    for record in history:
        for phase, seconds in record.seconds.items():
            if phase != "total":
                totals[phase] = totals.get(phase, 0.0) + seconds
    return totals


def status_lines(status: Status, workdir: str | Path) -> list[str]:
    """Return the status as lines of text."""
    if status.is_running:
        state = "running"
    elif status.is_finished:
        state = "finished"
    elif not status.resumable:
        state = "not running; it is a random search, which cannot be resumed"
    else:
        state = f"not running; resume with lemonade-tf search --workdir {workdir} --resume"
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
