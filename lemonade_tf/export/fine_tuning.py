"""Fine-tune a network for int8, where rounding to 8 bits costs accuracy.

First its biases are corrected for the mean error of rounding, which alone often makes good most of
a loss. Then the network, with folded batch normalizations, learns while its weights and activations
are rounded as in int8 (see `backends.fake_quantization_tensorflow`). It learns the outputs of the
network in floats, not the labels, so a few epochs at a small learning rate suffice
(`surgery.recovery`).

Both networks, as it was and fine-tuned, are then converted and run by LiteRT on the validation
images. The one with the lower error is kept; of two with the same error, the one whose
probabilities are closer to those in floats. The test images have no say in that.

References:
    Jacob et al.: Quantization and training of neural networks for efficient integer-arithmetic-only
    inference. CVPR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lemonade_tf.architecture import Graph
from lemonade_tf.backends.current import current_backend
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.errors import quoted
from lemonade_tf.export.bias_correction import with_corrected_biases
from lemonade_tf.export.checking import folded, reference_outputs
from lemonade_tf.export.formats import INT8, ExportError
from lemonade_tf.export.int8_graph import rounded_outputs, without_separable
from lemonade_tf.export.output_comparison import Images, some_images
from lemonade_tf.export.running import of_lite
from lemonade_tf.export.writing import Content, lite_content
from lemonade_tf.surgery.recovery import recover

MAX_IMAGES = 5_000  # to train on, and to choose by
_RATE = 3e-4  # of Adam
_BATCH = 64  # images


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuning for int8 did; all errors are those in int8, fractions.

    Attributes:
        is_kept: Whether the fine-tuned network is exported: it is the better one.
        error_before: The error on the validation images as it was.
        error_after: The same after fine-tuning.
        num_validation_images: How many there are.
        reported_error_before: The error as it was on the images that the export is compared on.
        reported_error_after: The same after fine-tuning.
    """

    is_kept: bool
    error_before: float
    error_after: float
    num_validation_images: int
    reported_error_before: float
    reported_error_after: float


def fine_tune(
    content: Content, dataset: Dataset, images: Images, epochs: int
) -> tuple[Content, FineTuned]:
    """Fine-tune a network for int8, and return the better of both, with what was measured.

    Args:
        content: The network.
        dataset: The data set of the run: its training images are learned from, its validation
            images decide.
        images: The images on which the export is compared.
        epochs: Passes over the training images.

    Raises:
        ExportError: If a layer is called more than once, or nothing can be trained.
    """
    if content.graph.calls():
        raise ExportError(
            f"--fine_tune: layers of {content.name} are called more than once, and would get"
            " weights for each call; omit --fine_tune."
        )
    before = folded(content)
    validation = some_images(dataset.x_validation, dataset.y_validation, "validation", MAX_IMAGES)
    training = some_images(dataset.x_train, dataset.y_train, "training", MAX_IMAGES)
    after = replace(before, graph=_trained(before.graph, training.images, epochs))
    wanted = reference_outputs(content, validation)
    results = []
    for each in (before, after):
        predict = of_lite(lite_content(each, INT8)).predict
        found = predict(validation.images)
        rank = (_error(found, validation), float(np.abs(found - wanted).mean()))
        results.append((rank, _error(predict(images.images), images)))
    (rank, reported), (new_rank, new_reported) = results
    found = FineTuned(
        is_kept=new_rank < rank,
        error_before=rank[0],
        error_after=new_rank[0],
        num_validation_images=len(validation.labels),
        reported_error_before=reported,
        reported_error_after=new_reported,
    )
    return after if found.is_kept else before, found


def _trained(graph: Graph, images: np.ndarray, epochs: int) -> Graph:
    """Return a network that has learned its own outputs while it is rounded as in int8."""
    split = without_separable(graph)
    rounded = rounded_outputs(split)
    try:
        recovered = recover(
            graph,
            with_corrected_biases(split, rounded, images),
            images,
            epochs=epochs,
            batch_size=_BATCH,
            learning_rate=_RATE,
            rng=np.random.default_rng(0),
            as_trained=lambda model: current_backend().fake_quantized(model, rounded),
        )
    except ValueError as error:  # all layers are frozen
        raise ExportError(f"--fine_tune: {quoted(error)}") from error
    return recovered.graph


def _error(outputs: np.ndarray, images: Images) -> float:
    return float((outputs.argmax(axis=1) != images.labels).mean())
