"""The records of a run: the lines of its lists, and the rows of front.csv."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from lemonade_tf.errors import quoted
from lemonade_tf.store.network_ids import is_file_id, is_network_id, parse_network_id
from lemonade_tf.store.record import Record, RecordError
from lemonade_tf.store.value_types import type_check

_VALUE = type_check(float | None)
_DATASET = re.compile("[A-Za-z0-9_]{1,40}")  # the name of an extra data set, in file names
Outcome = Literal["accepted", "rejected", "duplicate", "over_limit"]


@dataclass(frozen=True)
class FileRecord(Record):
    """The size and checksum of a file when it was written.

    Attributes:
        bytes: Its size.
        sha256: Its checksum, in hexadecimal digits.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ExtraDatasetRecord(Record):
    """The training of a network on a data set after the first.

    The error on it is among the objectives of the network.

    Attributes:
        test_error: The share of test images that are misclassified; None without test images.
        batch_size: Images per training step.
        losses: The mean training loss of each epoch.
        distillation_losses: The mean loss of each epoch of distillation.
        epsilon: Equation 9, "before" and "after" distillation; None without distillation.
        file: The file of the network that was trained on this data set.
    """

    nested: ClassVar = {"file": FileRecord}

    test_error: float | None
    batch_size: int | None
    losses: Sequence[float]
    distillation_losses: Sequence[float]
    epsilon: Mapping[str, Mapping[str, float]] | None
    file: FileRecord | None = None


@dataclass(frozen=True)
class NetworkRecord(Record):
    """A line of history.jsonl: a network that was trained, or whose training failed.

    Attributes:
        id: "GENERATION-ATTEMPT".
        generation: 0 for the initial networks.
        parent: The id of its parent; None for the initial networks.
        operators: The operators that make it from its parent, for `operators.replay`.
        architecture_hash: The canonical hash of its architecture.
        objectives: Every objective of the run by name, in their order there; None where it failed.
        ranked_errors: The errors with ties broken, by objective, by which the search ranks networks
            instead of those in `objectives`; empty if ties are not broken, or it failed.
        test_error: The share of test images that are misclassified; None without test images.
        epochs: Epochs of training.
        batch_size: Images per training step; smaller than the setting if that ran out of memory.
        num_images: Images that went through training and distillation.
        images_per_second: Images per second of training and distillation, without compilation.
        losses: The mean training loss of each epoch.
        distillation_losses: The mean loss of each epoch of distillation.
        epsilon: Equation 9, "before" and "after" distillation; None without distillation.
        lineage_epochs: Epochs of training of its weights: its own, and those of all ancestors that
            it inherits from.
        seconds: Wall-clock seconds by phase, and their "total".
        timestamp: When the network was completed, in seconds since 1970.
        file: The file of the network; None if it failed.
        extra_datasets: Its training on the data sets after the first, by their names.
        failure: One line on why it failed; None if it did not.
        first_failure: The failure of an earlier attempt, after which it was tried again.
        log: The end of its worker's output, if it failed.
    """

    nested: ClassVar = {"file": FileRecord}
    nested_by_name: ClassVar = {"extra_datasets": ExtraDatasetRecord}
    later: ClassVar = {"ranked_errors": {}}

    id: str
    generation: int
    parent: str | None
    operators: Sequence[Mapping[str, Any]]
    architecture_hash: str
    objectives: Mapping[str, Any]
    ranked_errors: Mapping[str, float] = field(default_factory=dict)
    test_error: float | None = None
    epochs: int = 0
    batch_size: int | None = None
    num_images: int = 0
    images_per_second: float | None = None
    losses: Sequence[float] = ()
    distillation_losses: Sequence[float] = ()
    epsilon: Mapping[str, Mapping[str, float]] | None = None
    lineage_epochs: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    timestamp: float = 0.0
    file: FileRecord | None = None
    extra_datasets: Mapping[str, ExtraDatasetRecord] = field(default_factory=dict)
    failure: str | None = None
    first_failure: str | None = None
    log: str = ""

    def check(self) -> None:
        _check_proposed(self.id, self.generation, self.operators)
        for name, value in self.objectives.items():
            if not _VALUE(value):
                raise RecordError(f"has {quoted(value)} as {quoted(name)!r}")
        for name in self.extra_datasets:
            if not _DATASET.fullmatch(name):
                raise RecordError(f"has the extra data set {name[:40]!r}")
        for name, ranked in self.ranked_errors.items():
            is_error = name == "error" or name.removeprefix("error_") in self.extra_datasets
            error = self.objectives.get(name)
            if not is_error or error is None or not error <= ranked < error + 1:
                raise RecordError(
                    f"has the ranked {quoted(name)!r} {ranked} and the {quoted(name)!r}"
                    f" {quoted(error)}"
                )

    @property
    def attempt(self) -> int:
        """The draw of its generation that it came from."""
        return parse_network_id(self.id)[1]

    @property
    def age_key(self) -> tuple[int, int]:
        """Generation and attempt: sorts networks from the oldest to the youngest."""
        return parse_network_id(self.id)

    @property
    def operator_names(self) -> list[str]:
        """The names of its operators, in order."""
        return [operator["operator"] for operator in self.operators]

    @property
    def error(self) -> float:
        """The validation error on the first data set, a fraction, of a network that has one."""
        return self.objectives["error"]

    @property
    def ranked_error(self) -> float:
        """The error on the first data set by which the network is ranked; see `ranked_errors`."""
        return self.ranked_errors.get("error", self.error)

    @property
    def ranked_objectives(self) -> dict[str, Any]:
        """The objectives by which networks are ranked: with ties between errors broken, if any."""
        return {**self.objectives, **self.ranked_errors}

    @property
    def test_errors(self) -> dict[str, float | None]:
        """The test errors on all data sets by their column in front.csv."""
        extra = {f"test_error_{name}": r.test_error for name, r in self.extra_datasets.items()}
        return {"test_error": self.test_error, **extra}


