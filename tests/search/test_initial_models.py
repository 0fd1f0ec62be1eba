"""Searches that start from Keras models of the user."""

import json
import shutil
import zipfile

import keras
import numpy as np
import pytest

from lemonade_tf.config import ConfigError, SearchConfig
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.keras_bridge import load_graph
from lemonade_tf.runs import read_run
from lemonade_tf.search import search
from lemonade_tf.search.initial_models import initial_model_networks

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PIXELS, LABELS = np.zeros((20, 8, 8, 1), np.uint8), np.arange(20) % 10
DATASET = Dataset("images", PIXELS, LABELS, PIXELS, LABELS, None, None, 10)


def small_model(*, units=10):
    source = keras.Input((8, 8, 1))
    at = source
    for filters in (4, 6, 8):
        at = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(at)
        at = keras.layers.BatchNormalization()(at)
        at = keras.layers.ReLU()(at)
    at = keras.layers.GlobalAveragePooling2D()(at)
    return keras.Model(source, keras.layers.Dense(units, activation="softmax")(at))


def changed(path, old, new):
    """Replace a text in the configuration of a .keras file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data.replace(old, new) if name == "config.json" else data)


@pytest.mark.slow
def test_models_start_a_search_that_resumes_in_another_place(tmp_path, monkeypatch):
    settings = {"image_data_format": "channels_first", "floatx": "float16", "backend": "jax"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))  # has no effect
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    first, second = tmp_path / "a.keras", tmp_path / "b.h5"
    small_model().save(first)
    small_model(units=7).save(second)
    search(
        preset="quick",
        num_generations=1,
        initial_models=[first, second],
        workdir=str(tmp_path / "run"),
    )
    trained = read_run(tmp_path / "run").trained
    sizes = {each.id: each.objectives["parameters"] for each in trained}
    assert sizes["0-0"] == sizes["0-1"] == small_model().count_params()
    first.unlink()
    shutil.move(tmp_path / "run", tmp_path / "moved")
    search(resume=True, num_generations=2, workdir=str(tmp_path / "moved"))
    assert len(read_run(tmp_path / "moved").trained) > len(trained)


@pytest.mark.slow
def test_harmful_files_are_refused_and_leave_no_folder(tmp_path):
    huge, code = tmp_path / "huge.keras", tmp_path / "code.keras"
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(
        huge
    )
    changed(huge, b'"units": 10', b'"units": 60000000')  # 15 GB
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Lambda(lambda x: 2 * x)]).save(code)
    for path, reason in ((huge, "OOM|memory"), (code, "disallowed by default")):
        with pytest.raises(ConfigError, match=rf"{path} cannot be used: .*({reason})"):
            initial_model_networks([str(path)], DATASET, tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.h5 cannot be used: it is not a file"):
        initial_model_networks([str(tmp_path / "none.h5")], DATASET, tmp_path / "run")


@pytest.mark.slow
def test_weights_are_those_of_the_model_and_names_are_unique(tmp_path):
    model = small_model()
    (tmp_path / "other").mkdir()
    paths = [str(tmp_path / "m.keras"), str(tmp_path / "other" / "m.keras")]
    for path in paths:
        model.save(path)
    networks = initial_model_networks(paths, DATASET, tmp_path / "run")
    assert [network.id for network in networks] == ["m", "m-2"]
    graph = load_graph(networks[1].path)
    for layer in model.layers:
        for variable in layer.weights:
            np.testing.assert_array_equal(graph[layer.name].weights[variable.name], variable)
    records = [network.as_record(tmp_path / "run") for network in networks]
    assert [record.path for record in records] == [
        "initial_models/m.h5",
        "initial_models/m-2.h5",
    ]


def test_settings_that_exclude_each_other():
    for others in ({"initial_run": "RUN"}, {"space": "cells"}):
        with pytest.raises(ConfigError, match="excludes --initial_run"):
            SearchConfig(initial_models="a.h5", **others)
    assert SearchConfig(initial_models="a.h5").initial_models == ("a.h5",)
