"""The architectures of a search, to recognize duplicates."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import Any

from lemonade_tf.evolution.individual import Individual


class Archive:
    """Finds the oldest individual with a given architecture.

    Args:
        canonical_hash: Returns the same hash for architectures that are the same.
        same_architecture: Decides whether two architectures of equal hash are the same.
    """

    def __init__(
        self,
        canonical_hash: Callable[[Any], str],
        same_architecture: Callable[[Any, Any], bool],
    ) -> None:
        self.canonical_hash = canonical_hash
        self.same_architecture = same_architecture
        # By hash, oldest first. Individuals are not kept: their operators would fill the memory.
        self._entries: dict[str, list[tuple[tuple[int, int], str, Any]]] = {}

    def find(self, key: str, architecture: Any) -> str | None:
        """Return the id of the oldest individual with an architecture, None if it is new."""
        for _, id_, other in self._entries.get(key, ()):
            if self.same_architecture(architecture, other):
                return id_
        return None

    def add(self, key: str, individual: Individual) -> None:
        """Add an individual under the hash of its architecture."""
        entry = (individual.age_key, individual.id, individual.architecture)
        insort(self._entries.setdefault(key, []), entry, key=lambda entry: entry[0])
