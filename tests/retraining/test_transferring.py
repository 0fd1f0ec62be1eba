import csv
import json

import numpy as np
import pytest
from retraining_fixtures import FakeExecutor, Killed
from runs import CONFIG, line, make_run, with_settings

from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.text import from_json
from lemonade_tf.cli import main
from lemonade_tf.config import ConfigError
from lemonade_tf.keras_bridge import load_graph, load_record, save_model
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.retraining import (
    RetrainError,
    TransferConfig,
    final_training,
    train_graphs,
    transfer,
)
from lemonade_tf.search_spaces import CELLS, NETWORKS, CellSpace

SMALL_CELLS = CellSpace(filters=(16,), cells_per_block=1)


def _images(path, shape, num_classes, *, with_test=True, num=60):
    rng = np.random.default_rng(0)
    labels = np.arange(num) % num_classes
    images = rng.integers(0, 256, (num, *shape), dtype=np.uint8)
    arrays = {"x_train": images, "y_train": labels}
    if with_test:
        arrays |= {"x_test": images[:20], "y_test": labels[:20]}
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def flowers(tmp_path):
    """The user's own images: 12 x 16 pixels in color, 7 classes."""
    return _images(tmp_path / "flowers.npz", (12, 16, 3), 7)


def _run(folder, space, graphs):
    """Write a run whose front has these networks."""
    config = with_settings(CONFIG, space=space.name, dataset="elsewhere.npz")
    history = [
        line(f"0-{i}", 0.3 - i / 10, 1000 * (i + 1), test_error=0.31) for i in range(len(graphs))
    ]
    run = make_run(folder, history, config)
    for number, shapes in enumerate(graphs):
        graph = initial_weights(shapes, rng=np.random.default_rng(number))
        save_model(graph, run / "models" / f"0-{number}.h5", {"id": f"0-{number}"})
    return run


@pytest.fixture
def run(tmp_path):
    """A run on gray images of 8 x 8 pixels and 4 classes, with a front of two networks."""
    return _run(tmp_path / "run", NETWORKS, NETWORKS.initial_graphs((8, 8, 1), 4)[:2])


@pytest.fixture
def executor(monkeypatch):
    fake = FakeExecutor()
    monkeypatch.setattr(final_training, "make_executor", fake)
    return fake


def _config(dataset, **settings):
    return TransferConfig.from_flat({"dataset": dataset, "epochs": 2, "workers": 1, **settings})


def test_networks_are_adapted_to_the_new_images(run, flowers, tmp_path, executor):
    result = transfer(run, tmp_path / "out", _config(flowers))
    assert executor.ids == ["0-1", "0-0"]  # the largest first
    for task in executor.tasks:
        graph = from_json(task.architecture)
        assert graph.shapes()[graph.input] == (12, 16, 3)
        assert graph.shapes()[graph.output] == (7,)
        assert task.source == str(run / "models" / f"{task.id}.h5")
    assert result.folder == tmp_path / "out" / "retrained"
    with open(tmp_path / "out" / "retrained.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["search_test_error"], row["test_error"]) for row in rows] == [
        ("0-0", "0.31", "0.125"),
        ("0-1", "0.31", "0.125"),
    ]
    settings = json.loads((result.folder / "settings.json").read_text())
    assert (settings["dataset"], settings["weights"], settings["pad"]) == (flowers, "inherited", 1)


def test_cells_keep_their_n_and_f(flowers, tmp_path, executor):
    graphs = SMALL_CELLS.initial_graphs((8, 8, 1), 4)[:1]
    run = _run(tmp_path / "cells", CELLS, graphs)
    transfer(run, tmp_path / "out", _config(flowers, weights="new"))
    [task] = executor.tasks
    graph = from_json(task.architecture)
    assert extract_cell(graph)[1:] == (1, 16)
    assert graph.shapes()[graph.input] == (12, 16, 3)
    assert task.source is None  # new weights


def test_without_test_images_those_for_validation_measure_the_error(run, tmp_path, executor):
    path = _images(tmp_path / "few.npz", (8, 8, 1), 4, with_test=False)
    transfer(run, tmp_path / "out", _config(path))
    dataset, _ = executor.setup.source.load()
    assert (len(dataset.x_train), len(dataset.x_test)) == (54, 6)


