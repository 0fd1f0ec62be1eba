import numpy as np
import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.inheritance.activations import num_images_at_once, walk


def diamond():
    graph = Graph()
    graph.add("input", kinds.Input((4, 4, 2)))
    graph.add("left", kinds.Conv2D(2), ["input"])
    graph.add("right", kinds.ReLU(), ["input"])
    graph.add("sum", kinds.Add(), ["left", "right"])
    graph.output = graph.add("end", kinds.ReLU(), ["sum"])
    return graph


def visited(known, until, keep=()):
    """Walk with numbers in place of images: each node puts out 1 + the sum of its inputs."""
    names, values = [], {}

    def compute(name, inputs):
        names.append(name)
        values[name] = 1 + sum(inputs)
        return values[name]

    return names, walk(diamond(), known, until, compute, keep=keep)


def test_only_what_is_needed_is_computed_inputs_first():
    assert visited({"input": 0}, ["right"]) == (["right"], {})
    names, kept = visited({"input": 0}, ["sum"], keep=["left", "sum"])
    assert names[-1] == "sum"
    assert sorted(names) == ["left", "right", "sum"]
    assert kept == {"left": 1, "sum": 3}


def test_what_is_known_is_not_computed():
    names, kept = visited({"left": 10, "right": 20}, ["end"], keep=["end", "left"])
    assert names == ["sum", "end"]
    assert kept == {"end": 32, "left": 10}


def test_values_are_dropped_once_they_are_read():
    alive, most = [0], [0]

    class Value:
        def __init__(self):
            alive[0] += 1
            most[0] = max(most[0], alive[0])

        def __del__(self):
            alive[0] -= 1

    chain = Graph()
    chain.add("input", kinds.Input((4, 4, 2)))
    at = "input"
    for number in range(20):
        at = chain.add(f"relu_{number}", kinds.ReLU(), [at])
    chain.output = at
    walk(chain, {"input": Value()}, [at], lambda name, inputs: Value())
    assert most[0] <= 4


@pytest.mark.parametrize(("size", "expected"), [(4, 256), (1024, 4)])
def test_fewer_images_where_they_are_large(size, expected):
    graph = Graph()
    graph.add("input", kinds.Input((size, size, 1)))
    graph.output = graph.add("conv", kinds.Conv2D(16), ["input"])
    assert num_images_at_once(graph, 256) == expected


def test_values_may_be_arrays():
    ones = np.ones((2, 4, 4, 2))
    kept = walk(diamond(), {"input": ones}, ["sum"], lambda _, i: sum(i), keep=["sum"])
    np.testing.assert_array_equal(kept["sum"], 2)
