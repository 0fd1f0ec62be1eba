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
    with pytest.raises(FileError, match=r"copy\.h5 contains a bro.*model_weights has no 'conv'"):
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


# --- Files of strangers --------------------------------------------------------------------------

KERNEL = "model_weights/conv/conv/kernel"


def _elsewhere(file, folder):
    """Write the kernel of a file to other files; return their paths and its shape."""
    values = file[KERNEL][()]
    values.tofile(folder / "secret.bin")
    with h5py.File(folder / "secret.h5", "w") as secret:
        secret["kernel"] = values
    del file[KERNEL]
    return folder / "secret.bin", folder / "secret.h5", values


def _external_storage(file, folder):
    secret, _, values = _elsewhere(file, folder)
    file.create_dataset(KERNEL, values.shape, "<f4", external=[(secret, 0, values.nbytes)])


def _virtual_dataset(file, folder):
    _, secret, values = _elsewhere(file, folder)
    layout = h5py.VirtualLayout(values.shape, "f4")
    layout[...] = h5py.VirtualSource(secret, "kernel", values.shape)
    file.create_virtual_dataset(KERNEL, layout)


def _external_link(file, folder):
    _, secret, _ = _elsewhere(file, folder)
    file[KERNEL] = h5py.ExternalLink(secret, "/kernel")


def _external_group(file, folder):
    with h5py.File(folder / "groups.h5", "w") as other:
        file.copy("model_weights", other)
    del file["model_weights"]
    file["model_weights"] = h5py.ExternalLink(folder / "groups.h5", "/model_weights")


def _external_text(file, folder):
    with h5py.File(folder / "text.h5", "w") as other:
        file.copy("lemonade_tf", other)
    del file["lemonade_tf"]
    file["lemonade_tf"] = h5py.ExternalLink(folder / "text.h5", "/lemonade_tf")


def _soft_link(file, folder):
    file["other"] = file[KERNEL][()]
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/other")


def _compressed(file, folder):
    values = file[KERNEL][()]
    del file[KERNEL]
    file.create_dataset(KERNEL, data=values, compression="gzip")


def _never_stored(file, folder):
    values = file[KERNEL][()]
    del file[KERNEL]
    file.create_dataset(KERNEL, values.shape, "<f4", chunks=values.shape)


def _large_chunks(file, folder):
    values = file[KERNEL][()]
    del file[KERNEL]
    file.create_dataset(
        KERNEL, data=values, chunks=(16, 16, 16, 16), maxshape=(None, None, None, None)
    )


def _a_text(file, folder):
    del file[KERNEL]
    file[KERNEL] = "text"


def _a_group(file, folder):
    del file[KERNEL]
    file.create_group(KERNEL)


def _numbers_instead_of_text(file, folder):
    del file["lemonade_tf"]
    file["lemonade_tf"] = np.zeros(3)


def _group_instead_of_text(file, folder):
    del file["lemonade_tf"]
    file.create_group("lemonade_tf")


def _text_of_fixed_length(file, folder):
    text = file["lemonade_tf"][()]
    del file["lemonade_tf"]
    file["lemonade_tf"] = np.bytes_(text)


def _as_content(change):
    """Return an edit of the JSON in a file."""

    def edit(file, folder):
        content = json.loads(file["lemonade_tf"].asstr()[()])
        del file["lemonade_tf"]
        file["lemonade_tf"] = change(content)

    return edit


def _with_architecture(**entry):
    def change(content):
        architecture = json.loads(content["architecture"])
        architecture["nodes"][-1] |= entry
        return json.dumps(content | {"architecture": json.dumps(architecture)})

    return _as_content(change)