@dataclass(frozen=True)
class SlotRecord(Record):
    """The slot of an asynchronous search that a child was proposed for.

    Attributes:
        number: From 0; those of generation 1 come first.
        first_attempt: The first draw for the slot.
        num_evaluated: The number of lines of history.jsonl when the child was proposed, which
            determine the population.
    """

    number: int
    first_attempt: int
    num_evaluated: int

    def check(self) -> None:
        if min(self.number, self.first_attempt, self.num_evaluated) < 0:
            raise RecordError(f"has the slot {vars(self)}")


@dataclass(frozen=True)
class ProposalRecord(Record):
    """A line of proposals.jsonl: a child that was proposed.

    Attributes:
        id: "GENERATION-ATTEMPT".
        generation: Of which generation.
        parent: The id of its parent.
        operators: The operators that make it from its parent.
        cheap_objectives: Its cheap objectives by name.
        outcome: "accepted" to be trained, "rejected" by the second sampling stage, "duplicate" of
            an earlier architecture, or "over_limit"; the last two are resampled.
        duplicate_of: The id of the network with the same architecture, if there is one.
        exceeded: Its values of those objectives that are over their limit, by name.
        slot: The slot that it was proposed for; None if a whole generation was proposed.
    """

    nested: ClassVar = {"slot": SlotRecord}

    id: str
    generation: int
    parent: str | None
    operators: Sequence[Mapping[str, Any]]
    cheap_objectives: Mapping[str, float]
    outcome: Outcome
    duplicate_of: str | None = None
    exceeded: Mapping[str, float] = field(default_factory=dict)
    slot: SlotRecord | None = None

    @property
    def attempt(self) -> int:
        """The draw of its generation that it came from."""
        return parse_network_id(self.id)[1]

    def check(self) -> None:
        _check_proposed(self.id, self.generation, self.operators)


def _check_proposed(id_: str, generation: int, operators: Sequence[Mapping[str, Any]]) -> None:
    """Check what networks and proposals have in common.

    Raises:
        RecordError: If the id is not that of a network of the generation, or an operator has no
            possible name.
    """
    if not is_network_id(id_) or parse_network_id(id_)[0] != generation:
        raise RecordError(f"has the id {id_[:40]!r} in generation {generation}")
    names = [operator.get("operator") for operator in operators]
    if not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise RecordError(f"has operators named {quoted(names)}")


@dataclass(frozen=True)
class MeasurementRecord(Record):
    """A line of measurements.jsonl: an inference time or int8 size of a network of the front.

    Attributes:
        id: The network.
        objective: The inference time or the size, as an objective is named.
        predicted: Seconds per inference, or bytes, that the search predicted.
        measured: Seconds per inference, or bytes; None if it failed.
        standard_error: The relative standard error of a time; None after a single pass.
        num_passes: Forward passes that were timed; 0 for a size.
        protocol: The name of the protocol of a time, "int8" for a size.
        failure: One line on why it failed; None if it did not.
        timestamp: When, in seconds since 1970.
    """

    id: str
    objective: str
    predicted: float
    measured: float | None
    standard_error: float | None
    num_passes: int
    protocol: str
    failure: str | None
    timestamp: float


@dataclass(frozen=True)
class InitialRecord(Record):
    """A line of initial.jsonl: a network of a previous run, or of the user, to start from.

    Attributes:
        id: Its id in that run, or the name of the user's file.
        path: Its file; a relative path is in the run folder.
        file: The size and checksum of the file when the search started.
        architecture: Its architecture for the new data, as JSON of `architecture.text`.
    """

    nested: ClassVar = {"file": FileRecord}

    id: str
    path: str
    file: FileRecord
    architecture: str


@dataclass(frozen=True)
class RetrainedRecord(Record):
    """A line of retrained.jsonl: a network that was trained from scratch, or failed.

    Attributes:
        id: The network.
        objectives: Its objectives in the search by name, without the error; of an augmented
            network, the cheap ones.
        search_error: Its validation error in the search; None for an augmented network.
        search_test_error: Its test error in the search; None without one.
        test_error: Its test error now; None without test images, or if it failed.
        test_top5_error: Its top-5 test error now; None with fewer than six classes, as well.
        losses: The mean training loss of each epoch.
        resumed_at_epoch: The epoch of the checkpoint that the training resumed from; 0 without one.
        seconds: The duration of the training, without what was lost by interruptions.
        note: One line that the user should know though it did not fail; None if nothing.
        failure: One line on why it failed; None if it did not.
        settings: All settings that the trained weights depend on.
    """

    id: str
    objectives: Mapping[str, float]
    search_error: float | None
    search_test_error: float | None
    test_error: float | None
    test_top5_error: float | None
    losses: Sequence[float]
    resumed_at_epoch: int
    seconds: float
    note: str | None
    failure: str | None
    settings: Mapping[str, Any]

    def check(self) -> None:
        if not is_file_id(self.id):
            raise RecordError(f"has the id {self.id[:40]!r}")


@dataclass(frozen=True)
class FrontRow:
    """A row of front.csv.

    Attributes:
        id: The network.
        file: Its file, relative to the run folder.
        objectives: Every objective of the run by name, in their order there.
        test_errors: "test_error", and "test_error_NAME" for each data set after the first; None
            without test images.
    """

    id: str
    file: str
    objectives: Mapping[str, float]
    test_errors: Mapping[str, float | None]

    def as_columns(self) -> dict[str, Any]:
        """Return the values by column, in the order of the columns."""
        return {"id": self.id, "file": self.file, **self.objectives, **self.test_errors}
