"""The examples, computed by hand and used in a search."""

import sys
from pathlib import Path

import pytest
from toy_training import cut, results, toy_search

from examples import energy
from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as L
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
