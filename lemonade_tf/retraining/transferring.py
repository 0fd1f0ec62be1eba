"""Move networks to other images and classes, and train them there (section 5.2).

    OUT/retrained/ID.h5      the trained networks
    OUT/retrained.jsonl      one line per network that was trained, or failed
    OUT/retrained.csv        their test errors: of the run on its images, and here

and the other files of `folder`. As in the paper, which "built architectures suited for
ImageNet64x64 based on five cells discovered on CIFAR-10", a network gets the input, the rescaling
and the number of classes of the new data set (`search_spaces.adaptation`); all other layers stay.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture.cells import CellError
from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.architecture.text import to_json
from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.array_files import ArrayFiles
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.loading import load_dataset, reading_text
from lemonade_tf.datasets.source import SharedDatasets
from lemonade_tf.datasets.splits import with_validation_images
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.keras_bridge.files import FileError
from lemonade_tf.retraining.chosen_network import ChosenNetwork
from lemonade_tf.retraining.final_training import (
    FinalTraining,
    OnNetworkEnd,
    Retrained,
    train_networks,
)
from lemonade_tf.retraining.folder import RetrainError
from lemonade_tf.retraining.transfer_config import TransferConfig
from lemonade_tf.runs import Run, read_run
from lemonade_tf.search_spaces import CELLS
from lemonade_tf.search_spaces.adaptation import adapt_cell_network, adapt_network
from lemonade_tf.store import NetworkRecord
from lemonade_tf.store.atomic import make_folder
from lemonade_tf.store.disk_errors import explained
from lemonade_tf.store.file_names import CONFIG

_OBJECTIVES = ("parameters", "multiply_adds")


def transfer(
    run: str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    config: TransferConfig,
    ids: Sequence[str] = (),
    *,
    on_network_end: OnNetworkEnd | None = None,
    on_stage: Callable[[str], None] | None = None,
    interval: float = 60.0,
) -> Retrained:
    """Move networks of a run's front to other images and train them, like `lemonade-tf transfer`.

    Finished networks are not trained again. An interrupted training resumes from its last
    checkpoint; on a CPU, the weights are the same as without the interruption.

    Args:
        run: The run folder.
        workdir: The folder for the trained networks; not that of a run.
        config: The settings, the data set among them.
        ids: The networks of the front; all by default.
        on_network_end: Called with each new record of retrained.jsonl.
        on_stage: Called before work that takes a while, with a sentence that describes it.
        interval: Seconds between two checkpoints of a training.

    Raises:
        ConfigError: If an id is not on the front, a network does not fit the images, or a setting
            is invalid.
        DatasetError: If the data set cannot be read.
        RetrainError: If the run has no front, a file is missing, or networks were trained in the
            folder with different settings.
        StoreError: If a folder is damaged, in use, or cannot be written.
    """
    source = read_run(os.fspath(run))
    records = _chosen(source, ids)

    def networks(dataset: Dataset) -> Mapping[str, ChosenNetwork]:
        return {
            record.id: _adapted(source, record, dataset, with_weights=config.weights == "inherited")
            for record in records
        }

    return _train_on(workdir, networks, config, on_network_end, on_stage, interval)


def train_graphs(
    workdir: str | os.PathLike[str],
    graphs: Callable[[Dataset], Mapping[str, Graph]],
    config: TransferConfig,
    *,
    on_network_end: OnNetworkEnd | None = None,
    on_stage: Callable[[str], None] | None = None,
    interval: float = 60.0,
) -> Retrained:
    """Train networks from scratch on a data set, in a folder like that of `transfer`.

    Args:
        workdir: The folder for the trained networks; not that of a run.
        graphs: Returns the networks by id, of which weights are not used, for a data set.
        config: The settings, the data set among them; `weights` has no effect.
        on_network_end: As for `transfer`.
        on_stage: As for `transfer`.
        interval: As for `transfer`.

    Raises:
        ConfigError: If a setting is invalid.
        DatasetError: If the data set cannot be read.
        RetrainError: If networks were trained in the folder with different settings.
        StoreError: If the folder is damaged, in use, or cannot be written.
    """

    def networks(dataset: Dataset) -> Mapping[str, ChosenNetwork]:
        return {
            id_: ChosenNetwork(
                id=id_, objectives=_costs(graph), architecture=to_json(graph), record={"id": id_}
            )
            for id_, graph in graphs(dataset).items()
        }

    return _train_on(workdir, networks, config, on_network_end, on_stage, interval)


def _train_on(
    workdir: str | os.PathLike[str],
    make_networks: Callable[[Dataset], Mapping[str, ChosenNetwork]],
    config: TransferConfig,
    on_network_end: OnNetworkEnd | None,
    on_stage: Callable[[str], None] | None,
    interval: float,
) -> Retrained:
    """Train the networks that are made for the data set of the settings."""
    name = config.checked_dataset
    with explained(Path(workdir)):
        if (Path(workdir) / CONFIG).exists():  # `retrain` keeps its networks there
            raise ConfigError(
                f"--workdir is {os.fspath(workdir)}, the folder of a run; expected another folder."
            )
        make_folder(Path(workdir))
    announce = (lambda stage: None) if on_stage is None else on_stage
    with ArrayFiles(config.cache_dir) as files:
        announce(reading_text(name))
        dataset = load_dataset(
            name,
            config.data_dir,
            allocate=files.allocate,
            cache_dir=config.cache_dir,
            image_size=config.image_size,
        )
        networks = make_networks(dataset)
        digest = dataset.digest()[:16]
        if dataset.x_test is None:
            dataset = replace(dataset, x_test=dataset.x_validation, y_test=dataset.y_validation)
        else:
            dataset = with_validation_images(dataset, files.allocate)
        training = FinalTraining(
            path=Path(workdir),
            config=config,
            training=config.training.for_images(dataset.input_shape),
            source=SharedDatasets.of(dataset),
            threads=config.threads,
            facts={"images": digest},
            objectives=_OBJECTIVES,
        )
        sizes = {id_: network.objectives["parameters"] for id_, network in networks.items()}
        ordered = {id_: networks[id_] for id_ in sorted(networks, key=lambda id_: sizes[id_])}
        return train_networks(
            training, ordered, on_network_end=on_network_end, on_stage=announce, interval=interval
        )


def _chosen(run: Run, ids: Sequence[str]) -> list[NetworkRecord]:
    """Return the records of the front's networks to move."""
    front = {record.id: record for record in run.front()}
    if not front:
        raise RetrainError(f"{run.store.path} has no front: no network has been trained yet.")
    unknown = [id_ for id_ in ids if id_ not in front]
    if unknown:
        raise ConfigError(
            f"the front of {run.store.path} has no network {', '.join(unknown)}; expected one of"
            f" {', '.join(front)}."
        )
    return [record for id_, record in front.items() if not ids or id_ in ids]


def _adapted(
    run: Run, record: NetworkRecord, dataset: Dataset, *, with_weights: bool
) -> ChosenNetwork:
    """Return a network of a run for another data set."""
    adapt = adapt_cell_network if run.config.space == CELLS.name else adapt_network
    path = run.store.models.path(record.id)
    try:
        graph = adapt(
            load_graph(path), dataset.input_shape, dataset.num_classes, dataset.rescaling()
        )
    except (GraphError, CellError) as error:
        raise ConfigError(
            f"the network {record.id} of {run.store.path} does not fit {dataset.name}: {error}"
        ) from error
    except FileError as error:
        raise RetrainError(f"{error} Restore it, or list the ids to move.") from error
    return ChosenNetwork(
        id=record.id,
        objectives=_costs(graph),
        search_error=record.error,
        search_test_error=record.test_error,
        source=str(path) if with_weights else None,
        architecture=to_json(graph),
        record={"id": record.id},
    )


def _costs(graph: Graph) -> dict[str, float]:
    return {"parameters": count_parameters(graph), "multiply_adds": count_multiply_adds(graph)}
