"""Define a custom objective: the energy of one inference, computed from a table.

    lemonade-tf search --objectives error,parameters,examples.energy:ENERGY

Run this in the folder that contains `examples`, or use energy:ENERGY in a folder with a copy of
this file.

    energy = multiply-adds * joules(kind of layer) + output values * joules(kind of layer)
             + bytes of activations read and written * joules + bytes of weights read * joules

The table is illustrative: single numbers from Horowitz for 32-bit floating point at 45 nm, with
activations in a 1 MB cache and weights in DRAM. Replace them with those of your device. Here,
reading a weight costs as much as a hundred multiply-adds, so a network with few parameters and many
multiply-adds may need less energy. Neither number alone shows this.

References:
    Horowitz: Computing's energy problem (and what we can do about it). ISSCC 2014.
"""

from math import prod

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import layer_multiply_adds, layer_parameters
from lemonade_tf.architecture.layers import (
    Activation,
    AveragePooling2D,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    ReLU,
    Reshape,
)
from lemonade_tf.objectives import Objective

PICO = 1e-12
BYTES = 4  # per value

# Joules per multiply-add, by kind of layer. A depthwise convolution reuses little of its input.
MULTIPLY_ADD = {DepthwiseConv2D: 9.2 * PICO}
OTHER_MULTIPLY_ADD = 4.6 * PICO
# Joules per output value of a layer, besides its multiply-adds.
VALUE = {
    Input: 0.0,
    Flatten: 0.0,
    Reshape: 0.0,
    Dropout: 0.0,  # does nothing at inference
    ReLU: 0.9 * PICO,
    MaxPooling2D: 3.6 * PICO,
    AveragePooling2D: 3.6 * PICO,
    Activation: 40.0 * PICO,
}
OTHER_VALUE = 4.6 * PICO
# Joules per byte moved.
ACTIVATION_BYTE = 12.5 * PICO
WEIGHT_BYTE = 160.0 * PICO


def energy(graph: Graph) -> float:
    """Return the joules of one inference on a single image."""
    shapes = graph.shapes()
    joules = 0.0
    for name, node in graph.items():
        kind, output = type(node.layer), shapes[name]
        inputs = [shapes[source] for source in node.inputs]
        multiply_adds = layer_multiply_adds(node.layer, output, *inputs)
        joules += multiply_adds * MULTIPLY_ADD.get(kind, OTHER_MULTIPLY_ADD)
        joules += prod(output) * VALUE.get(kind, OTHER_VALUE)
        num_moved = prod(output) + sum(map(prod, inputs))
        joules += BYTES * num_moved * ACTIVATION_BYTE
        joules += BYTES * layer_parameters(node.layer, *inputs) * WEIGHT_BYTE
    return joules


ENERGY = Objective("energy", "log", compute=energy, unit="J")
