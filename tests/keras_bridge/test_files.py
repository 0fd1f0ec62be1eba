import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from lemonade_tf.architecture.text import to_json
from lemonade_tf.keras_bridge import FileError, load_graph, load_record, save_model


@pytest.fixture(scope="module")
def path(graph, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "a.h5"
    save_model(graph, path, {"objectives": {"error": 0.25}, "parent": None})
    return path


def test_a_graph_is_loaded_as_it_was_saved(path, graph, assert_same):
    found = load_graph(path)
    assert_same(graph, found)
    assert list(found) == list(graph)
    assert to_json(found) == to_json(graph)


def test_a_record_is_loaded_as_it_was_saved(path):
    assert load_record(str(path)) == {"objectives": {"error": 0.25}, "parent": None}


def test_reading_needs_neither_keras_nor_tensorflow(path):
    code = (
        "import sys\n"
        "from lemonade_tf.keras_bridge import load_graph, load_record\n"
        "graph, record = load_graph(sys.argv[1]), load_record(sys.argv[1])\n"
        "assert graph.has_weights and record\n"
        "print([m for m in ('keras', 'tensorflow') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"none\.h5 does not exist"):
        load_graph(tmp_path / "none.h5")


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "text.h5").write_text("not an HDF5 file")
    with pytest.raises(FileError, match=r"text\.h5 cannot be read as an HDF5 file"):
        load_graph(tmp_path / "text.h5")


def test_a_file_of_another_program_is_refused(tmp_path):
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file.create_group("model_weights")
    with pytest.raises(FileError, match="was not written by lemonade_tf: it has no dataset"):
        load_record(tmp_path / "foreign.h5")


def edited(path, tmp_path, edit):
    copy = tmp_path / "copy.h5"
    copy.write_bytes(path.read_bytes())
    with h5py.File(copy, "a") as file:
        edit(file)
    return copy


def test_missing_weights_are_refused(path, tmp_path):
    copy = edited(path, tmp_path, lambda file: file["model_weights"].__delitem__("conv"))
    with pytest.raises(FileError, match=r"copy\.h5 contains a broken network: node 'conv'"):
        load_graph(copy)


def test_a_later_format_is_refused(path, tmp_path):
    def edit(file):
        content = json.loads(file["lemonade_tf"].asstr()[()])
        architecture = json.loads(content["architecture"]) | {"format": 99}
        del file["lemonade_tf"]
        file["lemonade_tf"] = json.dumps(content | {"architecture": json.dumps(architecture)})

    with pytest.raises(FileError, match="format 99"):
        load_graph(edited(path, tmp_path, edit))


def test_content_that_is_not_json_is_refused(path, tmp_path):
    def edit(file):
        del file["lemonade_tf"]
        file["lemonade_tf"] = "{"

    with pytest.raises(FileError, match=r"copy\.h5 cannot be read: .* is not JSON"):
        load_record(edited(path, tmp_path, edit))


def test_weights_are_float32_and_read_only(path):
    for _, node in load_graph(path).items():
        for value in node.weights.values():
            assert value.dtype == np.float32
            assert not value.flags.writeable
