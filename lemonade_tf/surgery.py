"""Surgery on a Keras model, at layers that are named: the operators of section 3 without a search.

`widen`, `deepen` and `add_skip` keep what the model computes and leave room to learn; `prune`,
`separate` and `remove` make it smaller and change what it computes as little as they can: much less
with some images at hand, to which what is left is fitted by least squares.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.inheritance.batch_statistics import measure_statistics
from lemonade_tf.inheritance.fitted_start import fit_outputs
from lemonade_tf.keras_bridge import from_keras, read_weights, to_keras
from lemonade_tf.operators import (
    AddSkip,
    Change,
    InsertConvolution,
    Operator,
    PruneFilters,
    Remove,
    SeparateConvolution,
    SiteError,
    WidenConvolution,
)
from lemonade_tf.operators.skip import CONVEX_SUM


class Surgery:
    """A Keras model on the table.

    Layers are named as in the model; new ones get names that `graph` tells, and every method
    returns the names of the layers that it made or changed. Where channels are tied, by sums,
    products or depthwise and grouped convolutions, all that are tied change together.

    Example:
        surgery = Surgery(model)
        surgery.widen("block_6_expand", 1.5)
        surgery.prune("block_13_expand", 0.25)
        surgery.model().save("edited.keras")

    Attributes:
        graph: The model as it is now; `architecture.text.describe` prints it.

    Every method raises:
        SiteError: There is no such layer (the message names the nearest), or it cannot be done
            there (the message says why). The model is as it was before.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        images: np.ndarray | None = None,
        input_shape: tuple[int, int, int] | None = None,
        seed: int = 0,
    ) -> None:
        """Take a model, which itself stays as it is.

        Args:
            model: A functional or Sequential model of the layers that `from_keras` can read.
            images: (n, height, width, channels), some hundred of those that the model is for, as
                it takes them; labels are not needed. With them, the layers that read what was
                pruned or removed are brought as near as can be to what they put out before.
            input_shape: (height, width, channels), for a model that leaves its sizes open.
            seed: Draws the values of new weights.

        Raises:
            GraphError: The model has layers that a graph cannot express; the message names them.
            ValueError: The images do not fit the model.
        """
        self.graph: Graph = from_keras(model, input_shape=input_shape)
        shape = self.graph.shapes()[self.graph.input]
        if images is not None and (len(images) == 0 or images.shape[1:] != shape):
            expected = ", ".join(map(str, ("n", *shape)))
            raise ValueError(
                f"the images have the shape {images.shape}; expected ({expected}), as the model"
                " reads them."
            )
        self._images = images
        self._name = model.name
        self._rng = np.random.default_rng(seed)

    def model(self, *, learnable: bool = False) -> keras.Model:
        """Return the edited model, a new one at each call.

        Args:
            learnable: Whether the share of a skip made as a convex sum can be trained, which needs
                a layer of this package. By default the model is of stock layers, and a share stays
                what it is: 0 for a new skip.
        """
        return to_keras(self.graph, learnable=learnable, name=self._name)

    # --- What keeps the function -----------------------------------------------------------------

    def widen(self, layer: str, factor: float = 2.0, *, split: bool = False) -> tuple[str, ...]:
        """Give a convolution `factor` times as many filters, and those tied to it.

        Args:
            layer: A Conv2D or a SeparableConv2D.
            factor: More than 1; rounded to whole filters, of a grouped convolution in each group.
            split: Whether new filters are copies of old ones (Net2WiderNet) rather than random
                ones that are read with weight zero.
        """
        if not factor > 1:
            raise SiteError(f"cannot widen {layer!r} {factor!r} times; expected more than 1.")
        operator = WidenConvolution(split=split, factors=(factor,))
        return self._operate(operator, f"widen {layer!r}", node=layer, factor=factor)

    def deepen(self, layer: str, *, kernel_size: int = 3) -> tuple[str, ...]:
        """Insert a convolution, batch norm and ReLU that together start as the identity.

        Args:
            layer: Behind which layer: one that puts out images that are never negative.
            kernel_size: Odd.
        """
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise SiteError(f"the kernel size is {kernel_size!r}; expected an odd number.")
        operator = InsertConvolution(kernel_sizes=(kernel_size,))
        node = self._end(layer)
        return self._operate(
            operator, f"deepen behind {layer!r}", node=node, kernel_size=kernel_size
        )

    def add_skip(self, source: str, target: str, *, kind: str = CONVEX_SUM) -> tuple[str, ...]:
        """Let the readers of `target` also read `source`.

        Args:
            source: An activation, or the end of another skip.
            target: A later activation.
            kind: "convex_sum" for (1 - share) target + share source, with a share of 0, which
                `model(learnable=True)` can train; "concatenate" for both behind each other, read
                with weight zero.
        """
        sides = {"source": self._end(source), "target": self._end(target)}
        return self._operate(
            AddSkip(), f"add a skip from {source!r} to {target!r}", **sides, kind=kind
        )

    # --- What makes the model smaller ------------------------------------------------------------

    def prune(self, layer: str, fraction: float = 0.5) -> tuple[str, ...]:
        """Remove a fraction of the filters of a convolution and of those tied to it.

        Those with the smallest weights go; with images, what they did is made up for.

        Args:
            layer: A Conv2D or a SeparableConv2D.
            fraction: Between 0 and 1; rounded down to whole filters.
        """
        if not 0 < fraction < 1:
            raise SiteError(f"cannot prune {fraction!r} of {layer!r}; expected between 0 and 1.")
        text = str(Fraction(fraction).limit_denominator(10_000))
        operator = PruneFilters(fractions=(text,))
        return self._operate(operator, f"prune {layer!r}", node=layer, fraction=text)

    def separate(self, layer: str) -> tuple[str, ...]:
        """Replace a convolution by the closest depthwise-separable one.

        Args:
            layer: A Conv2D that is larger than the separable one would be.
        """
        return self._operate(SeparateConvolution(), f"separate {layer!r}", node=layer)

    def remove(self, layer: str) -> tuple[str, ...]:
        """Remove a convolution with its batch norm and activation, a skip, or a residual branch.

        Args:
            layer: The convolution, or the concatenation or sum at the end of the skip or branch.
        """
        return self._operate(Remove(), f"remove {layer!r}", node=layer)

    # --- Helpers ---------------------------------------------------------------------------------

    def _end(self, layer: str) -> str:
        """Return the node that puts out what a layer does: its own activation, if it has one."""
        end = f"{layer}_activation"
        return end if end in self.graph and self.graph[end].inputs == (layer,) else layer

    def _operate(self, operator: Operator, what: str, **place: Any) -> tuple[str, ...]:
        site = operator.site(**place)
        why = operator.refusal(self.graph, site)
        if why is not None:
            raise SiteError(f"cannot {what}: {why}.")
        change = operator.apply(self.graph, site, rng=self._rng)
        if self._images is None:
            self.graph = change.graph
        else:
            self.graph = self._repaired(change, operator.exact)
        return change.affected

    def _repaired(self, change: Change, exact: bool) -> Graph:
        """Return the child of a change, brought as near to the parent as the images tell how."""
        model = to_keras(change.graph, learnable=True)
        if exact:
            measure_statistics(
                change.statistics_repairs, change.graph, model, self._images, training=False
            )
        else:
            before = to_keras(self.graph, learnable=True)
            fit_outputs(change, self.graph, before, model, self._images, rng=self._rng)
        return read_weights(model, change.graph)
