"""The base of all records of a run: typed values that are JSON objects on disk.

The fields of a record are the keys of its object, all of them written and all of them required: a
line with a key too many or too few was not written by this version of the package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from lemonade_tf.errors import LemonadeError
from lemonade_tf.store.journal import dumps


class RecordError(LemonadeError, ValueError):
    """A JSON object is not the record that was expected."""


@dataclass(frozen=True)
class Record:
    """A typed value that is a JSON object on disk.

    Subclasses are frozen dataclasses. They name in `nested` the fields that hold other records, and
    in `nested_by_name` those that map names to records.
    """

    nested: ClassVar[Mapping[str, type[Record]]] = {}
    nested_by_name: ClassVar[Mapping[str, type[Record]]] = {}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the record of a JSON object.

        Raises:
            RecordError: If a key is missing or unknown.
        """
        expected = {field.name for field in fields(cls)}
        if values.keys() != expected:
            missing, unknown = sorted(expected - values.keys()), sorted(values.keys() - expected)
            raise RecordError(
                " and ".join(
                    f"{what} {', '.join(map(repr, names))}"
                    for what, names in (("lacks", missing), ("has the unknown", unknown))
                    if names
                )
            )
        return cls(**{name: cls._decoded(name, value) for name, value in values.items()})

    @classmethod
    def _decoded(cls, name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in cls.nested:
            return cls.nested[name].from_json(value)
        if name in cls.nested_by_name:
            return {key: cls.nested_by_name[name].from_json(each) for key, each in value.items()}
        return value

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values, as reading its file gives them."""
        return json.loads(dumps(self))

    def as_stored(self) -> Self:
        """Return the record as reading its file gives it: lists instead of tuples, for instance."""
        return type(self).from_json(self.as_json())
