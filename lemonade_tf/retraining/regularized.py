"""Which of the networks to train the regularization of their branches has an effect on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.branches import droppable_paths, shaken_means
from lemonade_tf.architecture.regularization import Regularization
from lemonade_tf.architecture.text import from_json
from lemonade_tf.config import ConfigError
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.retraining.chosen_network import ChosenNetwork

_PLACES: Mapping[str, tuple[Callable[[Graph], Any], str, str]] = {
    "shake_shake": (
        shaken_means,
        "mean of two branches",
        "use networks that `augment --shake_shake` wrote",
    ),
    "drop_path": (
        droppable_paths,
        "sum or concatenation of paths",
        "use networks with skips or branches",
    ),
}


def check_effects(
    regularization: Regularization,
    networks: Mapping[str, ChosenNetwork],
    on_stage: Callable[[str], None],
) -> None:
    """Check that regularization has an effect on networks, and announce those without.

    Args:
        regularization: The regularization.
        networks: The networks by id.
        on_stage: Called with a sentence about networks on which it has none.

    Raises:
        ConfigError: If it has no effect on any of them.
        FileError: If the file of a network cannot be read.
    """
    if not regularization.settings:
        return
    graphs = {id_: _graph(network) for id_, network in networks.items()}
    for name in regularization.settings:
        places, noun, advice = _PLACES[name]
        without = [id_ for id_, graph in graphs.items() if not places(graph)]
        if len(without) == len(graphs):
            raise ConfigError(
                f"--{name} has no effect here, as none of the networks has a {noun}; omit"
                f" it, or {advice}."
            )
        if without:
            on_stage(f"--{name} has no effect on {', '.join(without)}, without a {noun}.")


def _graph(network: ChosenNetwork) -> Graph:
    if network.architecture is not None:
        return from_json(network.architecture)
    return load_graph(network.source or "")
