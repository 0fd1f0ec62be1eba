"""A small data set and small networks for the tests of training."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.text import to_json
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.operators import EXACT, record
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.workers.child import train_child
from lemonade_tf.workers.tasks import ChildTask


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Handwritten digits: 320 for training, 100 for validation, 100 for test."""
    whole = load_dataset("digits", None)
    return replace(
        whole,
        x_train=whole.x_train[:320],
        y_train=whole.y_train[:320],
        x_validation=whole.x_validation[:100],
        y_validation=whole.y_validation[:100],
        x_test=whole.x_test[:100],
        y_test=whole.y_test[:100],
    )


@pytest.fixture(scope="session")
def settings() -> TrainingSettings:
    """Four short epochs, two of distillation."""
    return TrainingSettings(epochs=4, distillation_epochs=2, batch_size=32)


@pytest.fixture(scope="session")
def network(digits) -> Graph:
    """The smallest initial network of space I, with weights."""
    graph = NETWORKS.initial_graphs((8, 8, 1), 10, rescaling=digits.rescaling())[0]
    return initial_weights(graph, rng=np.random.default_rng(0))


@pytest.fixture(scope="session")
def parent_file(network, digits, settings, tmp_path_factory) -> str:
    """The file of a trained initial network."""
    path = str(tmp_path_factory.mktemp("parent") / "parent.h5")
    result = train_child(initial_task(network, path), digits, settings)
    assert result.failure is None
    return path


def initial_task(network: Graph, path: str) -> ChildTask:
    """Return the task of training an initial network."""
    return ChildTask(
        id="parent",
        operators=(),
        output=path,
        weights_seed=np.random.SeedSequence(1),
        training_seed=np.random.SeedSequence(2),
        architecture=to_json(network),
    )


@pytest.fixture(scope="session")
def insertion(network) -> dict:
    """The record of an inserted block."""
    insert = next(operator for operator in EXACT if operator.name == "insert_convolution")
    site = next(s for s in insert.candidates(network) if s.node == "relu_1")
    return record(insert, site)


@pytest.fixture(scope="session")
def assert_equal_weights():
    """Return a function that asserts that two graphs have the same weights, bit for bit."""

    def compare(first: Graph, second: Graph, exclude: frozenset[str] = frozenset()) -> None:
        assert set(first) == set(second)
        for name in set(first) - exclude:
            for key, value in first[name].weights.items():
                np.testing.assert_array_equal(value, second[name].weights[key], strict=True)

    return compare
