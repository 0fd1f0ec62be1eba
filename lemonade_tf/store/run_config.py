"""The contents of config.json: the settings of a run, and what follows from them at its start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from lemonade_tf.errors import quoted
from lemonade_tf.store.record import Record, RecordError
from lemonade_tf.store.value_types import type_check

# Settings that are needed to read a run, with their types, and others that may be missing. Whoever
# resumes a search checks all of them.
_NEEDED = {
    "space": str,
    "dataset": str,
    "objectives": Sequence[str],
    "seed": int,
    "num_generations": int,
    "num_accepted": int,
}
_OTHERS = {"scale": Mapping[str, str], "limit": Mapping[str, float]}
_MAX_INITIAL = 100_000  # whoever reads a run makes the ids of all its initial networks


@dataclass(frozen=True)
class ImagesRecord(Record):
    """A data set as it was when a run started.

    Attributes:
        num_classes: Its number of classes.
        input_shape: (height, width, channels).
        num_images: Images by part: "training", "validation", "test".
        sha256: A checksum of all images and labels.
        class_names: The names of the classes in the order of their indices; None if it has none.
    """

    num_classes: int
    input_shape: Sequence[int]
    num_images: Mapping[str, int]
    sha256: str
    class_names: Sequence[str] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the record of a JSON object.

        Raises:
            RecordError: If a key is missing or unknown, or a value has another type.
        """
        if isinstance(values, Mapping):  # runs of earlier versions lack the key
            values = {"class_names": None, **values}
        return super().from_json(values)


@dataclass(frozen=True)
class RandomSearchRecord(Record):
    """What a random search was matched to.

    Attributes:
        matched_run: The folder of the run with as many networks of such sizes.
        size: The objective that is the size of a network.
        range: The smallest and the largest size.
    """

    matched_run: str
    size: str
    range: Sequence[float]


@dataclass(frozen=True)
class RunConfig(Record):
    """The contents of config.json.

    Attributes:
        settings: The settings, as `SearchConfig.as_json` gives them. In the file, they are keys
            beside the others.
        images: The first data set.
        num_initial: The number of initial networks.
        reference_point: The reference point of the hypervolume, by objective.
        extra_datasets: The data sets after the first, by their names.
        prepared: The results of preparing the objectives that need it, by name.
        random_search: What a random search was matched to; None for a search.
        lemonade_tf: The version of this package.
        versions: The versions of Python and of other packages, and the type of CPU ("cpu").
        backend: The Keras backend.
        finished_generations: The number of generations when the search was last finished; None
            before. The lists alone do not tell whether a last generation without an accepted child
            was proposed completely.
        budgeted_settings: The names of the settings that a time budget chooses, because they were
            not given; None without one.
    """

    nested: ClassVar = {"images": ImagesRecord, "random_search": RandomSearchRecord}
    nested_by_name: ClassVar = {"extra_datasets": ImagesRecord}

    settings: Mapping[str, Any]
    images: ImagesRecord
    num_initial: int
    reference_point: Mapping[str, float]
    extra_datasets: Mapping[str, ImagesRecord] = field(default_factory=dict)
    prepared: Mapping[str, Any] = field(default_factory=dict)
    random_search: RandomSearchRecord | None = None
    lemonade_tf: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    backend: str = ""
    finished_generations: int | None = None
    budgeted_settings: Sequence[str] | None = None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the contents of config.json, in which the settings are keys beside the others.

        Raises:
            RecordError: If a key is missing, or a value has another type.
        """
        names = {each.name for each in fields(cls)} - {"settings"}
        settings = {name: value for name, value in values.items() if name not in names}
        missing = [name for name in _NEEDED if name not in settings]
        if missing:
            raise RecordError(f"lacks {', '.join(map(repr, missing))}")
        for name, kind in (_NEEDED | _OTHERS).items():
            if name in settings and not type_check(kind)(settings[name]):
                raise RecordError(f"has {quoted(settings[name])} as {name!r}")
        if settings["num_accepted"] < 1:
            raise RecordError(f"has {settings['num_accepted']} as 'num_accepted'")
        # Runs of earlier versions lack these keys.
        rest = dict.fromkeys(("finished_generations", "budgeted_settings"))
        rest |= {k: v for k, v in values.items() if k in names}
        return super().from_json({**rest, "settings": settings})

    def check(self) -> None:
        if not 0 <= self.num_initial <= _MAX_INITIAL:
            raise RecordError(f"has {self.num_initial} as 'num_initial'")
        if self.num_accepted < 1:
            raise RecordError(f"has {self.num_accepted} as 'num_accepted'")

    def as_json(self) -> dict[str, Any]:
        """Return the contents of config.json."""
        values = super().as_json()
        return {**values.pop("settings"), **values}

    @property
    def resumable(self) -> bool:
        """Whether the run was made by a search, which can be resumed."""
        return self.random_search is None

    @property
    def space(self) -> str:
        """The search space."""
        return self.settings["space"]

    @property
    def seed(self) -> int:
        """The random seed."""
        return self.settings["seed"]

    @property
    def num_generations(self) -> int:
        """The number of generations of the whole search."""
        return self.settings["num_generations"]

    @property
    def num_accepted(self) -> int:
        """The number of children that each generation trains."""
        return self.settings["num_accepted"]

    @property
    def slots_per_generation(self) -> int | None:
        """The slots per generation of an asynchronous search; None for any other run."""
        return self.num_accepted if self.settings.get("mode") == "asynchronous" else None

    @property
    def dataset(self) -> str:
        """The data set, or several of them separated by commas."""
        return self.settings["dataset"]

    @property
    def objective_names(self) -> Sequence[str]:
        """The objectives, as they were given."""
        return self.settings["objectives"]
