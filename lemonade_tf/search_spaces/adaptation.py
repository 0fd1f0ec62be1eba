"""Adapt a network to other images and other classes.

The adapted network has the shapes of the new data set: its image shape, its rescaling, its number
of classes. Every other layer stays. Weights are not part of it: a caller inherits those whose
shapes agree (`operators.initial.inherited_weights`). The transfer of section 5.2 and searches that
start from a previous run use this.
"""

from __future__ import annotations

from dataclasses import replace

from lemonade_tf.architecture import Graph, GraphError, check
from lemonade_tf.architecture.cells import extract_cell
from lemonade_tf.architecture.layers import Dense, Input, Rescaling, Shape
from lemonade_tf.search_spaces.model_augmentation import augment


def adapt_network(
    graph: Graph, input_shape: Shape, num_classes: int, rescaling: Rescaling | None = None
) -> Graph:
    """Return the shapes of a network for other images and classes.

    Args:
        graph: The network, weighted or made of shapes.
        input_shape: (height, width, channels) of the new images.
        num_classes: The number of new classes.
        rescaling: Replaces the rescaling of raw pixels, 0 to 255, after the input; None to keep it.

    Raises:
        GraphError: If the network cannot take images of this shape, or if no dense layer leads to
            its output.
    """
    graph = graph.copy(weights=False)
    graph.set_layer(graph.input, Input(input_shape))
    for name in graph.consumers(graph.input):
        if rescaling is not None and isinstance(graph[name].layer, Rescaling):
            graph.set_layer(name, rescaling)
    last = graph.output
    while not isinstance(layer := graph[last].layer, Dense):
        if len(graph[last].inputs) != 1:
            raise GraphError(
                f"there is no dense layer before the output {graph.output!r}; expected one that"
                " outputs a number per class."
            )
        last = graph[last].inputs[0]
    if layer.units != num_classes:
        graph.set_layer(last, replace(layer, units=num_classes))
    check(graph)
    return graph


def adapt_cell_network(
    graph: Graph, input_shape: Shape, num_classes: int, rescaling: Rescaling
) -> Graph:
    """Return the shapes of a network of cells for other images and classes.

    Args:
        graph: The network, weighted or made of shapes.
        input_shape: (height, width, channels) of the new images.
        num_classes: The number of new classes.
        rescaling: Replaces the rescaling of raw pixels, 0 to 255, after the input.

    Raises:
        CellError: If the network is not made of cells.
    """
    _, cells_per_block, filters = extract_cell(graph)
    adapted = augment(
        graph,
        cells_per_block=cells_per_block,
        filters=filters,
        input_shape=input_shape,
        num_classes=num_classes,
        rescaling=rescaling,
    )
    return adapted.copy(weights=False)
