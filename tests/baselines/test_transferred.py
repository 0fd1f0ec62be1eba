import pytest
from runs import CONFIG, line, make_run, with_settings

from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.baselines.transferred import (
    baseline_networks,
    cell_networks,
    find_cells,
    spread,
)
from lemonade_tf.config import ConfigError
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.runs import read_run
from lemonade_tf.search_spaces import CellSpace
from lemonade_tf.search_spaces.space import DEFAULT_RESCALING

SPACE = CellSpace(filters=(16, 32), cells_per_block=1)
SIZES = {"alphas": (0.3,), "cells_per_block": (2,), "filters": (96,), "widths": (1,)}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of cells with a front of two: that of one convolution is the largest."""
    graphs = SPACE.initial_graphs((8, 8, 1), 4)
    chosen = graphs[0], graphs[-1]
    history = [
        line(f"0-{i}", 0.3 - i / 10, count_parameters(graph)) for i, graph in enumerate(chosen)
    ]
    folder = tmp_path_factory.mktemp("transferred") / "run"
    make_run(folder, history, with_settings(CONFIG, space="cells"))
    for number, graph in enumerate(chosen):
        save_model(graph, folder / "models" / f"0-{number}.h5", {})
    return read_run(str(folder))


def test_cells_are_spread_over_all_sizes():
    assert spread(21, 5) == [0, 5, 10, 15, 20]
    assert spread(2, 5) == [0, 1]
    assert spread(1, 5) == [0]


def test_cell_0_is_that_of_the_largest_network(run):
    cells = find_cells(run)
    assert list(cells) == [0, 1]
    assert "conv_1" in cells[0].nodes
    assert type(cells[0].nodes["conv_1"].layer).__name__ == "Conv2D"
    assert type(cells[1].nodes["conv_1"].layer).__name__ == "SeparableConv2D"
    assert list(find_cells(run, [1])) == [1]
    with pytest.raises(ConfigError, match=r"has no Cell 2; expected 0, the largest, to 1\."):
        find_cells(run, [0, 2])


def test_cells_are_built_with_all_n_and_f(run):
    graphs = cell_networks(
        find_cells(run, [1]),
        (64, 64, 3),
        1000,
        rescaling=DEFAULT_RESCALING,
        cells_per_block=(1, 2),
        filters=(64,),
    )
    assert list(graphs) == ["cell1-n1-F64", "cell1-n2-F64"]
    for n, graph in zip((1, 2), graphs.values(), strict=True):
        assert extract_cell(graph)[1:] == (n, 64)
        assert graph.shapes()[graph.input] == (64, 64, 3)
        assert graph.shapes()[graph.output] == (1000,)


def test_a_run_of_networks_is_refused(tmp_path):
    run = read_run(str(make_run(tmp_path / "run")))
    with pytest.raises(ConfigError, match="in the space 'networks'; expected one of `search --sp"):
        find_cells(run)


def test_baselines_have_the_sizes_of_the_papers():
    graphs = baseline_networks((64, 64, 3), 1000, rescaling=DEFAULT_RESCALING, **SIZES)
    assert list(graphs) == ["mobilenet_v2-0.3", "nasnet-n2-F96", "wrn-36-1"]
    assert not any(graph.has_weights for graph in graphs.values())
    for graph in graphs.values():
        assert graph.shapes()[graph.output] == (1000,)
