"""Augmented networks of a run of cells, and their files."""

import numpy as np
import pytest
from toy_training import toy_search

from lemonade_tf import load_graph
from lemonade_tf.architecture import check
from lemonade_tf.architecture.branches import shaken_means
from lemonade_tf.architecture.cells import extract_cell, in_block
from lemonade_tf.architecture.text import from_json, same_architecture
from lemonade_tf.cli import main
from lemonade_tf.keras_bridge import load_record, save_model
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.retraining import augment_run
from lemonade_tf.retraining.augmented import read_augmented
from lemonade_tf.retraining.chosen import choose
from lemonade_tf.runs import read_run

SETTINGS = {"space": "cells", "filters": (16, 32), "num_generations": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a run of cells; of its networks, only those of the front have files."""
    path = tmp_path_factory.mktemp("cells") / "my run"
    toy_search(path, in_process=True, **SETTINGS)
    run = read_run(path)
    for record in run.front():
        file = run.store.models.path(record.id)
        graph = initial_weights(from_json(file.read_text()), rng=np.random.default_rng(1))
        save_model(graph, file, {"id": record.id})
    return path


@pytest.fixture(scope="module")
def run(folder):
    return read_run(folder)


def command(capsys, *arguments):
    try:
        status = main([*map(str, arguments)])
    except SystemExit as ended:
        status = ended.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_network_is_scaled_and_inherits_weights(folder, run):
    record = run.front()[0]
    before = load_graph(run.store.models.path(record.id))
    cell, _, filters = extract_cell(before)
    after = augment_run(folder, record.id, cells_per_block=3).graph
    assert extract_cell(after) == (cell, 3, filters)
    np.testing.assert_array_equal(
        after["stem_conv"].weights["kernel"], before["stem_conv"].weights["kernel"]
    )
    scaled, _, _ = extract_cell(augment_run(folder, record.id, filters=64).graph)
    assert scaled == cell.scaled(64)


def test_a_network_without_a_file_is_rebuilt(capsys, folder, run):
    gone = next(r.id for r in run.history if not run.store.models.path(r.id).exists())
    status, out, err = command(
        capsys, "augment", folder, gone, "--cells_per_block", 1, "--filters", 24
    )
    path = folder / "augmented" / f"{gone}-n1-F24.h5"
    assert (status, err) == (0, "")
    assert out.splitlines()[1] == f"Train it with lemonade-tf retrain '{folder}' '{path}'"
    graph = load_graph(path)
    _, cells_per_block, filters = extract_cell(graph)
    assert (cells_per_block, filters) == (1, 24)
    assert graph.has_weights
    chosen = choose(run, [str(path), run.front()[0].id])
    network = chosen[f"{gone}-n1-F24"]
    assert (network.source, network.search_error) == (str(path), None)
    assert network.objectives == {"parameters": network.objectives["parameters"]}
    assert same_architecture(read_augmented(run, path).graph, graph)


def test_a_cell_in_a_shake_shake_network(capsys, folder, run):
    record = run.front()[0]
    before = load_graph(run.store.models.path(record.id))
    cell, _, _ = extract_cell(before)
    options = "--shake_shake", "--cells_per_block", 1, "--filters", 16
    status, out, err = command(capsys, "augment", folder, record.id, *options)
    id_ = f"{record.id}-shake-n1-F16"
    path = folder / "augmented" / f"{id_}.h5"
    assert (status, err) == (0, "")
    assert out.splitlines()[1].endswith(f"retrain '{folder}' '{path}' --shake_shake")
    graph = load_graph(path)
    check(graph)
    assert same_architecture(read_augmented(run, path).graph, graph)
    assert list(choose(run, [str(path)])) == [id_]
    assert shaken_means(graph) == {f"block_{stage}_1_mean" for stage in (1, 2, 3)}
    scaled = cell.scaled(16).nodes
    for stage in range(3):
        for part in "ab":
            for name, node in scaled.items():
                found = graph[f"block_{stage + 1}_1_{part}_{name}"].layer
                assert found == in_block(node.layer, 2**stage)
    assert graph["rescaling"].layer == before["rescaling"].layer


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--filters", 10], 2, "--filters is 10; expected a positive multiple of 4"),
        (["--cells_per_block", 0], 2, "--cells_per_block is 0; expected 1 to"),
        (["--shake_shake", "--cells_per_block", 10**7], 2, "is 10000000; expected 1 to"),
        (["--shake_shake", "--filters", 10], 2, "--filters is 10; expected a positive multiple"),
        (["--cells_per_block", 10**7], 2, "--cells_per_block is 10000000; expected 1 to"),
        (["--filters", 4 * 10**6], 2, "--filters is 4000000; the weights of such a network do not"),
        (["--filters", "many"], 2, "--filters: invalid int value: 'many'"),
        (["--output", "a.keras"], 2, "--output is a.keras; expected the suffix .h5"),
        (["--output", __file__.removesuffix(".py")], 2, "expected the suffix .h5"),
    ],
)
def test_impossible_options_are_one_line(capsys, folder, run, options, status, words):
    found, out, err = command(capsys, "augment", folder, run.front()[0].id, *options)
    assert (found, out, len(err.splitlines())) == (status, "", 1)
    assert words in err


def test_other_files_and_runs_are_refused(capsys, folder, run, tmp_path):
    id_ = run.front()[0].id
    augmented = augment_run(folder, id_, cells_per_block=1, output=tmp_path / "small.h5")
    augmented.write()
    augmented.write()
    assert load_record(tmp_path / "small.h5")["id"].startswith(f"{id_}-n1-F")
    toy_search(tmp_path / "other", in_process=True, num_generations=1)
    networks = tmp_path / "other"
    refused = {
        ("augment", folder, "9-9"): "has no network 9-9",
        ("augment", networks, "0-0"): "a run in the space 'networks'; only networks of cells",
        ("augment", folder, id_, "--output", tmp_path / "small.h5"): "small.h5 exists; choose",
        ("retrain", networks, tmp_path / "small.h5"): "is a network of another run than",
        ("retrain", folder, tmp_path / "none.h5"): "none.h5 does not exist",
        ("retrain", folder, run.store.models.path(id_)): "is not an augmented network",
    }
    for arguments, words in refused.items():
        status, out, err = command(capsys, *arguments)
        assert (out, len(err.splitlines())) == ("", 1)
        assert status in (1, 2)
        assert words in err
