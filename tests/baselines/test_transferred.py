import pytest
from runs import CONFIG, line, make_run, with_settings

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.baselines import transferred, wide_resnet
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


TASK = {"input_shape": (64, 64, 3), "num_classes": 1000, "rescaling": DEFAULT_RESCALING}
NETWORKS = "mobilenet_v1-0.25", "mobilenet_v2-0.3", "nasnet-n2-F96", "wrn-12-1"


def test_baselines_of_any_size_by_their_ids():
    graphs = baseline_networks(**TASK, names=NETWORKS)
    assert tuple(graphs) == NETWORKS
    assert not any(graph.has_weights for graph in graphs.values())
    for graph in graphs.values():
        assert graph.shapes()[graph.output] == (1000,)
    four_groups = wide_resnet(**TASK, depth=12, width=1, num_groups=4)
    assert count_parameters(graphs["wrn-12-1"]) == count_parameters(four_groups)
    small = baseline_networks((32, 32, 3), 10, rescaling=DEFAULT_RESCALING, names=["wrn-10-1"])
    assert "block_3_1" in small["wrn-10-1"]
    assert "block_4_1" not in small["wrn-10-1"]


def test_a_kind_of_baselines_has_the_sizes_of_the_papers(monkeypatch):
    monkeypatch.setattr(transferred, "_baseline", lambda id_, task: Graph())
    ids = list(baseline_networks(**TASK))
    alphas = ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0", "1.1", "1.2"]
    assert ids[:12] == [f"mobilenet_v2-{alpha}" for alpha in alphas]
    assert (ids[12], ids[31], len(ids)) == ("nasnet-n2-F96", "nasnet-n8-F1536", 36)
    assert ids[32:] == ["wrn-36-1", "wrn-36-2", "wrn-36-3", "wrn-36-5"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet", "baseline resnet is unknown; expected mobilenet_v2, nasnet, wrn for all sizes"),
        ("mobilenet_v2-", "baseline mobilenet_v2- is unknown"),
        ("mobilenet_v2-0", "mobilenet_v2-0 cannot be built: alpha is 0.0, which leaves no channel"),
        ("nasnet-n2-F95", "cannot be built: filters is 95; expected a positive multiple of 24"),
        ("wrn-36-99999", "baseline wrn-36-99999 is unknown"),
        ("wrn-35-1", "cannot be built: depth is 35; expected 4 plus a positive multiple of 8"),
    ],
)
def test_a_baseline_that_does_not_exist_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        baseline_networks(**TASK, names=[name])
