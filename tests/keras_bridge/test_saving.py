import errno
import logging
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from graphs import cells
from graphs import images as images_for
from reference import forward

from lemonade_tf.architecture import Graph, GraphError
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.text import to_json
from lemonade_tf.keras_bridge import (
    load_graph,
    load_model,
    save_model,
    saving,
    to_keras,
)
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.store import StoreError, disk_error


@pytest.mark.slow
def test_keras_loads_the_file_without_this_package(graph, images, tmp_path):
    path = tmp_path / "a.h5"
    save_model(graph, path, {})
    np.savez(tmp_path / "images.npz", images=images)
    code = (
        "import sys; sys.modules['lemonade_tf'] = None\n"
        "import keras, numpy as np\n"
        "from keras.src.applications.convnext import LayerScale\n"  # ConvNeXt's, not registered
        "model = keras.models.load_model('a.h5', {'LayerScale': LayerScale})\n"
        "images = np.load('images.npz')['images']\n"
        "np.savez('out.npz', out=model(images), parameters=model.count_params())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    out = np.load(tmp_path / "out.npz")
    np.testing.assert_array_equal(out["out"], to_keras(graph)(images))
    assert out["parameters"] == to_keras(graph).count_params()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 3])
def test_a_network_of_cells_is_saved_and_loaded(tmp_path, seed, assert_same):
    """Keras computes what the reference does, and the cell is extracted from the loaded graph."""
    network = cells(seed, length=6)
    save_model(network, tmp_path / "a.h5", {})
    model, x = load_model(tmp_path / "a.h5"), images_for(network)
    expected = forward(network, x)[network.output]
    np.testing.assert_allclose(model.predict_on_batch(x), expected, rtol=0, atol=1e-5)
    assert model.count_params() == count_parameters(network)
    found = load_graph(tmp_path / "a.h5")
    assert_same(network, found)
    assert extract_cell(found) == extract_cell(network)


@pytest.mark.parametrize("learnable", [False, True])
def test_a_loaded_model_computes_what_the_graph_does(graph, images, tmp_path, learnable):
    save_model(graph, tmp_path / "a.h5", {})
    model = load_model(tmp_path / "a.h5", learnable=learnable)
    np.testing.assert_array_equal(model(images), to_keras(graph)(images))
    assert ("skip_sum_x" in {layer.name for layer in model.layers}) is not learnable


def test_saving_is_silent(graph, tmp_path, caplog, recwarn):
    with caplog.at_level(logging.DEBUG, logger="absl"):
        save_model(graph, tmp_path / "a.h5", {})
    assert not caplog.records
    assert not recwarn.list
    assert not [f for f in logging.getLogger("absl").filters if f.__module__.startswith("lemonade")]


def test_an_existing_file_is_replaced(graph, tmp_path):
    save_model(graph, tmp_path / "a.h5", {"n": 1})
    changed = graph.copy()
    changed.set_weights("skip_sum", {"lambda": np.float32(-0.3)})
    save_model(changed, tmp_path / "a.h5", {"n": 2})
    assert load_graph(tmp_path / "a.h5")["skip_sum"].weights["lambda"] == np.float32(-0.3)
    assert os.listdir(tmp_path) == ["a.h5"]


def test_a_failed_write_keeps_the_old_file_only(graph, tmp_path, monkeypatch):
    save_model(graph, tmp_path / "a.h5", {"n": 1})
    before = (tmp_path / "a.h5").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(graph, tmp_path / "a.h5", {"n": 2})
    assert os.listdir(tmp_path) == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == before


# Keeps a file, then writes another network to it with less and less room.
FULL = """
import os, resource
import numpy as np
from lemonade_tf.architecture.text import from_json
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.operators.initial import initial_weights

graph = initial_weights(from_json(open("graph.json").read()), rng=np.random.default_rng(0))
save_model(graph, "a.h5", {"n": 1})
before = open("a.h5", "rb").read()
for room in (*range(0, len(before), len(before) // 12), len(before) - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    try:
        save_model(graph, "a.h5", {"n": 2})
    except OSError as error:
        print(error.errno)
    assert open("a.h5", "rb").read() == before
    assert sorted(os.listdir()) == ["a.h5", "graph.json"]
resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), resource.RLIM_INFINITY))
save_model(graph, "a.h5", {"n": 2})
assert open("a.h5", "rb").read() != before
"""


@pytest.mark.slow
def test_a_full_disk_raises_os_error(shapes, tmp_path):
    (tmp_path / "graph.json").write_text(to_json(shapes))
    done = subprocess.run(
        [sys.executable, "-c", FULL], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    numbers = set(map(int, done.stdout.split()))
    assert numbers == {errno.EFBIG}
    assert isinstance(disk_error(tmp_path, *numbers), StoreError)


def test_only_the_finished_file_is_written(graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    monkeypatch.setattr(saving, "write_atomic", lambda path, content: found.append(content))
    save_model(graph, "a.h5", {})
    save_model(graph, "a.h5", {})
    assert os.listdir() == []
    assert found[0] == found[1]


def test_a_graph_without_weights_is_refused(shapes, tmp_path):
    with pytest.raises(GraphError, match="has no weights"):
        save_model(shapes, tmp_path / "a.h5", {})


def test_a_deep_network_and_a_long_record_fit(tmp_path):
    graph = Graph()
    at = graph.add("input", kinds.Input((4, 4, 1)))
    for number in range(120):
        at = graph.add(f"conv_{number}", kinds.Conv2D(2), [at])
    graph.output = graph.add("flat", kinds.Flatten(), [at])
    graph = initial_weights(graph, rng=np.random.default_rng(0))
    save_model(graph, tmp_path / "a.h5", {"long": "x" * 200_000})
    assert len(load_graph(tmp_path / "a.h5")) == len(graph)
    assert len(keras.models.load_model(tmp_path / "a.h5", compile=False).layers) == len(graph)


def test_the_file_has_no_optimizer_state(graph, tmp_path):
    save_model(graph, tmp_path / "a.h5", {})
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file) == {"lemonade_tf", "model_weights"}
        assert "training_config" not in file.attrs
