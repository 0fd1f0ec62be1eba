"""Replay an asynchronous search: the same proposals and results, with any number of workers.

An asynchronous search depends on the order in which its networks are completed. The folder of a
finished one tells this order: history.jsonl has the networks in order of completion, and
proposals.jsonl how many of them there were at each proposal. A replay proposes and reports at the
same points; a network that is completed early waits for its turn.

A failure, such as a timeout, may not happen again. Networks that failed in the replayed run are
therefore not trained; their failure is copied. If any other network has a result that differs, the
replay ends, because its proposals would differ from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lemonade_tf.config import ConfigError
from lemonade_tf.errors import resume_command
from lemonade_tf.evolution import Batch, Evaluation, Slot
from lemonade_tf.executors import Outcome
from lemonade_tf.runs.recorded_history import RecordedHistory, read_recorded_history
from lemonade_tf.runs.recorded_slots import slots_of
from lemonade_tf.search.failures import SearchError
from lemonade_tf.search.outcome_records import proposal_record
from lemonade_tf.store import NetworkRecord, ProposalRecord, RunConfig, RunStore

_CAUSES = (
    "a replay needs the same versions, and a CPU of the same kind: some GPU kernels sum in varying"
    " order."
)


@dataclass(frozen=True)
class RecordedOrder:
    """The order of proposals and evaluations of a finished asynchronous search.

    Attributes:
        path: Its folder.
        config: The contents of its config.json.
        history: Its recorded networks and proposals.
    """

    path: Path
    config: RunConfig
    history: RecordedHistory

    @cached_property
    def _networks(self) -> list[NetworkRecord]:
        return list(self.history.networks.values())

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {id_: number for number, id_ in enumerate(self.history.networks)}

    @cached_property
    def _slots(self) -> list[list[ProposalRecord]]:
        return [children for _, children in slots_of(self.history.proposed)]

    def position(self, id_: str) -> int:
        """Return how many networks were completed before one."""
        return self._positions[id_]

    def next_id(self, num_evaluated: int) -> str | None:
        """Return the network that was completed after a number of others; None after the last."""
        return self._networks[num_evaluated].id if num_evaluated < len(self._networks) else None

    def is_due(self, slot: Slot) -> bool:
        """Return whether a slot was proposed after as many evaluations."""
        recorded = self._slots[slot.number][0].slot
        return recorded is not None and recorded.num_evaluated == slot.num_evaluated

    def copied_failure(self, id_: str) -> tuple[Outcome, str | None] | None:
        """Return the outcome and the first failure of a network that failed; otherwise None."""
        record = self.history.networks[id_]
        if record.failure is None:
            return None
        return Outcome(None, None, record.failure, 0, 0.0, record.log), record.first_failure

    def check_batch(self, batch: Batch, slot_number: int) -> None:
        """Check that the children proposed for a slot are the recorded ones.

        Raises:
            SearchError: If not.
        """
        proposed = [
            proposal_record(proposal, batch.slot).as_stored() for proposal in batch.proposals
        ]
        if proposed != self._slots[slot_number]:
            raise SearchError(
                f"--replay: other children are proposed for slot {slot_number} than in {self.path};"
                f" {_CAUSES}"
            )

    def check_initial(self, num_initial: int) -> None:
        """Check the number of initial networks.

        Raises:
            SearchError: If it differs.
        """
        if num_initial != self.config.num_initial:
            raise SearchError(
                f"--replay: there are {num_initial} initial networks, in {self.path}"
                f" {self.config.num_initial}; restore the run of --initial_run."
            )

    def check_evaluation(self, evaluation: Evaluation) -> None:
        """Check that a network has the recorded result.

        Raises:
            SearchError: If not.
        """
        record = self.history.networks[evaluation.id]
        if evaluation.failure != record.failure:
            raise SearchError(
                f"--replay: network {evaluation.id} failed, but not in {self.path}:"
                f" {evaluation.failure}. Fix the cause, then continue with --resume."
            )
        recorded = record.ranked_objectives
        for name, value in evaluation.expensive.items():
            if value != recorded[name]:
                shown = f"ranked {name}" if name in record.ranked_errors else name
                raise SearchError(
                    f"--replay: network {evaluation.id} has the {shown} {value}, in {self.path}"
                    f" {recorded[name]}; {_CAUSES}"
                )

    def check_resumed(self, ids: Sequence[str], num_generations: int) -> None:
        """Check that a replay that is resumed can continue by this run.

        Args:
            ids: The recorded networks of the replay, which must be the first ones of this run.
            num_generations: The generations of the replay. With more, this run has no order for
                the last ones; with fewer, it has networks that the replay would wait for.

        Raises:
            ConfigError: If not.
        """
        if num_generations != self.config.num_generations:
            raise ConfigError(
                f"--num_generations is {num_generations}, but {self.config.num_generations} in"
                f" {self.path}, which the run replays; choose {self.config.num_generations}."
            )
        if list(ids) != [record.id for record in self._networks[: len(ids)]]:
            raise ConfigError(
                f"--replay: {self.path} is not the run that was replayed so far; restore it, or"
                " start over in another --workdir."
            )


def read_recorded_order(workdir: str) -> RecordedOrder:
    """Read the order of a run to be replayed.

    Raises:
        ConfigError: If it is not a finished asynchronous search.
        StoreError: If the folder holds no run, or a damaged one.
    """
    store = RunStore.open(workdir)
    config = store.read_config()
    if config.slots_per_generation is None:
        raise ConfigError(
            f"--replay: {workdir} was not made with --mode asynchronous. Any other search is"
            " repeated by its settings and seed alone."
        )
    history = read_recorded_history(store, config.num_initial, config.slots_per_generation)
    num_left = config.num_generations + 1 - history.start_generation
    if num_left > 0 or len(history.networks) < config.num_initial:
        raise ConfigError(
            f"--replay: {workdir} is not finished; finish it with {resume_command(workdir)}"
        )
    return RecordedOrder(store.path, config, history)
