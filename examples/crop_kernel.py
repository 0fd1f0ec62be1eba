"""Define a custom operator: crop the kernel of a convolution, 5x5 to 3x3.

    lemonade-tf search --operators insert_convolution,add_skip,remove,examples.crop_kernel:CROP

Run this in the folder that contains `examples`, or use crop_kernel:CROP in a folder with a copy of
this file. The history of the run shows where the operator was applied (`crop_kernel`).

The paper's operators insert convolutions with kernels of 3x3 and 5x5, and none makes a kernel
smaller again. This operator is approximate: the weights at the border of the kernel are lost, and
with them a part of the function. So the convolution and the batch normalization after it are
distilled, and before that fitted to the previous output by least squares.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.layers import Conv2D
from lemonade_tf.operators import Change, FitOutputs, MeasureStatistics, Operator
from lemonade_tf.operators.affected import normalizations_after
from lemonade_tf.operators.change import topological_order


@dataclass(frozen=True)
class CropSite:
    """Where the operator applies: plain values, which the history records.

    Attributes:
        node: A convolution.
    """

    node: str


class CropKernel(Operator):
    """Crop the kernel of a convolution by one pixel on each side."""

    name = "crop_kernel"  # in the history
    exact = False
    site = CropSite

    def _sites(self, graph: Graph) -> Iterator[CropSite]:
        return (CropSite(name) for name, node in graph.items() if isinstance(node.layer, Conv2D))

    def _refusal(self, graph: Graph, site: CropSite) -> str | None:
        layer = graph[site.node].layer
        if isinstance(layer, Conv2D) and min(layer.kernel_size) > 3 and layer.padding == "same":
            return None
        return f"{site.node!r} is not a convolution with a kernel of 5x5 or more and same padding"

    def _apply(self, graph: Graph, site: CropSite, rng: np.random.Generator) -> Change:
        node = graph[site.node]
        layer: Any = node.layer
        height, width = layer.kernel_size
        weights = dict(node.weights)
        if weights:  # a graph made of shapes has none
            weights["kernel"] = weights["kernel"][1:-1, 1:-1]
        graph.set_layer(site.node, replace(layer, kernel_size=(height - 2, width - 2)), weights)
        normalizations = normalizations_after(graph, site.node)
        return Change(
            graph,
            affected=topological_order(graph, {site.node, *normalizations}),
            repairs=(FitOutputs(site.node), *map(MeasureStatistics, normalizations)),
        )


CROP = CropKernel()
