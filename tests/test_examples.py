"""The examples, computed by hand and used in a search."""

import sys
from pathlib import Path

import numpy as np
import pytest
from toy_training import cut, results, toy_search

from examples import crop_kernel, energy
from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as L
from lemonade_tf.config import ConfigError
from lemonade_tf.operators import SiteError
from lemonade_tf.operators.initial import initial_weights
from lemonade_tf.presets import make_config
from lemonade_tf.runs import read_run

OBJECTIVES = ("error", "parameters", "examples.energy:ENERGY")


@pytest.fixture(autouse=True)
def top(monkeypatch):
    """Use the folder that contains `examples` as the current folder."""
    monkeypatch.chdir(Path(__file__).parent.parent)
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_energy_equals_hand_computation():
    graph = Graph()
    graph.add("image", L.Input((4, 4, 2)))
    graph.add("conv", L.Conv2D(3, 3), ["image"])
    graph.add("relu", L.ReLU(), ["conv"])
    graph.add("depthwise", L.DepthwiseConv2D(3), ["relu"])
    graph.output = "depthwise"
    image, layer = 4 * 4 * 2, 4 * 4 * 3
    picojoules = 9 * 2 * layer * 4.6 + 9 * layer * 9.2  # multiply-adds
    picojoules += layer * 4.6 + layer * 0.9 + layer * 4.6  # values
    moved = image + (image + layer) + (layer + layer) + (layer + layer)
    picojoules += 4 * moved * 12.5 + 4 * (9 * 2 * 3 + 9 * 3) * 160
    assert energy.ENERGY.value(graph) == pytest.approx(1e-12 * picojoules)


def test_search_minimizes_energy_and_resumes(tmp_path):
    result = toy_search(tmp_path / "run", objectives=OBJECTIVES, limit={"energy": 1e-3})
    assert result.complete
    run = read_run(tmp_path / "run")
    for line in run.trained:
        values = line.objectives
        assert values["energy"] > 4 * 160e-12 * values["parameters"]  # to read the weights alone
    cut(tmp_path / "cut", 6, objectives=OBJECTIVES, limit={"energy": 1e-3})
    assert toy_search(tmp_path / "cut", in_process=True, resume=True).complete
    assert results(tmp_path / "cut") == results(tmp_path / "run")


def test_a_cropped_kernel_keeps_its_middle():
    graph = Graph()
    graph.add("image", L.Input((8, 8, 2)))
    graph.add("conv", L.Conv2D(3, 5), ["image"])
    graph.add("norm", L.BatchNormalization(), ["conv"])
    graph.output = "norm"
    graph = initial_weights(graph, rng=np.random.default_rng(0))
    (site,) = crop_kernel.CROP.candidates(graph)
    change = crop_kernel.CROP.apply(graph, site, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(
        change.graph["conv"].weights["kernel"], graph["conv"].weights["kernel"][1:4, 1:4]
    )
    assert (change.affected, change.distilled) == (("conv", "norm"), ("conv", "norm"))
    assert not crop_kernel.CROP.candidates(change.graph)
    with pytest.raises(SiteError, match="kernel of 5x5 or more"):
        crop_kernel.CROP.apply(change.graph, site, rng=np.random.default_rng(0))


OPERATORS = ("insert_convolution", "prune_filters", "examples.crop_kernel:CROP")


def test_a_search_with_a_custom_operator_is_killed_and_resumes(tmp_path):
    assert toy_search(tmp_path / "run", operators=OPERATORS).complete
    used = {o["operator"] for line in read_run(tmp_path / "run").history for o in line.operators}
    assert used == {"insert_convolution", "prune_filters", "crop_kernel"}
    cut(tmp_path / "cut", 9, operators=OPERATORS)
    assert toy_search(tmp_path / "cut", in_process=True, resume=True).complete
    assert results(tmp_path / "cut") == results(tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"operators": "prune"}, "--operators: unknown operator 'prune'.* expected one of insert_"),
        ({"operators": "remov"}, "did you mean 'remove'?"),
        ({"operators": "remove,remove"}, "duplicate name"),
        ({"operators": "examples.crop_kernel:NONE"}, "has no attribute 'NONE'. It has CROP."),
        ({"operators": "examples.energy:ENERGY"}, "of type Objective; expected an Operator"),
        ({"operators": "nowhere:X"}, "importing nowhere raised"),
    ],
)
def test_operators_that_cannot_be_found(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        toy_search(tmp_path / "run", in_process=True, **settings)
    assert not (tmp_path / "run").exists()


def test_operators_have_no_effect_on_cells():
    with pytest.raises(ConfigError, match="use --space networks"):
        make_config("quick", operators="remove", space="cells")
