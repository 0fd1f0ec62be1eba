"""Searches on a Ray cluster give the same results as those in worker processes."""

import numpy as np
import pytest
from toy_training import results, toy_search

from lemonade_tf.monitoring.callback import Callback
from lemonade_tf.presets import make_config
from lemonade_tf.retraining import RetrainConfig, retrain
from lemonade_tf.runs import read_run
from lemonade_tf.search import search

pytestmark = pytest.mark.slow

TINY = {
    "num_generations": 1,
    "num_proposed": 8,
    "num_accepted": 2,
    "epochs": 1,
    "distillation_epochs": 1,
    "pad": 2,
    "cutout": 4,
    "keep_all": True,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """An .npz file with random images."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "images.npz"
    x_train = rng.integers(0, 256, (400, 16, 16, 3), dtype=np.uint8)
    np.savez(path, x_train=x_train, y_train=np.arange(400) % 4)
    return path


class AfterNetworks(Callback):
    """Calls a function after a number of networks."""

    def __init__(self, number, function):
        self.left, self.function = number, function

    def on_network_end(self, state, record):
        self.left -= 1
        if not self.left:
            self.function()


def test_a_search_has_the_same_history_in_one_and_two_processes_and_on_ray(
    ray_cluster, images, tmp_path, monkeypatch
):
    monkeypatch.setattr("lemonade_tf.datasets.array_files._LARGE", 10_000)  # the images are a file
    shared = {**TINY, "dataset": str(images), "seed": 3}
    found = []
    for name, options in {
        "one": {"workers": 1},
        "two": {"workers": 2},
        "ray": {"executor": "ray", "ray_address": ray_cluster.address},
    }.items():
        config = make_config("paper", **shared, **options, workdir=str(tmp_path / name))
        assert search(config).complete
        found.append(results(tmp_path / name))
    one, two, ray = found
    assert len(one["history"]) == 4 + 2
    for id_, record in one["history"].items():
        assert record.failure is None
        assert record.file == two["history"][id_].file == ray["history"][id_].file
    assert one == two == ray

    # The final training, of the same images; it ends with the same weights.
    id_ = read_run(tmp_path / "one").front()[0].id
    errors = []
    for name in ("one", "ray"):
        workdir = tmp_path / name
        config = RetrainConfig.from_flat(
            {"epochs": 2, **({} if name == "one" else {"executor": "ray"})}
        )
        [row] = retrain(workdir, [id_], config, interval=0.0).rows
        errors.append((row["test_error"], (workdir / row["file"]).read_bytes()))
        assert not list((workdir / "retrained").glob("*.checkpoint"))
    assert errors[0] == errors[1]


def test_a_search_survives_the_loss_of_a_node(ray_cluster, add_node, tmp_path):
    settings = {"num_generations": 2, "seed": 5}
    assert toy_search(tmp_path / "processes", **settings).complete

    # Only these nodes have GPUs. Children on the first never end; the other waits for one of them.
    started = str(tmp_path / "started")
    variables = {"TOY_SECONDS": "600", "TOY_STARTED": started}
    node = add_node(num_cpus=1, num_gpus=1, env_vars=variables)
    add_node(num_cpus=1, num_gpus=1, env_vars={"TOY_AFTER": started})
    removal = AfterNetworks(3, lambda: ray_cluster.remove_node(node, allow_graceful=False))
    options = {"executor": "ray", "ray_address": ray_cluster.address, "gpus_per_child": 1.0}
    settings |= {"workers": None, "callbacks": [removal], **options}
    assert toy_search(tmp_path / "ray", **settings).complete
    assert results(tmp_path / "ray") == results(tmp_path / "processes")
    history = read_run(tmp_path / "ray").history
    [failure] = [record.first_failure for record in history if record.first_failure]
    assert "was lost: " in failure
