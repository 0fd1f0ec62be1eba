"""Every export computes what the network does, in its own runtime; a failed one leaves no file."""

import ast
import errno
import os
import runpy
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from runs import change_settings, with_settings

from lemonade_tf.cli import main
from lemonade_tf.export import (
    FORMATS,
    ExportError,
    benchmarking,
    checking,
    export,
    exporting,
    micro,
    network_source,
    publishing,
    running,
    writing,
)
from lemonade_tf.export.c_source import array_bytes, c_identifier
from lemonade_tf.keras_bridge import load_graph, load_model, save_model
from lemonade_tf.objectives.boards import find_board
from lemonade_tf.objectives.int8_size import int8_arena, int8_bytes
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.retraining import RetrainError
from lemonade_tf.runs import read_run
from lemonade_tf.runs.choosing import parse_rule, with_limits
from lemonade_tf.search_spaces import NETWORKS
from lemonade_tf.store import StoreError

CLASSES = ("top left", "top right", 'bottom "left"', "bottom right")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KINDS = [
    (name, quantize)
    for name, each in FORMATS.items()
    for quantize in (("none", "float16", "int8") if each.default_quantize else (None,))
]


def _skip_unless_installed(name):
    if FORMATS[name].missing_packages():
        pytest.skip(f"needs {FORMATS[name].missing_packages()}")


def _nonsense(images):
    return np.tile(np.float32([2, 0, 0, 0]), (len(images), 1))


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("name", "quantize"), KINDS)
def test_every_format(run, tmp_path, name, quantize):
    _skip_unless_installed(name)
    output = tmp_path / f"out{FORMATS[name].suffix}"
    exported = export(run, "0-0", name, quantize=quantize, output=output)
    found = exported.comparison
    assert exported.files[0] == output
    assert files_in(tmp_path) == sorted(path.name for path in exported.files)
    assert (tmp_path / "out.labels.txt").read_text() == "".join(f"{each}\n" for each in CLASSES)
    assert (found.num_images, found.part) == (60, "test")
    limit = {"int8": 0.2, "float16": 0.01}.get(quantize, 1e-5)
    assert 0 <= found.largest_difference < limit
    assert abs(found.loss) <= (0.1 if quantize == "int8" else 0)
    assert exported.num_bytes > 2_000


def test_a_python_file_needs_only_keras(run, tmp_path):
    export(run, "0-0", "python", output=tmp_path / "net.py")
    text = (tmp_path / "net.py").read_text()
    nodes = ast.walk(ast.parse(text))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert list(map(ast.unparse, imports)) == ["from pathlib import Path", "import keras"]
    made = runpy.run_path(str(tmp_path / "net.py"))
    assert made["CLASS_NAMES"] == list(CLASSES)
    assert "BatchNormalization" not in text
    assert made["build_model"]().count_params() == made["load_model"]().count_params()


def test_c_source_contains_the_int8_file_and_the_classes(run, tmp_path):
    export(run, "retrained/0-0", "c", output=tmp_path / "0-0.c")
    export(run, "0-0", "tflite", quantize="int8", output=tmp_path / "0-0.tflite")
    source, header = ((tmp_path / f"0-0.{kind}").read_text() for kind in "ch")
    assert array_bytes(source) == (tmp_path / "0-0.tflite").read_bytes()
    assert 'network_0_0_labels[4] = {"top left", "top right", "bottom \\"left\\""' in source
    assert "clipped to 0 to 255" in header
    assert c_identifier("MobileNet v2") == "mobilenet_v2"


@pytest.mark.slow
def test_a_keras_file_of_the_user_and_without_folding(run, tmp_path):
    model = load_model(run / "models" / "0-0.h5")
    model.save(tmp_path / "mine.keras")
    exported = export(run, str(tmp_path / "mine.keras"), "keras", fold=False)
    assert exported.files[0] == run / "exports" / "mine.keras"
    again = keras.models.load_model(exported.files[0])
    assert again.count_params() == model.count_params()


def test_a_network_for_other_images_is_refused(run, tmp_path):
    [graph, *_] = NETWORKS.initial_graphs((4, 4, 1), 4)
    save_model(initial_weights(graph, rng=np.random.default_rng(0)), tmp_path / "other.h5", {})
    with pytest.raises(ExportError, match=r"from \(4, 4, 1\) to \(4,\); expected \(8, 8, 1\)"):
        export(run, str(tmp_path / "other.h5"), "keras")


