"""The base of all records of a run: typed values that are JSON objects on disk.

The fields of a record are the keys of its object, all of them written and, but for those that
earlier versions did not have, all of them required: a line with an extra or a missing key was not
written by this package. Values of other types than those of the fields are refused, because a run
folder may come from a stranger, who can compute checksums as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, Self, get_type_hints

from lemonade_tf.errors import LemonadeError, quoted
from lemonade_tf.store.journal import dumps
from lemonade_tf.store.value_types import Check, type_check


class RecordError(LemonadeError, ValueError):
    """A JSON object is not the record that was expected."""


@dataclass(frozen=True)
class Record:
    """A typed value that is a JSON object on disk.

    Subclasses are frozen dataclasses. They name in `nested` the fields that hold other records, and
    in `nested_by_name` those that map names to records. `later` has the values of fields that files
    of earlier versions lack.
    """

    nested: ClassVar[Mapping[str, type[Record]]] = {}
    nested_by_name: ClassVar[Mapping[str, type[Record]]] = {}
    later: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the record of a JSON object.

        Raises:
            RecordError: If a key is missing or unknown, or a value has another type.
        """
        if not isinstance(values, Mapping):
            raise RecordError(f"has {quoted(values)} instead of an object")
        values = {**cls.later, **values}
        checks = _checks(cls)
        expected = checks.keys()
        if values.keys() != expected:
            missing, unknown = sorted(expected - values.keys()), sorted(values.keys() - expected)
            raise RecordError(
                " and ".join(
                    f"{what} {', '.join(map(repr, names))}"
                    for what, names in (("lacks", missing), ("has the unknown", unknown))
                    if names
                )
            )
        nested: dict[str, Any] = {}
        for name, kind in cls.nested.items():
            nested[name] = None if values[name] is None else kind.from_json(values[name])
        for name, kind in cls.nested_by_name.items():
            found = values[name] if isinstance(values[name], Mapping) else {"": values[name]}
            nested[name] = {key: kind.from_json(value) for key, value in found.items()}
        complete = {**values, **nested}
        for name, is_valid in checks.items():
            if not is_valid(complete[name]):
                raise RecordError(f"has {quoted(values[name])} as {name!r}")
        record = cls(**complete)
        record.check()
        return record

    def check(self) -> None:
        """Check what the types of the fields do not say. Subclasses override this.

        Raises:
            RecordError: If values are impossible.
        """

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values, as reading its file gives them."""
        return json.loads(dumps(self))

    def as_stored(self) -> Self:
        """Return the record as reading its file gives it: lists instead of tuples, for instance."""
        return type(self).from_json(self.as_json())


@cache
def _checks(kind: type[Record]) -> Mapping[str, Check]:
    """Return for each field of a record whether a value has its type."""
    hints = get_type_hints(kind)
    return {field.name: type_check(hints[field.name]) for field in fields(kind)}
