"""Begin a search with the front of a former run, instead of with the space's initial networks.

The networks are brought to the new data: its image shape, its rescaling, its number of classes.
They inherit, as children do, every weight whose shape stays; what is new (a last layer for other
classes, a first one for other channels) is drawn. Then they are trained as the initial networks
are, also if the data is the same: their errors were measured in another run.

The paper begins with trivial networks only; this is for going on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.cells import CellError
from lemonade_tf.architecture.layers import Rescaling
from lemonade_tf.architecture.text import from_json, to_json
from lemonade_tf.config import ConfigError
from lemonade_tf.keras_bridge import FileError, load_graph
from lemonade_tf.runs import read_run
from lemonade_tf.search_spaces import CELLS
from lemonade_tf.search_spaces.adaptation import adapt_cell_network, adapt_network
from lemonade_tf.store import FileRecord, InitialRecord, StoreError, describe_file


@dataclass(frozen=True)
class WarmStartNetwork:
    """A network of a former run that an initial network begins as.

    Attributes:
        id: Its id in that run.
        file: Its file.
        recorded: What the file was when the search started.
        graph: What it becomes: shapes, for the new data.
    """

    id: str
    file: str
    recorded: FileRecord
    graph: Graph

    def check(self) -> None:
        """Check that the file is still what it was when the search began.

        Raises:
            StoreError: It is not.
        """
        path = Path(self.file)
        if not path.is_file() or describe_file(path) != self.recorded:
            raise StoreError(
                f"{path} is not the file that the search began with (--initial_run); restore it,"
                " or begin another search."
            )

    def as_record(self) -> InitialRecord:
        """Return its record in initial.jsonl."""
        return InitialRecord(self.id, self.file, self.recorded, to_json(self.graph))

    @classmethod
    def from_record(cls, record: InitialRecord) -> WarmStartNetwork:
        """Return the network of a record."""
        return cls(record.id, record.path, record.file, from_json(record.architecture))


def origins(
    initial_run: str,
    space: str,
    input_shape: Iterable[int],
    num_classes: int,
    rescaling: Rescaling,
) -> tuple[WarmStartNetwork, ...]:
    """Return the networks of a former run's front, for new data.

    Args:
        initial_run: The folder of the former run.
        space: The search space of the new one.
        input_shape: (height, width, channels) of the new images.
        num_classes: How many classes they have.
        rescaling: What they go through first.

    Raises:
        StoreError: The folder holds no run, or a damaged one.
        ConfigError: The run has another search space, no front, or a network that cannot read the
            new images.
    """
    run = read_run(initial_run)
    if run.config.space != space:
        raise ConfigError(
            f"--initial_run: {initial_run} is a run in the space {run.config.space!r}, this"
            f" one is in {space!r}; give --space {run.config.space}."
        )
    adapt = adapt_cell_network if space == CELLS.name else adapt_network
    found = []
    for record in run.front():
        path = run.store.models.path(record.id)
        try:
            graph = adapt(load_graph(path), tuple(input_shape), num_classes, rescaling)
        except (FileError, GraphError, CellError) as error:
            raise ConfigError(
                f"--initial_run: the network {record.id} of {initial_run} cannot be begun with:"
                f" {error}"
            ) from error
        found.append(WarmStartNetwork(record.id, str(path.absolute()), describe_file(path), graph))
    if not found:
        raise ConfigError(f"--initial_run: {initial_run} has no trained network.")
    return tuple(found)