def test_an_interrupted_transfer_continues(run, flowers, tmp_path, executor):
    executor.dies_at = "0-0"
    with pytest.raises(Killed):
        transfer(run, tmp_path / "out", _config(flowers))
    executor.dies_at = None
    transfer(run, tmp_path / "out", _config(flowers), ["0-0"])
    assert executor.ids == ["0-1", "0-0", "0-0"]
    with pytest.raises(RetrainError, match="weights was inherited, now new"):
        transfer(run, tmp_path / "out", _config(flowers, weights="new"))


def test_networks_of_another_run_are_not_taken_for_finished(run, flowers, tmp_path, executor):
    transfer(run, tmp_path / "out", _config(flowers))
    other = _run(tmp_path / "other", NETWORKS, NETWORKS.initial_graphs((8, 8, 1), 4)[1:3])
    with pytest.raises(RetrainError, match=r"out.retrained has another network 0-\d, perhaps of"):
        transfer(other, tmp_path / "out", _config(flowers))
    assert len(executor.ids) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ["7-7"]}, "has no network 7-7; expected one of 0-0, 0-1"),
        ({"config": TransferConfig()}, "--dataset is missing; expected the data set to move to"),
        ({"config": {"dataset": "digits,cifar10"}}, "--dataset is digits,cifar10; expected the"),
        ({"config": {"strategy": "multi_worker"}}, "which only `retrain` supports"),
        ({"config": {"weights": "old"}}, "--weights is 'old'; expected one of inherited, new"),
        ({"workdir": "run"}, "--workdir is .*run, the folder of a run; expected another"),
    ],
)
def test_a_mistake_is_one_line(run, flowers, tmp_path, change, message):
    config = change.get("config", {})
    with pytest.raises(ConfigError, match=message):
        transfer(
            run,
            tmp_path / change.get("workdir", "out"),
            _config(**{"dataset": flowers, **config}) if isinstance(config, dict) else config,
            change.get("ids", ()),
        )


def test_images_that_are_too_small_are_refused(run, tmp_path, executor):
    tiny = _images(tmp_path / "tiny.npz", (1, 1, 1), 4)
    with pytest.raises(ConfigError, match=r"network 0-\d of .*run does not fit .*tiny"):
        transfer(run, tmp_path / "out", _config(tiny, pad=0, cutout=0))


def test_graphs_of_any_origin_are_trained(flowers, tmp_path, executor):
    def graphs(dataset):
        shapes = NETWORKS.initial_graphs(dataset.input_shape, dataset.num_classes)
        return {"large-1.5": shapes[1], "small": shapes[0]}

    result = train_graphs(tmp_path / "out", graphs, _config(flowers, recipe="imagenet64"))
    assert [row["id"] for row in result.rows] == ["small", "large-1.5"]
    assert all(task.source is None for task in executor.tasks)
    assert executor.tasks[0].settings["pad"] == 4


def test_graphs_are_not_trained_in_the_folder_of_a_run(run, flowers, executor):
    with pytest.raises(ConfigError, match="run, the folder of a run; expected another folder"):
        train_graphs(run, lambda _: {}, _config(flowers))
    assert not (run / "retrained").exists()


@pytest.mark.slow
def test_the_command_trains_networks_with_the_weights_that_fit(run, tmp_path, capsys):
    path = _images(tmp_path / "ten.npz", (8, 8, 1), 10)
    options = ["--epochs", "1", "--learning_rate", "1e-9", "--workers", "1", "--cutout", "0"]
    arguments = ["transfer", str(run), "--dataset", path, "--workdir", str(tmp_path / "out")]
    assert main([*arguments, *options]) == 0
    out = capsys.readouterr().out
    assert "transferred, top-5" in out
    for id_ in ("0-0", "0-1"):
        before = load_graph(run / "models" / f"{id_}.h5")
        after = load_graph(tmp_path / "out" / "retrained" / f"{id_}.h5")
        for name, values in before["conv_1"].weights.items():
            np.testing.assert_allclose(after["conv_1"].weights[name], values, atol=1e-6)
        assert after.shapes()[after.output] == (10,)
        assert load_record(tmp_path / "out" / "retrained" / f"{id_}.h5")["id"] == id_
    assert main([*arguments, *options]) == 0  # nothing is left to do
