"""The networks to train from scratch, and where their architectures come from.

Any network that a search trained can be trained from scratch. Its architecture is that of its file;
most files are removed in the course of a search, and then it is rebuilt from the operators in the
history (see `search.lineage`), which gives the same network.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from lemonade_tf.config import ConfigError
from lemonade_tf.errors import quoted
from lemonade_tf.retraining.augmented import read_augmented
from lemonade_tf.retraining.chosen_network import ChosenNetwork
from lemonade_tf.retraining.folder import RetrainError
from lemonade_tf.runs import Run
from lemonade_tf.store import NetworkRecord


def choose(
    run: Run, names: Sequence[str] = (), generation: int | None = None
) -> dict[str, ChosenNetwork]:
    """Return the networks to train, by id, sorted by the first cheap objective.

    Args:
        run: The run.
        names: Ids of networks that the search trained, and files of augmented networks.
        generation: Without names, the front after this generation; by default the last one.

    Raises:
        ConfigError: If there is no such network or generation, or both are given.
        RetrainError: If the run has no front, or a file is not one of an augmented network.
    """
    if names and generation is not None:
        raise ConfigError("--generation has no effect if networks are given; omit one of them.")
    if not run.trained:
        raise RetrainError(f"{run.store.path} has no front: no network has been trained yet.")
    if names:
        files = [name for name in names if _is_file(name)]
        chosen = _of_history(run, [name for name in names if name not in files])
        for path in files:
            chosen.append(_of_file(run, path))
    else:
        chosen = [_of_record(run, record) for record in _front(run, generation)]
    size = next(objective.name for objective in run.objectives if objective.cheap)
    chosen.sort(key=lambda network: network.objectives[size])
    return {network.id: network for network in chosen}


def check_id(run: Run, id_: str) -> NetworkRecord:
    """Return the record of a network that the search trained.

    Raises:
        ConfigError: If there is no such network, or its training failed.
    """
    records = {record.id: record for record in run.history}
    if id_ not in records:
        front = ", ".join(record.id for record in run.front())
        raise ConfigError(
            f"{run.store.path} has no network {quoted(id_)}; expected an id in its history.jsonl,"
            f" such as those of the front: {front}."
        )
    if records[id_].failure is not None:
        raise ConfigError(
            f"the network {id_} of {run.store.path} failed in the search"
            f" ({quoted(records[id_].failure)}); choose one that was trained."
        )
    return records[id_]


def _is_file(name: str) -> bool:
    return name.endswith(".h5") or os.sep in name


def _front(run: Run, generation: int | None) -> list[NetworkRecord]:
    last = run.num_generations
    if generation is not None and not 0 <= generation <= last:
        raise ConfigError(
            f"--generation is {generation}; {run.store.path} has generations 0 to {last}."
        )
    return run.front(generation)


def _of_history(run: Run, ids: Sequence[str]) -> list[ChosenNetwork]:
    return [_of_record(run, check_id(run, id_)) for id_ in ids]


def _of_record(run: Run, record: NetworkRecord) -> ChosenNetwork:
    path = run.store.models.path(record.id)
    return ChosenNetwork(
        id=record.id,
        objectives={name: v for name, v in record.objectives.items() if name != "error"},
        search_error=record.error,
        search_test_error=record.test_error,
        source=str(path) if path.is_file() else None,
        record={
            "id": record.id,
            "generation": record.generation,
            "parent": record.parent,
            "operators": list(record.operators),
            "objectives": dict(record.objectives),
        },
    )


def _of_file(run: Run, path: str) -> ChosenNetwork:
    network = read_augmented(run, path)
    cheap = {o.name: o.value(network.graph) for o in run.objectives if o.cheap}
    return ChosenNetwork(network.id, cheap, source=os.path.abspath(path))
