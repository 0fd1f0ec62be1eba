import numpy as np
import pytest

from lemonade_tf.architecture import GraphError, check
from lemonade_tf.architecture.cells import CellError, extract_cell
from lemonade_tf.architecture.layers import Activation, Dense, Input, Rescaling
from lemonade_tf.architecture.text import same_architecture
from lemonade_tf.operators.initial import inherited_weights
from lemonade_tf.search_spaces import CELLS, NETWORKS
from lemonade_tf.search_spaces.adaptation import adapt_cell_network, adapt_network

RESCALING = Rescaling(1 / 50, -0.5)


@pytest.fixture
def graph():
    return NETWORKS.initial_graphs((8, 8, 1), 10, rng=np.random.default_rng(0))[1]


class TestAdaptNetwork:
    def test_the_same_data_changes_only_the_rescaling(self, graph):
        new = adapt_network(graph, (8, 8, 1), 10, RESCALING)
        assert not new.has_weights
        assert new["rescaling"].layer == RESCALING
        new.set_layer("rescaling", graph["rescaling"].layer)
        assert same_architecture(new, graph)

    def test_other_images_and_classes(self, graph):
        new = adapt_network(graph, (32, 32, 3), 100, RESCALING)
        check(new)
        assert new[new.input].layer == Input((32, 32, 3))
        assert new.shapes()[new.output] == (100,)
        assert graph["logits"].layer == Dense(10)

    def test_weights_of_the_same_shapes_are_inherited(self, graph):
        shapes = adapt_network(graph, (32, 32, 3), 7, RESCALING)
        new = inherited_weights(shapes, graph, rng=np.random.default_rng(1))
        check(new)
        fresh = {"conv_1", "logits"}  # these take other channels, or output other classes
        for name, node in graph.items():
            for key, value in node.weights.items():
                same = np.array_equal(new[name].weights[key], value)
                assert same == (name not in fresh or (key == "bias" and name == "conv_1")), name

    def test_images_that_are_too_small(self, graph):
        with pytest.raises(GraphError, match="pool"):
            adapt_network(graph, (2, 2, 1), 10, RESCALING)

    def test_a_network_without_a_dense_layer_at_its_end(self, graph):
        graph.set_layer("logits", Activation("linear"), {})
        with pytest.raises(GraphError, match="no dense layer before the output 'softmax'"):
            adapt_network(graph, (8, 8, 1), 5, RESCALING)


class TestAdaptCellNetwork:
    def test_the_cell_stays_and_images_and_classes_change(self):
        graph = CELLS.initial_graphs((8, 8, 1), 10)[0]
        new = adapt_cell_network(graph, (16, 16, 3), 7, RESCALING)
        check(new)
        assert not new.has_weights
        assert new["rescaling"].layer == RESCALING
        assert new.shapes()[new.input] == (16, 16, 3)
        assert new.shapes()[new.output] == (7,)
        assert extract_cell(new) == extract_cell(graph)

    def test_a_network_without_cells(self, graph):
        with pytest.raises(CellError):
            adapt_cell_network(graph, (8, 8, 1), 10, RESCALING)