REFUSED = {
    "external storage": (_external_storage, "kernel is stored in another file"),
    "virtual dataset": (_virtual_dataset, "kernel is stored in another file"),
    "external link": (_external_link, "kernel is a link to another place"),
    "external group": (_external_group, "model_weights is a link to another place"),
    "external text": (_external_text, "lemonade_tf is a link to another place"),
    "soft link": (_soft_link, "kernel is a link to another place"),
    "compressed": (_compressed, "kernel is compressed, .* h5repack"),
    "never stored": (_never_stored, r"kernel declares [0-9,]+ bytes, more than are stored"),
    "large chunks": (_large_chunks, "kernel has chunks that are larger than its values"),
    "a text": (_a_text, r"kernel has shape \(\); expected"),
    "a group": (_a_group, "kernel has shape None; expected"),
    "numbers instead of text": (_numbers_instead_of_text, "is not a single text"),
    "a group instead of text": (_group_instead_of_text, "is a group; expected values"),
    "text of fixed length": (_text_of_fixed_length, "is not a single text"),
    "deep JSON": (_as_content(lambda _: "[" * 10_000), "nested more than 64 deep"),
    "a list": (_as_content(lambda _: "[]"), "has no architecture; expected a file that"),
    "NaN": (_as_content(lambda _: '{"record": NaN}'), "it contains NaN"),
    "a long integer": (_as_content(lambda _: "9" * 999), "an integer of 999 digits"),
    "long text": (_as_content(lambda _: " " * 2**22 + "1"), r"4,194,305 bytes; expected at mo"),
    "no record": (
        _as_content(lambda content: json.dumps(content | {"record": []})),
        "has no record; expected a file that",
    ),
    "another architecture": (
        _as_content(lambda content: json.dumps(content | {"architecture": "[[[[[["})),
        "contains a broken network: this is not an architecture",
    ),
    "more units": (
        _with_architecture(layer="Dense", arguments={"units": 10**12}),
        "/model_weights/softmax has no 'softmax'",
    ),
    "lambda": (_with_architecture(**{"lambda": "half"}), "this is not an architecture"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_refers_elsewhere_or_declares_too_much_is_refused(path, tmp_path, case):
    edit, message = REFUSED[case]
    copy = edited(path, tmp_path, lambda file: edit(file, tmp_path))
    with pytest.raises(FileError, match=message) as refused:
        load_graph(copy)
    assert str(refused.value).startswith(f"{copy} ")
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 800


@pytest.mark.parametrize("dtype", ["f2", "f8", "i8"])
def test_numbers_of_other_types_and_chunks_are_read(path, tmp_path, dtype, graph):
    def edit(file):
        values = file[KERNEL][()]
        del file[KERNEL]
        chunks = tuple(max(1, size // 2) for size in values.shape)
        file.create_dataset(KERNEL, data=values.astype(dtype), chunks=chunks)

    found = load_graph(edited(path, tmp_path, edit))["conv"].weights["kernel"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, graph["conv"].weights["kernel"].astype(dtype))


def test_weights_stored_in_one_place_take_no_more_memory_than_the_file(tmp_path):
    """A file of half a megabyte, in which 40 layers have the same half a megabyte of weights."""
    units, nodes = 360, [{"name": "input", "layer": "Input", "inputs": []}]
    nodes[0]["arguments"] = {"shape": [1, 1, units]}
    with h5py.File(tmp_path / "shared.h5", "w") as file:
        file["kernel"] = np.zeros((units, units), np.float32)
        for number in range(40):
            name = f"dense_{number}"
            arguments = {"units": units, "use_bias": False}
            inputs = [nodes[-1]["name"]]
            nodes.append({"name": name, "layer": "Dense", "arguments": arguments, "inputs": inputs})
            file[f"model_weights/{name}/{name}/kernel"] = file["kernel"]  # a hard link
        architecture = {"format": 1, "output": name, "nodes": nodes}
        file["lemonade_tf"] = json.dumps({"architecture": json.dumps(architecture), "record": {}})
    with pytest.raises(FileError, match="declares 518,400 bytes, more than are stored in the file"):
        load_graph(tmp_path / "shared.h5")


def test_a_text_whose_two_lengths_differ_is_refused(path, tmp_path):
    content = path.read_bytes()
    with h5py.File(path) as file:
        place = file["lemonade_tf"].id.get_offset()
    for length in (3, 2**22, 2**31):
        copy = tmp_path / "copy.h5"
        copy.write_bytes(content[:place] + length.to_bytes(4, "little") + content[place + 4 :])
        with pytest.raises(FileError, match=r"has a text of [0-9,]+ bytes; expected|at most 4,194"):
            load_graph(copy)


def test_what_is_not_a_file_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"is not a file; expected the \.h5 file of a network"):
        load_graph(tmp_path)
