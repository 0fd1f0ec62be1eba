"""The error that a network has left in whole numbers of 8 bits, in LiteRT.

The trained network is quantised (`Backend.to_lite`) with the ranges of some training
images, and run on the validation images, one at a time. Measured on two shared CPU cores: 0.3 to 1
s a network for the quantisation, and some 10 ms to 0.15 s for 300 images.
"""

from __future__ import annotations

from lemonade_tf.objectives.trained_network import TrainedNetwork

NUM_CALIBRATION_IMAGES = 128


def int8_error(trained: TrainedNetwork) -> float:
    """Return the share of validation images that the quantised network gets wrong."""
    from lemonade_tf.backends.current import current_backend

    backend = current_backend()
    content = backend.to_lite(
        trained.graph,
        logits=True,
        quantize="int8",
        calibration=trained.training_images[:NUM_CALIBRATION_IMAGES],
    )
    outputs = backend.lite_model(content).predict(trained.images)
    return float((outputs.argmax(axis=1) != trained.labels).mean())
