"""Create the tasks that workers carry out to train a network: its start, seeds and files.

A network on several data sets has a task for each (`workers.several_datasets`). The seeds for the
first are the same as in a search without extra data sets, so its networks are the same; the seeds
for an extra data set derive from them and its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.names import file_id
from lemonade_tf.evolution import Individual, Purpose, child_seed
from lemonade_tf.workers.tasks import ChildTask

if TYPE_CHECKING:
    from lemonade_tf.search.extra_datasets import ExtraDataset
    from lemonade_tf.search.setup import Setup
    from lemonade_tf.search.warm_start import WarmStartNetwork
    from lemonade_tf.store import RunStore
    from lemonade_tf.training.settings import TrainingSettings


@dataclass(frozen=True)
class ChildTasks:
    """Creates the tasks of a search.

    Attributes:
        seed: The random seed of the search.
        store: The run folder.
        warm_start: The networks of a previous run that the initial networks start from, if any.
        measured: The objectives that workers measure in addition to the errors, by name.
        extra_datasets: The data sets after the first.
        settings: The training settings.
        num_images: Training images to use; None for all.
        inherits: Whether children start from the weights of their parents rather than new ones.
    """

    seed: int
    store: RunStore
    warm_start: Sequence[WarmStartNetwork]
    measured: tuple[str, ...]
    extra_datasets: Sequence[ExtraDataset]
    settings: TrainingSettings
    num_images: int | None
    inherits: bool = True

    @classmethod
    def of(cls, setup: Setup) -> ChildTasks:
        """Return the tasks of a run."""
        return cls(
            setup.config.seed,
            setup.store,
            setup.warm_start,
            setup.measured_objectives,
            setup.extra_datasets,
            setup.config.training,
            setup.config.training_images,
            setup.config.inheritance == "parent",
        )

    def task(self, individual: Individual) -> ChildTask:
        """Return the task of a network, on all data sets.

        Raises:
            StoreError: If the file that it starts from has changed since the search started.
        """
        start = self._warm_start(individual)
        if start is not None:
            start.check()
        numbered = enumerate(self.extra_datasets, start=1)
        extra = tuple(self._task_on(data, number, individual) for number, data in numbered)
        return replace(self._task_on(None, 0, individual), extra_datasets=extra)

    def _warm_start(self, individual: Individual) -> WarmStartNetwork | None:
        """Return the network of a previous run that an initial network starts from, if any."""
        if not self.warm_start or individual.generation:
            return None
        return self.warm_start[individual.attempt]

    def _task_on(self, data: ExtraDataset | None, number: int, individual: Individual) -> ChildTask:
        """Return the task of a network on one data set; None with number 0 is the first."""
        name = None if data is None else data.name
        parent, graph, architecture = individual.parent, individual.architecture, None
        operators = individual.operators
        if parent is not None and not self.inherits:
            architecture, operators, parent_file = to_json(_on(data, graph)), (), None
        elif parent is not None:
            parent_file = str(self.store.models.path(file_id(parent, name)))
        else:
            start = self._warm_start(individual)
            graph = graph if start is None else start.graph
            architecture = to_json(_on(data, graph))
            parent_file = None if start is None else start.path
        return ChildTask(
            id=individual.id,
            operators=operators,
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
            settings=self.settings,
            num_images=self.num_images,
        )

    def _seed(
        self, individual: Individual, purpose: Purpose, number: int
    ) -> np.random.SeedSequence:
        seed = child_seed(self.seed, individual.generation, individual.attempt, purpose)
        if number == 0:
            return seed
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, number))


def _on(data: ExtraDataset | None, graph: Graph) -> Graph:
    """Return the shapes of a network for a data set; None is the first."""
    return graph if data is None else data.adapt(graph)
