"""Stochastic regularization of the branches of a network in training: where it applies.

The paper trains the networks of Table 1 with Shake-Shake (Gastaldi, 2017) and names
ScheduledDropPath (Zoph et al., 2018) beside it; all other networks are trained without either, "as
they are not applicable to all networks out of the box" (section 5.1). Neither has weights, and at
inference the network computes the same as without them.

**Shake-Shake** replaces each mean of two branches a and b by

    forward:   alpha a + (1 - alpha) b        backward:  beta and 1 - beta times the gradient

with alpha and beta drawn independently and uniformly from [0, 1], per image and per step
("Shake-Shake-Image"). Their mean, 1/2, is the weight at inference.

**ScheduledDropPath** sets the output of a path to zero with a probability that grows linearly over
the training from 0 to p, per image, and divides the outputs that are kept by 1 - p. A path is an
input of a node that merges several (Add, Average, Concatenate, convex sum), and as in the authors'
code, not

- the identity: an input which other nodes consume too, such as a skip without a layer of its own;
- an input which is itself merged: its paths have been dropped already;
- an input of a concatenation without an identity: the parts of one path are no paths.

The inputs of cells (the concatenated outputs of two cells) are no paths either: they lie between
cells. The authors' code for CIFAR also lowers the probability towards the first cell, which their
text does not mention; here it is the same everywhere.
"""

from __future__ import annotations

from lemonade_tf.architecture.cells import is_cell_input
from lemonade_tf.architecture.graph import Graph
from lemonade_tf.architecture.layers import Add, Average, Concatenate, ConvexSum

_MERGING = (Add, Average, Concatenate, ConvexSum)


def shaken_means(graph: Graph) -> frozenset[str]:
    """Return the nodes to which Shake-Shake applies: means of two branches."""
    return frozenset(
        name
        for name, node in graph.items()
        if isinstance(node.layer, Average) and len(node.inputs) == 2
    )


def droppable_paths(graph: Graph) -> frozenset[tuple[str, int]]:
    """Return the paths to which ScheduledDropPath applies: a node, and the index of its input."""
    merging = {
        name
        for name, node in graph.items()
        if isinstance(node.layer, _MERGING) and len(node.inputs) > 1 and not is_cell_input(name)
    }
    found = set()
    for name in merging:
        inputs = graph[name].inputs
        identities = [len(graph.consumers(source)) > 1 for source in inputs]
        if isinstance(graph[name].layer, Concatenate) and not any(identities):
            continue
        for index, source in enumerate(inputs):
            if source not in merging and not identities[index]:
                found.add((name, index))
    return frozenset(found)
