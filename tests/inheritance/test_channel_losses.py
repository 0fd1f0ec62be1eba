"""The predicted losses of removing channels."""

import numpy as np
from graphs import GRAPHS, new_weights

from lemonade_tf.architecture.channel_groups import channel_groups
from lemonade_tf.inheritance import channel_losses
from lemonade_tf.operators.initial import output_statistics


def test_losses_of_uncorrelated_channels_are_those_of_a_diagonal_covariance():
    compared = 0
    for make in GRAPHS.values():
        graph = new_weights(make(), 0)
        groups = channel_groups(graph)
        for name, loss in channel_losses.estimated_losses(graph).items():
            channels = channel_losses._input_channels(graph, groups, name)
            _, variance = output_statistics(graph, graph[name].inputs[0])
            if len(loss.places) != len(variance):  # some channels occur more than once
                continue
            products = channel_losses._channel_products(graph, name, channels, loss.places)
            gram = np.diag(np.maximum(variance.astype(np.float64), 1e-12))
            other = channel_losses._layer_loss(loss.places, gram, products)
            np.testing.assert_allclose(loss.losses(), other.losses(), rtol=1e-4)
            for each in (loss, other):
                each.remove([channels[0]])
            np.testing.assert_allclose(loss.losses(), other.losses(), rtol=1e-4, atol=1e-9)
            compared += 1
    assert compared > 10