def test_a_file_that_computes_something_else_is_removed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "load", lambda path, format: running.Running(_nonsense, None))
    with pytest.raises(ExportError, match=r"differ by up to .* expected at most 0.001"):
        export(run, "0-0", "h5", output=tmp_path / "net.h5")
    assert not files_in(tmp_path)
    with pytest.raises(ExportError, match="the error of the exported file on 60 test images"):
        export(run, "0-0", "tflite", quantize="int8", output=tmp_path / "net.tflite")
    assert not files_in(tmp_path)


def test_what_a_killed_export_left_is_removed_by_the_next(tmp_path):
    program = subprocess.Popen([sys.executable, "-c", ""])
    program.wait()
    left, running = (
        tmp_path / f"{publishing._prefix(number)}x" for number in (program.pid, os.getpid())
    )
    for folder in (left, running):
        folder.mkdir()
        (folder / "net.tflite").write_bytes(b"half")
    with publishing.unfinished_folder(tmp_path / "net.tflite") as folder:
        assert files_in(tmp_path) == sorted([running.name, folder.name])


def test_a_missing_package_and_wrong_options_are_usage_messages(run, monkeypatch):
    monkeypatch.setattr("lemonade_tf.export.formats.find_spec", lambda name: None)
    with pytest.raises(ExportError, match="run pip install tf2onnx onnx onnxruntime"):
        export(run, "0-0", "onnx")
    for options, message in (
        ({"format": "tflit"}, "did you mean 'tflite'"),
        ({"format": "h5", "quantize": "int8"}, "has no effect on the format h5; omit it, or use"),
        ({"format": "h5", "output": "x.keras"}, "expected the suffix .h5"),
        ({"format": "h5", "output": run}, "expected the suffix .h5"),
    ):
        with pytest.raises(ExportError, match=message):
            export(run, "0-0", **options)
    with pytest.raises(ExportError, match="is not a file; expected the id of a network"):
        export(run, "none.keras", "h5")


def test_the_commands(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmarking, "KINDS", (("h5", "none"), ("tflite", "int8")))
    monkeypatch.setattr("lemonade_tf.cli.export_commands.REPORTED_LOSS", -1)
    board = tmp_path / "tiny.json"
    board.write_text('{"flash": 140000, "ram": 40000}')
    arguments = [str(run), "0-0", "--format", "tflite", "--quantize", "int8"]
    assert main(["export", *arguments, "--board", "nano33"]) == 0
    printed = capsys.readouterr().out
    assert "Difference" in printed
    assert "on 60 test images" in printed
    assert "FITS nano33:" in printed
    assert "percentage points; export --fine_tune 10 trains the network for int8." in printed
    assert main(["export", *arguments, "--board", str(board)]) == 3
    assert "DOES NOT FIT tiny:" in capsys.readouterr().out
    assert main(["benchmark", str(run), "--best", "knee"]) == 0
    printed = capsys.readouterr().out
    assert "Network     0-0, the best by 'knee'" in printed
    assert "tflite int8: int8 loses" in printed
    assert "Network 0-0 on 60 test images" in printed


def test_the_network_is_an_id_or_the_best_by_a_rule(run, tmp_path, capsys):
    small = tmp_path / "small.json"
    small.write_text('{"flash": 132000, "ram": 400000}')
    command = ["export", str(run), "--format", "h5"]
    assert main(command) == 2
    assert "export needs an ID, or --best RULE" in capsys.readouterr().err
    assert main([*command, "--best", "smallest: error<=0.4"]) == 1
    assert "none of the 1 networks of the front fits error<=0.4" in capsys.readouterr().err
    assert main([*command, "--best", "knee", "--board", str(small)]) == 3
    printed = capsys.readouterr().err
    assert "DOES NOT FIT small: none of the 1 networks" in printed
    assert "fits int8_bytes<=928, int8_arena<=367,232" in printed
    assert main([*command, "--best", "smallest: error<=0.4", "--board", str(small)]) == 1
    assert "DOES NOT FIT" not in capsys.readouterr().err
    assert main([*command, "0-0", "--best", "knee"]) == 2
    assert "--best chooses a network, and 0-0 is one" in capsys.readouterr().err
    rule = with_limits(parse_rule("knee: error<=5%, latency<=1"), {"error": 0.2, "latency": 0.5})
    assert rule.limits == {"error": 0.05, "latency": 0.5}
    limits = find_board("esp32-s3").limits
    assert limits == {"int8_bytes": 7680 * 1024, "int8_arena": 243_456}


