"""The progress of a search, from its folder alone: in another terminal, or on another machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lemonade_tf.errors import resume_command
from lemonade_tf.monitoring.durations import format_duration
from lemonade_tf.runs.pace import seconds_by_phase, seconds_left
from lemonade_tf.runs.quality import front_hypervolume
from lemonade_tf.runs.recorded_history import recorded_history
from lemonade_tf.runs.run import Run
from lemonade_tf.store import ProposalRecord, RunStore

_OUTCOMES = {
    "accepted": "accepted",
    "rejected": "rejected",
    "duplicate": "duplicate",
    "over_limit": "over a limit",
}


@dataclass(frozen=True)
class Status:
    """Describe the progress of a search.

    Attributes:
        is_running: Whether a process is running the search now.
        is_finished: Whether all generations are recorded, and no process is running it.
        resumable: Whether `--resume` can continue it.
        is_hopeless: Whether all initial networks failed, so that it has to start over.
        generation: The last generation with a recorded network.
        num_generations: The number of generations of the whole search.
        num_trained: The number of trained networks, including the initial ones.
        failures: The failures by the id of the network.
        proposals: The number of proposed children by outcome: "accepted", "rejected", "duplicate",
            "over_limit".
        num_expected: The number of networks that the whole search trains.
        front_size: The number of networks on the front.
        best_error: The lowest validation error, a fraction; None before the first network.
        hypervolume: The hypervolume of the front, up to the reference point in config.json.
        seconds_by_phase: Seconds by phase of training, summed over all networks.
        seconds_left: The estimated seconds until the search is complete; None before two networks.
        seconds_since_last: Seconds since the last network was recorded; None before the first.
        num_bytes: The size of the network files.
    """

    is_running: bool
    is_finished: bool
    resumable: bool
    is_hopeless: bool
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
    seconds_left: float | None
    seconds_since_last: float | None
    num_bytes: int


def read_status(workdir: str | Path) -> Status:
    """Read the progress of the search in a folder.

    Raises:
        StoreError: If the folder holds no run, or a damaged one.
    """
    store = RunStore.open(workdir)
    is_running = store.is_locked()
    history = store.history.read(growing=is_running)
    proposals = store.proposals.read(growing=is_running)
    # The lists are read one after the other: a search that started in between may have written to
    # the second one only.
    is_running = is_running or store.is_locked()
    run = Run(store, store.read_config(), history)
    num_generations = run.config.num_generations
    num_expected = run.config.num_initial + num_generations * run.config.num_accepted
    front = run.front()
    return Status(
        is_running=is_running,
        is_finished=not is_running and _is_finished(run, proposals, num_generations),
        resumable=run.config.resumable,
        is_hopeless=not is_running and _is_hopeless(run),
        generation=max((record.generation for record in history), default=0),
        num_generations=num_generations,
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
        seconds_left=seconds_left(history, num_expected),
        seconds_since_last=(
            max(0.0, time.time() - max(record.timestamp for record in history)) if history else None
        ),
        num_bytes=store.models.num_bytes(),
    )


def _is_finished(run: Run, proposals: Sequence[ProposalRecord], num_generations: int) -> bool:
    if run.config.finished_generations == num_generations:
        return True
    num_initial = run.config.num_initial
    recorded = recorded_history(
        run.store, run.history, proposals, num_initial, run.config.slots_per_generation
    )
    num_initial_done = sum(record.generation == 0 for record in run.history)
    return num_initial_done >= num_initial and recorded.start_generation > num_generations


def _is_hopeless(run: Run) -> bool:
    num_failed = sum(r.generation == 0 and r.failure is not None for r in run.history)
    return 0 < run.config.num_initial <= num_failed


def status_lines(status: Status, workdir: str | Path) -> list[str]:
    """Return the status as lines of text."""
    if status.is_running:
        state = "running"
    elif status.is_hopeless:
        state = "not running; all initial networks failed: fix the cause, and start over in another"
        state += " folder"
    elif status.is_finished:
        state = "finished"
    elif not status.resumable:
        state = "not running; it is a random search, which cannot be resumed"
    else:
        state = f"not running; resume with {resume_command(workdir)}"
    error = "-" if status.best_error is None else f"{100 * status.best_error:.2f} %"
    last = status.seconds_since_last
    phases = ", ".join(
        f"{phase} {format_duration(seconds)}"
        for phase, seconds in sorted(status.seconds_by_phase.items(), key=lambda item: -item[1])
        if seconds >= 1
    )
    proposals = (
        f"{status.proposals[outcome]:,} {text}"
        for outcome, text in _OUTCOMES.items()
        if status.proposals[outcome]
    )
    if status.is_running and status.seconds_left is not None:
        state += f", about {format_duration(status.seconds_left)} left"
    lines = [
        f"{workdir}: {state}",
        f"generation   {status.generation} of {status.num_generations}",
        f"networks     {status.num_trained} trained, {len(status.failures)} failed,"
        f" of {status.num_expected}"
        + ("" if last is None else f"; the last one {format_duration(last)} ago"),
        f"proposals    {', '.join(proposals) or 'none yet'}",
        f"front        {status.front_size} networks, best error {error},"
        f" hypervolume {status.hypervolume:.4f}",
        f"time         {phases or '-'} (in the workers)",
        f"files        {status.num_bytes / 1e6:.1f} MB of networks",
    ]
    return lines + [f"failed       {id_}: {text}" for id_, text in status.failures.items()]
