"""A network that is to be trained from scratch, or on other images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import to_json


@dataclass(frozen=True)
class ChosenNetwork:
    """A network to train from scratch.

    Attributes:
        id: Its id in the run; an augmented network has one of its own.
        objectives: Its objectives by name, without the error.
        search_error: Its validation error in the search; None if it was not trained there.
        search_test_error: Its test error there.
        source: Its file; None if it has none any more, or training starts from new weights.
        architecture: If there is no file, or it is for other images and classes, its architecture,
            as JSON of `architecture.text`; weights are then inherited from the file.
        record: If there is no file, what the file would have as its record.
    """

    id: str
    objectives: Mapping[str, float]
    search_error: float | None = None
    search_test_error: float | None = None
    source: str | None = None
    architecture: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    def rebuilt(self, graph: Graph) -> ChosenNetwork:
        """Return the network with its architecture."""
        return replace(self, architecture=to_json(graph))
