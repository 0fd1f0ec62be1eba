"""What workers are asked to do to make a network of a search: where it begins, seeds, files.

A network on several data sets is a task for each (`training.several`). The seeds for the first are
those of a search that has no other, so its networks are the same ones; those for another derive
from them and its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.names import file_id
from lemonade_tf.evolution import Individual, Purpose, child_seed
from lemonade_tf.search.extra_datasets import FurtherData
from lemonade_tf.search.warm_start import WarmStartNetwork
from lemonade_tf.store import RunStore
from lemonade_tf.workers.tasks import ChildTask


@dataclass(frozen=True)
class ChildTasks:
    """Makes the tasks of a search.

    Attributes:
        seed: Of the search.
        store: Its folder.
        origins: Where its initial networks come from, if they are those of a former run's front.
        measured: The objectives that workers measure beside the errors, by name.
        further: The data sets after the first.
    """

    seed: int
    store: RunStore
    origins: Sequence[WarmStartNetwork]
    measured: tuple[str, ...]
    further: Sequence[FurtherData]

    def task(self, individual: Individual) -> ChildTask:
        """Return the task of a network, on all data sets.

        Raises:
            StoreError: The file that it begins as is not what it was when the search began.
        """
        origin = self._origin(individual)
        if origin is not None:
            origin.check()
        others = enumerate(self.further, start=1)
        further = tuple(self._on(data, number, individual) for number, data in others)
        return replace(self._on(None, 0, individual), extra_datasets=further)

    def _origin(self, individual: Individual) -> WarmStartNetwork | None:
        """Return what network of a former run an initial one begins as, if it does."""
        if not self.origins or individual.generation:
            return None
        return self.origins[individual.attempt]

    def _on(self, data: FurtherData | None, number: int, individual: Individual) -> ChildTask:
        """Return the task of a network on the data set of a number; None and 0 are the first."""
        name = None if data is None else data.name
        parent, graph, architecture = individual.parent, individual.architecture, None
        if parent is not None:
            parent_file = str(self.store.models.path(file_id(parent, name)))
        else:
            architecture = to_json(graph if data is None else data.graph(graph))
            origin = self._origin(individual)
            parent_file = None if origin is None else origin.file
        return ChildTask(
            id=individual.id,
            operators=individual.operators,
            output=str(self.store.models.staging_path(file_id(individual.id, name))),
            parent_file=parent_file,
            architecture=architecture,
            weights_seed=self._seed(individual, Purpose.WEIGHTS, number),
            training_seed=self._seed(individual, Purpose.TRAINING, number),
            record={
                "id": individual.id,
                "generation": individual.generation,
                "parent": parent,
                "operators": list(individual.operators),
                "cheap": dict(individual.cheap),
            },
            objectives=self.measured if data is None else (),
            dataset=name,
        )

    def _seed(
        self, individual: Individual, purpose: Purpose, number: int
    ) -> np.random.SeedSequence:
        seed = child_seed(self.seed, individual.generation, individual.attempt, purpose)
        if number == 0:
            return seed
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, number))
