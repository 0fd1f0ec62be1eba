"""A run of a network that was not trained, on images whose brightest quadrant is their class."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dataclasses import replace

import numpy as np
import pytest
from runs import CONFIG, line, make_run, with_settings

from lemonade_tf.architecture.layers import BatchNormalization, ConvexSum
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.export import network_source
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.operators import EXACT
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.runs.same_images import describe_images
from lemonade_tf.search_spaces import NETWORKS

CLASSES = ("top left", "top right", 'bottom "left"', "bottom right")


def with_statistics(graph, seed=0):
    """Return a network whose batch normalizations and convex sums have values as after training."""
    rng = np.random.default_rng(seed)
    graph = initial_weights(graph, rng=rng)
    for name, node in graph.items():
        if isinstance(node.layer, BatchNormalization):
            new = {k: w + rng.uniform(0.1, 0.5, w.shape) for k, w in node.weights.items()}
            graph.set_weights(name, {k: w.astype(np.float32) for k, w in new.items()})
        if isinstance(node.layer, ConvexSum):
            graph.set_weights(name, {"lambda": np.array(0.3, np.float32)})
    return graph


def network():
    """Return a network with a skip connection, for images of 8x8x1 and four classes."""
    rng = np.random.default_rng(3)
    graph = NETWORKS.initial_graphs((8, 8, 1), 4)[0]
    skip = next(operator for operator in EXACT if operator.name == "add_skip")
    sites = [site for site in skip.candidates(graph) if "ConvexSum" in str(site)]
    site = (sites or list(skip.candidates(graph)))[0]
    return with_statistics(skip.apply(graph, site, rng=rng).graph)


@pytest.fixture(autouse=True)
def _named_classes(monkeypatch):
    """Give the classes names."""
    load = network_source.checked_dataset
    named = lambda *args: replace(load(*args), class_names=CLASSES)  # noqa: E731
    monkeypatch.setattr(network_source, "checked_dataset", named)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run folder; `models` has 0-0, and `retrained` the same network."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    pixels = rng.integers(0, 90, (200, 8, 8, 1))
    for image, label in zip(pixels, labels, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 120
    path, x = folder / "quadrants.npz", pixels.astype(np.uint8)
    arrays = {
        "x_train": x[:140],
        "y_train": labels[:140],
        "x_test": x[140:],
        "y_test": labels[140:],
    }
    np.savez(path, **arrays)
    config = with_settings(CONFIG, dataset=str(path), data_dir=None, threads=1)
    config = replace(config, images=describe_images(load_dataset(str(path))))
    made = make_run(folder / "run", [line("0-0", 0.5, 9_000)], config)
    save_model(network(), made / "models" / "0-0.h5", {"id": "0-0"})
    (made / "retrained").mkdir()
    save_model(network(), made / "retrained" / "0-0.h5", {"id": "0-0"})
    return made
