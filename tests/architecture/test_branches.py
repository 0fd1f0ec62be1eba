"""Where Shake-Shake and ScheduledDropPath apply."""

import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.architecture.branches import droppable_paths, shaken_means
from lemonade_tf.baselines import nasnet


def test_the_paths_of_a_nasnet_are_those_of_its_authors():
    graph = nasnet((8, 8, 3), 10, cells_per_block=1, filters=24)
    paths = {(name, graph[name].inputs[index]) for name, index in droppable_paths(graph)}
    last = {(name, source) for name, source in paths if name.startswith("normal_2_0")}
    of = "normal_2_0"
    separable = {
        (f"{of}_{number}", f"{of}_{number}_{side}_b_bn")
        for number, sides in ((1, ("left", "right")), (2, ("left", "right")), (5, ("left",)))
        for side in sides
    }
    pooled = {
        (f"{of}_3", f"{of}_3_left"),
        (f"{of}_4", f"{of}_4_left"),
        (f"{of}_4", f"{of}_4_right"),
    }
    assert last == separable | pooled  # neither identities nor inputs of the concatenation
    assert not shaken_means(graph)


@pytest.mark.parametrize(("name", "paths"), [("cell_2_cat", {1}), ("cell_2_input", set())])
def test_a_skip_and_the_input_of_a_cell_are_no_paths(name, paths):
    graph = Graph()
    at = graph.add("input", kinds.Input((4, 4, 1)))
    start = graph.add("start", kinds.Conv2D(2, 3), [at])
    end = graph.add("end", kinds.Conv2D(2, 3), [start])
    graph.output = graph.add(name, kinds.Concatenate(), [start, end])
    assert droppable_paths(graph) == {(name, index) for index in paths}


def test_means_of_two_are_shaken():
    graph = Graph()
    at = graph.add("input", kinds.Input((4, 4, 1)))
    names = [graph.add(f"conv_{i}", kinds.Conv2D(2, 3), [at]) for i in range(3)]
    graph.output = graph.add("three", kinds.Average(), names)
    assert not shaken_means(graph)
    graph.output = graph.add("two", kinds.Average(), [names[0], "three"])
    assert shaken_means(graph) == {"two"}
    assert droppable_paths(graph) == {("three", 1), ("three", 2)}
