import numpy as np
import pytest

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as kinds
from lemonade_tf.inheritance.activations import max_batch_size, walk


def diamond():
    graph = Graph()
    graph.add("input", kinds.Input((4, 4, 2)))
    graph.add("left", kinds.Conv2D(2), ["input"])
    graph.add("right", kinds.ReLU(), ["input"])
    graph.add("sum", kinds.Add(), ["left", "right"])
    graph.output = graph.add("end", kinds.ReLU(), ["sum"])
    return graph


def visited(known, until, keep=()):
    """Walk with numbers instead of images: each node outputs 1 + the sum of its inputs."""
    names, values = [], {}

    def compute(name, inputs):
        names.append(name)
        values[name] = 1 + sum(inputs)
        return values[name]

    return names, walk(diamond(), known, until, compute, keep=keep)


def test_walk_computes_ancestors_only_in_topological_order():
    assert visited({"input": 0}, ["right"]) == (["right"], {})
    names, kept = visited({"input": 0}, ["sum"], keep=["left", "sum"])
    assert names[-1] == "sum"
    assert sorted(names) == ["left", "right", "sum"]
    assert kept == {"left": 1, "sum": 3}


def test_walk_does_not_compute_known_values():
    names, kept = visited({"left": 10, "right": 20}, ["end"], keep=["end", "left"])
    assert names == ["sum", "end"]
    assert kept == {"end": 32, "left": 10}


def test_walk_releases_values_after_their_last_consumer():
    alive, peak = [0], [0]

    class Value:
        def __init__(self):
            alive[0] += 1
            peak[0] = max(peak[0], alive[0])

        def __del__(self):
            alive[0] -= 1

    chain = Graph()
    chain.add("input", kinds.Input((4, 4, 2)))
    at = "input"
    for number in range(20):
        at = chain.add(f"relu_{number}", kinds.ReLU(), [at])
    chain.output = at
    walk(chain, {"input": Value()}, [at], lambda name, inputs: Value())
    assert peak[0] <= 4


@pytest.mark.parametrize(("size", "expected"), [(4, 256), (1024, 4)])
def test_max_batch_size_limits_the_largest_activation(size, expected):
    graph = Graph()
    graph.add("input", kinds.Input((size, size, 1)))
    graph.output = graph.add("conv", kinds.Conv2D(16), ["input"])
    assert max_batch_size(graph, 256) == expected


def test_walk_keeps_arrays():
    ones = np.ones((2, 4, 4, 2))
    kept = walk(diamond(), {"input": ones}, ["sum"], lambda _, i: sum(i), keep=["sum"])
    np.testing.assert_array_equal(kept["sum"], 2)