def _no_images(*args):
    raise AssertionError("images were read")


def test_a_folder_that_cannot_be_written_to_is_found_first(run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "opened", _no_images)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file: .*; expected a folder"):
        export(run, "0-0", "h5", output=tmp_path / "file" / "net.h5")
    with pytest.raises(StoreError, match="9-9"):
        export(run, "9-9", "h5", output=tmp_path / "new" / "net.h5")
    with pytest.raises(AssertionError):
        export(run, "0-0", "h5", output=tmp_path / "new" / "net.h5")
    assert files_in(tmp_path) == ["file"]


def test_a_full_disk(run, tmp_path, monkeypatch):
    graph = load_graph(run / "models" / "0-0.h5")
    content, needed = writing.Content("net", graph, (), np.zeros((0, 8, 8, 1))), []
    with monkeypatch.context() as patched:
        usage = lambda folder: type("Usage", (), {"free": 50_000})  # noqa: E731
        patched.setattr(writing.shutil, "disk_usage", usage)
        for format in FORMATS.values():
            with pytest.raises(StoreError, match="No space left on device; free some space"):
                writing.write(content, format, "none", tmp_path, "net")
    failures = [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError("SaveV2: variables; No space left on device"),
    ]
    for failure in failures:
        needed.clear()

        def full(*args, failure=failure):
            needed.append(args)
            raise failure

        monkeypatch.setattr(writing, "_WRITERS", {"h5": full})
        with pytest.raises(StoreError, match="No space left on device; free some space"):
            writing.write(content, FORMATS["h5"], "none", tmp_path, "net")
        assert len(needed) == 1
    with pytest.raises(ExportError, match=r"int8 needs training images.*--quantize float16"):
        writing.lite_content(content, "int8")


def test_a_data_set_that_has_moved(run, tmp_path, monkeypatch):
    read = read_run(run)
    settings = with_settings(read.config, dataset="no/images.npz").settings
    read.config.settings["dataset"] = settings["dataset"]
    monkeypatch.setattr(exporting, "read_run", lambda path: read)
    with pytest.raises(RetrainError, match=r"no/images.npz does not exist.*move it back or put"):
        export(run, "0-0", "h5", output=tmp_path / "new" / "net.h5")
    assert not files_in(tmp_path)


def test_front_measures_int8_sizes(run, tmp_path, capsys):
    board = tmp_path / "tiny.json"
    board.write_text('{"flash": 160000, "ram": 400000}')
    assert main(["front", str(run), "--measure", "--board", str(board)]) == 0
    exported = export(run, "0-0", "tflite", quantize="int8", output=tmp_path / "net.tflite")
    graph = load_graph(run / "models" / "0-0.h5")
    printed = capsys.readouterr().out
    assert f"{int8_bytes(graph):,.0f}" in printed
    assert f"0-0: FITS tiny: {exported.num_bytes:,} of" in printed
    with pytest.raises(SystemExit, match="2"):
        main(["front", str(run), "--measure", "--ids"])


@pytest.mark.skipif(not micro.has_micro(), reason="needs tflite-micro")
def test_the_predicted_size_and_arena_are_those_of_lite_rt_micro(run):
    for name in ("0-0",):
        exported = export(run, name, "tflite", quantize="int8", board="nano33")
        graph = load_graph(run / "models" / f"{name}.h5")
        assert exported.fit.measured
        assert int8_bytes(graph) == pytest.approx(exported.num_bytes, rel=0.05)
        assert int8_arena(graph) == pytest.approx(exported.fit.arena, rel=0.3)


@pytest.mark.parametrize("command", [["export", "--format", "h5"], ["benchmark"]])
def test_pictures_are_read_from_the_cache_of_the_search_unless_another_is_given(
    run, tmp_path, monkeypatch, command
):
    used, search_cache = [], tmp_path / "search"
    copy = shutil.copytree(run, tmp_path / "run")
    change_settings(copy, cache_dir=str(search_cache))

    def seen(run, files, cache_dir):
        used.append(cache_dir)
        raise RetrainError("seen")

    monkeypatch.setattr(network_source, "checked_dataset", seen)
    words = [command[0], str(copy), "0-0", *command[1:]]
    assert main(words) == 1  # the folder does not exist
    search_cache.mkdir()
    assert main(words) == 1
    assert main([*words, "--cache_dir", "other"]) == 1
    assert used == [None, str(search_cache), "other"]
