"""Surgery on a Keras model: the operators of section 3 at named layers, without a search.

`widen`, `deepen` and `add_skip` preserve the function of the model and add weights that can learn.
`prune`, `separate` and `remove` make it smaller and change its function as little as possible: much
less when images are available, because the remaining layers are then fitted to them by least
squares.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.current import current_backend
from lemonade_tf.inheritance.batch_statistics import measure_statistics
from lemonade_tf.inheritance.fitted_start import fit_outputs
from lemonade_tf.keras_bridge import from_keras, read_weights, to_keras
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults
from lemonade_tf.keras_bridge.origins import output_node
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
    """Edit a Keras model layer by layer.

    Layers are named as in the model. Every method returns the names of the layers that it added or
    changed. Channels that are tied, by sums, products or depthwise and grouped convolutions, change
    together.

    Every method raises a SiteError if there is no such layer (the message names the nearest) or if
    the operation does not apply there (the message gives the reason). The model is then unchanged.

    Example:
        surgery = Surgery(model)
        surgery.widen("block_6_expand", 1.5)
        surgery.prune("block_13_expand", 0.25)
        surgery.model().save("edited.keras")

    Args:
        model: A functional or Sequential model of layers that `from_keras` supports. It stays
            unchanged.
        images: A few hundred images from the model's domain, preprocessed like its input,
            (n, height, width, channels); labels are not needed. With images, the layers that
            consumed what was pruned or removed are fitted to output the same as before.
        input_shape: (height, width, channels), for a model that leaves them open; by default, that
            of the images.
        seed: Random seed of new weights.

    Raises:
        GraphError: If the model has layers that a graph does not support; the message names them.
        ValueError: If the images do not have the shape of the model's input.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        images: np.ndarray | None = None,
        input_shape: tuple[int, ...] | None = None,
        seed: int = 0,
    ) -> None:
        if images is not None and input_shape is None:
            input_shape = _open_shape(model, images)
        self.graph: Graph = from_keras(model, input_shape=input_shape)
        if images is not None:
            shape = self.graph.shapes()[self.graph.input]
            if len(images) == 0 or images.shape[1:] != shape:
                expected = ", ".join(map(str, ("n", *shape)))
                raise ValueError(
                    f"images have shape {images.shape}; expected ({expected}), the input of the"
                    " model."
                )
        self._images = images
        self._rng = np.random.default_rng(seed)

    def model(self, *, learnable: bool = False) -> keras.Model:
        """Return the edited model, a new one at each call.

        Args:
            learnable: Whether the weight of a skip made as a convex sum is trainable, which
                requires a layer of this package. By default the model consists of stock layers, and
                the weight stays fixed: 0 for a new skip.
        """
        return to_keras(self.graph, learnable=learnable)

    # --- Preserving the function -----------------------------------------------------------------

    def widen(self, layer: str, factor: float = 2.0, *, split: bool = False) -> tuple[str, ...]:
        """Multiply the filters of a convolution, and of those tied to it.

        Args:
            layer: A Conv2D or a SeparableConv2D.
            factor: More than 1; the result is rounded to whole filters, in each group of a grouped
                convolution.
            split: Whether new filters are copies of old ones (Net2WiderNet) rather than random
                ones whose consumers have zero weights.
        """
        if not factor > 1:
            raise SiteError(f"cannot widen {layer!r}: factor is {factor!r}; expected more than 1.")
        operator = WidenConvolution(split=split, factors=(factor,))
        return self._operate(operator, f"widen {layer!r}", node=layer, factor=factor)

    def deepen(self, layer: str, *, kernel_size: int = 3) -> tuple[str, ...]:
        """Insert a convolution, batch norm and ReLU that together start as the identity.

        Args:
            layer: The layer to insert them after; it must output images without negative values.
            kernel_size: Height and width of the kernel, odd.
        """
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise SiteError(
                f"cannot deepen after {layer!r}: kernel_size is {kernel_size!r}; expected an odd"
                " number."
            )
        operator = InsertConvolution(kernel_sizes=(kernel_size,))
        node = self._end(layer)
        return self._operate(
            operator, f"deepen after {layer!r}", node=node, kernel_size=kernel_size
        )

    def add_skip(self, source: str, target: str, *, kind: str = CONVEX_SUM) -> tuple[str, ...]:
        """Add a skip connection from `source` to the consumers of `target`.

        Args:
            source: An activation, or the end of another skip.
            target: A later activation.
            kind: "convex_sum" for (1 - weight) target + weight source, where the weight starts at 0
                and is trainable in `model(learnable=True)`; "concatenate" for a concatenation of
                both, whose consumers have zero weights for the source.
        """
        sides = {"source": self._end(source), "target": self._end(target)}
        return self._operate(
            AddSkip(), f"add a skip from {source!r} to {target!r}", **sides, kind=kind
        )

    # --- Making the model smaller ----------------------------------------------------------------

    def prune(self, layer: str, fraction: float = 0.5) -> tuple[str, ...]:
        """Remove a fraction of the filters of a convolution, and of those tied to it.

        The filters with the smallest weights are removed.

        Args:
            layer: A Conv2D or a SeparableConv2D.
            fraction: Between 0 and 1; the result is rounded down to whole filters.
        """
        if not 0 < fraction < 1:
            raise SiteError(
                f"cannot prune {layer!r}: fraction is {fraction!r}; expected between 0 and 1."
            )
        text = str(Fraction(fraction).limit_denominator(10_000))
        operator = PruneFilters(fractions=(text,))
        return self._operate(operator, f"prune {layer!r}", node=layer, fraction=text)

    def separate(self, layer: str) -> tuple[str, ...]:
        """Replace a convolution by the closest depthwise-separable one.

        Args:
            layer: A Conv2D with more parameters than the separable one would have.
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
        """Return the node of a layer's output: its activation, if the layer has one."""
        return output_node(self.graph, layer) if layer in self.graph else layer

    @keras_defaults()
    def _operate(self, operator: Operator, what: str, **place: Any) -> tuple[str, ...]:
        site = operator.site(**place)
        reason = operator.refusal(self.graph, site)
        if reason is not None:
            raise SiteError(f"cannot {what}: {reason}.")
        change = operator.apply(self.graph, site, rng=self._rng)
        if self._images is None:
            self.graph = change.graph
        else:
            with current_backend().full_precision():
                self.graph = self._repaired(change, self._images, exact=operator.exact)
        return change.affected

    def _repaired(self, change: Change, images: np.ndarray, *, exact: bool) -> Graph:
        """Return the child of a change after its repairs on images."""
        model = to_keras(change.graph, learnable=True, layer_per_node=True)
        if exact:
            measure_statistics(
                change.statistics_repairs, change.graph, model, images, training=False
            )
        else:
            before = to_keras(self.graph, learnable=True, layer_per_node=True)
            fit_outputs(change, self.graph, before, model, images, rng=self._rng)
        return read_weights(model, change.graph)


def _open_shape(model: keras.Model, images: np.ndarray) -> tuple[int, ...] | None:
    """Return the shape of the images, if the input of a model leaves it open."""
    inputs = getattr(model, "inputs", None) or ()
    is_open = len(inputs) == 1 and None in inputs[0].shape[1:]
    return images.shape[1:] if is_open else None
