"""Predicted file sizes are within two percent of the actual ones."""

from dataclasses import replace

import numpy as np
import pytest
from graphs import every_layer, small

from lemonade_tf.keras_bridge import save_model
from lemonade_tf.objectives import FILE_BYTES
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.search_spaces import CELLS, NETWORKS

TOLERANCE = 0.02
SMALL_CELLS = replace(CELLS, filters=(16, 32))
OPERATOR = {"operator": "add_skip", "site": {"source": "relu_1", "target": "relu_4"}}
RECORD = {
    "id": "12-34",
    "operators": [OPERATOR] * 2,
    "objectives": {"error": 0.0123456789, "parameters": 123456},
    "test_error": 0.0123,
    "cheap": {"parameters": 123456},
}


def children(space, shape, num_classes, steps, seed):
    """Yield the initial networks of a space, and the end of a random walk from each."""
    rng = np.random.default_rng(seed)
    for graph in space.initial_graphs(shape, num_classes):
        yield graph
        for _ in range(steps):
            made = space.propose(graph, rng=rng)
            graph = graph if made is None else made[0]
        yield graph


NETWORKS_OF_ALL_SIZES = [
    small(),
    every_layer(),
    *children(NETWORKS, (8, 8, 1), 10, steps=5, seed=1),
    *children(NETWORKS, (32, 32, 3), 100, steps=15, seed=2),
    *children(SMALL_CELLS, (8, 8, 1), 10, steps=2, seed=3),
]


@pytest.mark.parametrize("number", range(len(NETWORKS_OF_ALL_SIZES)))
def test_the_file_size_is_predicted_from_the_graph(number, tmp_path):
    graph = NETWORKS_OF_ALL_SIZES[number].copy(weights=False)
    expected = FILE_BYTES.value(graph)
    path = tmp_path / "network.h5"
    save_model(initial_weights(graph, rng=np.random.default_rng(0)), path, RECORD)
    assert expected == pytest.approx(path.stat().st_size, rel=TOLERANCE)
