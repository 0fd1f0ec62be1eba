"""Surgery on a Keras model: the operators of section 3 at named layers, without a search.

`widen`, `deepen` and `add_skip` preserve the function of the model and add weights that can learn.
`prune`, `separate`, `remove` and `shrink` make it smaller and change its function as little as
possible: much less when images are available, because the remaining layers are then fitted to them
by least squares. `distill` recovers the function of the original model by training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture.cost import count_parameters
from lemonade_tf.architecture.layers import BatchNormalization
from lemonade_tf.inheritance.activations import Images, count_images, max_batch_size
from lemonade_tf.keras_bridge import from_keras, to_keras
from lemonade_tf.keras_bridge.keras_defaults import keras_defaults
from lemonade_tf.keras_bridge.origins import output_node
from lemonade_tf.latency import LatencyModel
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
from lemonade_tf.operators.filters import filters_refusal, growth_refusal
from lemonade_tf.operators.prune import keep_channels
from lemonade_tf.operators.skip import CONVEX_SUM
from lemonade_tf.surgery import budgets, requests
from lemonade_tf.surgery.edits import Edit, described, edits_table, narrowed, shortened
from lemonade_tf.surgery.fitting import ImageFits
from lemonade_tf.surgery.recovery import recover
from lemonade_tf.surgery.sample_images import MAX_IMAGES, images_for, open_shape, warn_of_scale
from lemonade_tf.surgery.shrinking import by_importance_of, shrunk

Layer = str | keras.layers.Layer
# One number per filter, or a function that returns them for the name and the weights of a layer.
FilterImportance = np.ndarray | Callable[[str, Mapping[str, np.ndarray]], np.ndarray]


class Surgery:
    """Edit a Keras model layer by layer, or shrink it to a budget.

    Layers are given by name or as layers of the model. Every method returns the names of the layers
    that it added or changed; `print(surgery)` shows all edits. Channels that are tied, by sums,
    products or depthwise and grouped convolutions, change together.

    Every method raises a SiteError if there is no such layer (the message names the nearest) or if
    the operation does not apply there (the message gives the reason). The model is then unchanged.

    Example:
        surgery = Surgery(model, images=images)
        surgery.widen("block_6_expand", 1.5)
        surgery.prune("block_13_expand", 0.25)  # removes a quarter of the filters
        surgery.shrink(multiply_adds=0.5)
        surgery.distill(epochs=1)
        print(surgery)
        surgery.model().save("edited.keras")

    Args:
        model: A functional or Sequential model of layers that `from_keras` supports. It stays
            unchanged.
        images: A few hundred images from the model's domain, preprocessed like its input,
            (n, height, width, channels): an array, a list, an iterable of images or batches such as
            a tf.data.Dataset, or (x, y); labels are not needed. At most 1,024 are used. With
            images, the layers that consumed what was pruned or removed are fitted to output the
            same as before. Fewer than 64 images are used only if a fit to half of them brings the
            output of the model for the other half clearly closer to what it was, and vice versa;
            fewer than 8 are not used. For several inputs, a dictionary or list with such an array
            for each, or an iterable of these.
        input_shape: (height, width, channels), for a model that leaves them open; by default, that
            of an array of images.
        seed: Random seed of new weights.

    Raises:
        GraphError: If the model has layers that a graph does not support; the message names them.
        ValueError: If the images do not have the shape of the model's input, or are not finite.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        images: Any = None,
        input_shape: tuple[int, ...] | None = None,
        seed: int = 0,
    ) -> None:
        if images is not None and input_shape is None:
            input_shape = open_shape(model, images)
        self.graph: Graph = from_keras(model, input_shape=requests.input_shape(input_shape))
        requests.warn_of_weights(self.graph)
        self._original = self.graph
        self._edits: list[Edit] = []
        self._name = model.name
        self._rng = requests.generator(seed)
        self._fits = None if images is None else ImageFits(self._fitting_images(images), self._rng)

    def __repr__(self) -> str:
        return (
            f"<Surgery on {self._name!r}: {len(self._edits)} edits,"
            f" {count_parameters(self.graph):,} parameters>"
        )

    @keras_defaults()
    def __str__(self) -> str:
        """Return all edits, with parameters and multiply-adds after each, and what changed."""
        images = None if self._fits is None else self._fits.images
        return edits_table(self._original, self.graph, self._edits, images)

    def model(self, *, learnable: bool = False) -> keras.Model:
        """Return the edited model, a new one at each call.

        Args:
            learnable: Whether the weight of a skip made as a convex sum is trainable, which
                requires a layer of this package. By default the model consists of stock layers, and
                the weight stays fixed: 0 for a new skip.
        """
        return to_keras(self.graph, learnable=learnable)

    # --- Preserving the function -----------------------------------------------------------------

    def widen(self, layer: Layer, factor: float = 2.0, *, split: bool = False) -> tuple[str, ...]:
        """Multiply the filters of a convolution or dense layer, and of those tied to it.

        Args:
            layer: A convolution or Dense layer.
            factor: More than 1; the result is rounded to whole filters, in each group of a grouped
                convolution.
            split: Whether new filters are copies of old ones (Net2WiderNet) rather than random
                ones whose consumers have zero weights.
        """
        name = requests.filters_layer(self.graph, layer, "widen")
        what = f"widen {name!r}"
        factor = requests.number(
            factor, "factor", what, "a number of more than 1", above=1, below=float("inf")
        )
        operator = WidenConvolution(split=split, factors=(factor,))
        site = operator.site(node=name, factor=factor)
        if growth_refusal(self.graph, name) is None:
            requests.check_filters(self.graph, name, factor, what)
            shapes = self.graph.copy(weights=False)
            if operator.refusal(shapes, site) is None:
                requests.check_memory(operator.apply(shapes, site, rng=self._rng).graph, what)
        return self._operate(operator, what, node=name, factor=factor)

    def deepen(
        self, layer: Layer, *, kernel_size: int = 3, batch_norm: bool | None = None
    ) -> tuple[str, ...]:
        """Insert a convolution, batch norm and ReLU that together start as the identity.

        Args:
            layer: The layer to insert them after; it must output images without negative values.
            kernel_size: Height and width of the kernel, odd.
            batch_norm: Whether the block has a batch norm; by default, if the model has any.
        """
        name = requests.layer_name(self.graph, layer, "deepen after")
        size = requests.kernel_size(kernel_size, f"deepen after {name!r}")
        if batch_norm is None:
            kinds = (node.layer for _, node in self.graph.items())
            batch_norm = any(isinstance(kind, BatchNormalization) for kind in kinds)
        operator = InsertConvolution(kernel_sizes=(size,))
        node = output_node(self.graph, name)
        return self._operate(
            operator,
            f"deepen after {name!r}",
            node=node,
            kernel_size=size,
            normalize=bool(batch_norm),
        )

    def add_skip(self, source: Layer, target: Layer, *, kind: str = CONVEX_SUM) -> tuple[str, ...]:
        """Add a skip connection from `source` to the consumers of `target`.

        Args:
            source: An activation, or the end of another skip.
            target: A later activation.
            kind: "convex_sum" for (1 - weight) target + weight source, where the weight starts at 0
                and is trainable in `model(learnable=True)`; "concatenate" for a concatenation of
                both, whose consumers have zero weights for the source.
        """
        names = [
            requests.layer_name(self.graph, each, "add a skip at") for each in (source, target)
        ]
        ends = [output_node(self.graph, name) for name in names]
        what = "add a skip from {!r} to {!r}".format(*names)
        return self._operate(AddSkip(), what, source=ends[0], target=ends[1], kind=kind)

    # --- Making the model smaller ----------------------------------------------------------------

    def prune(
        self,
        layer: Layer,
        share: float | None = None,
        *,
        channels: Any = None,
        importance: FilterImportance | None = None,
    ) -> tuple[str, ...]:
        """Remove filters of a convolution or dense layer, and of those tied to it.

        Args:
            layer: A convolution or Dense layer.
            share: The share of its filters to remove, between 0 and 1; the result is rounded down
                to whole filters. By default half of them. The filters with the smallest weights
                are removed.
            channels: The indices of the filters to remove, instead of a share.
            importance: Removes the filters of the smallest importance instead: an array with one
                number per filter, or a function that returns it for the name and the weights of
                a layer, which is called for tied layers, too.
        """
        name = requests.filters_layer(self.graph, layer, "prune")
        what = f"prune {name!r}"
        reason = filters_refusal(self.graph, name)
        if reason is not None:
            raise SiteError(f"cannot {what}: {reason}.")
        if channels is not None:
            if share is not None or importance is not None:
                raise SiteError(
                    f"cannot {what}: channels are given; leave share and importance out."
                )
            sources = requests.removed_channels(self.graph, name, channels, what)
        else:
            text = requests.share(0.5 if share is None else share, what)
            operator = PruneFilters(fractions=(text,))
            reason = operator.refusal(self.graph, operator.site(node=name, fraction=text))
            if reason is not None:
                raise SiteError(f"cannot {what}: {reason}.")
            if importance is None:
                return self._operate(operator, what, node=name, fraction=text)
            chosen = requests.importance(self.graph, importance, name, what)
            sources = by_importance_of(self.graph, name, chosen, text)
        change = keep_channels(self.graph.copy(), sources)
        change = replace(change, distilled=change.affected)
        return self._carry_out(change, what, exact=False)

    @keras_defaults()
    def shrink(
        self,
        *,
        multiply_adds: float | None = None,
        parameters: float | None = None,
        latency: float | None = None,
        importance: FilterImportance | None = None,
        latency_model: LatencyModel | None = None,
    ) -> tuple[str, ...]:
        """Prune the whole network to a budget.

        Channels go where the output of the network changes the least per saved cost. With images
        this is measured; without, it is estimated from weights and batch norms. At least a tenth of
        each layer's filters stay.

        Args:
            multiply_adds: The maximum number of multiply-adds; at most 1, the share of the present
                number that stays.
            parameters: The same for parameters.
            latency: The share of the present inference time that stays, between 0 and 1. Times are
                predicted by `latency_model`.
            importance: Removes the filters of the smallest importance instead: a function that
                returns one number per filter for the name and the weights of a layer.
            latency_model: Predicts inference times, such as `fit` of `lemonade_tf.latency` for a
                table of a search. By default, the network, pruned versions of it and single layers
                are measured on this machine, in Keras, which takes about half a minute; the result
                then depends on these. The result is measured, too; a warning says if it missed.

        Returns:
            The names of the convolutions and dense layers with fewer filters.
        """
        given = {"multiply_adds": multiply_adds, "parameters": parameters, "latency": latency}
        requested = {name: value for name, value in given.items() if value is not None}
        if not requested:
            raise SiteError(f"cannot shrink: expected a limit, {' or '.join(given)}.")
        what = "shrink to " + ", ".join(f"{name}={value}" for name, value in requested.items())
        budgets.check_limits(requested)
        if latency is None and latency_model is not None:
            raise SiteError(f"cannot {what}: latency_model is given; expected latency with it.")
        costs = budgets.costs_of(self.graph, requested, latency_model)
        before = self.graph
        self.graph = shrunk(
            before,
            costs,
            budgets.limits(before, costs, requested),
            importance=None
            if importance is None
            else requests.importance(before, importance, None, what),
            fits=self._fits,
            rng=self._rng,
        )
        times = budgets.reached_latency(
            what, latency, costs, before, self.graph, measure=latency_model is None
        )
        sizes = narrowed(before, self.graph)
        self._record(f"{what}{times}: {shortened(list(sizes.values()), 3)}")
        return tuple(sizes)

    def separate(self, layer: Layer) -> tuple[str, ...]:
        """Replace a convolution by the closest depthwise-separable one.

        Args:
            layer: A Conv2D with more parameters than the separable one would have.
        """
        name = requests.layer_name(self.graph, layer, "separate")
        return self._operate(SeparateConvolution(), f"separate {name!r}", node=name)

    def remove(self, layer: Layer) -> tuple[str, ...]:
        """Remove a convolution with its batch norm and activation, a skip, or a residual branch.

        Args:
            layer: The convolution, or the concatenation or sum at the end of the skip or branch.
        """
        name = requests.layer_name(self.graph, layer, "remove")
        return self._operate(Remove(), f"remove {name!r}", node=name)

    # --- Recovering ------------------------------------------------------------------------------

    @keras_defaults()
    def distill(
        self,
        images: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = 16,
        learning_rate: float | None = None,
    ) -> None:
        """Train the edited model to output the same as the original one.

        The logits are compared, or the outputs of a model without a softmax. Frozen layers
        (trainable=False) and the statistics of batch norms stay as they are. An eighth of the
        images, at most 512, is held back, and the weights of the epoch that is the closest to the
        original there are kept, or those from before if none is closer.

        Args:
            images: As many images as there are, in any of the forms of `Surgery`; labels are not
                needed. By default those of the surgery.
            epochs: Passes over the images.
            batch_size: Images per training step.
            learning_rate: The largest learning rate of Adam, which is warmed up to, and decays to 0
                by a cosine; by default 0.001.

        Raises:
            ValueError: If there are no images, or all layers are frozen.
        """
        epochs = requests.count(epochs, "epochs", "distill")
        batch_size = requests.count(batch_size, "batch_size", "distill")
        learning_rate = requests.learning_rate(learning_rate, "distill")
        kept = None if self._fits is None else self._fits.images
        given = kept if images is None else images_for(self.graph, images, maximum=None)
        if given is None:
            raise ValueError("cannot distill without images; expected images, without labels.")
        recovered = recover(
            self._original,
            self.graph,
            given,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            rng=self._rng,
        )
        self.graph = recovered.graph
        change = f"relative squared error {recovered.before:.2g} to {recovered.after:.2g}"
        self._record(f"distill on {count_images(given)} images, epochs={epochs}: {change}")

    @keras_defaults()
    def _fitting_images(self, images: Any) -> Images:
        maximum = max_batch_size(self.graph, MAX_IMAGES)
        found = images_for(self.graph, images, maximum=maximum)
        warn_of_scale(self.graph, found)
        return found

    def _operate(self, operator: Operator, what: str, **place: Any) -> tuple[str, ...]:
        site = operator.site(**place)
        reason = operator.refusal(self.graph, site)
        if reason is not None:
            raise SiteError(f"cannot {what}: {reason}.")
        try:
            change = operator.apply(self.graph, site, rng=self._rng)
        except SiteError as error:
            raise SiteError(f"cannot {what}: {error.__cause__ or error}") from None
        return self._carry_out(change, what, exact=operator.exact)

    @keras_defaults()
    def _carry_out(self, change: Change, what: str, *, exact: bool) -> tuple[str, ...]:
        before, after = self.graph, change.graph
        if self._fits is not None:
            after = self._fits.measured(change) if exact else self._fits.fitted(change, before)
        self.graph = after
        self._record(described(what, before, after, change))
        return change.affected

    def _record(self, text: str) -> None:
        self._edits.append(Edit.of(text, self.graph))
