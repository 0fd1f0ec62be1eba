"""Training on streamed images ends like training on resident ones, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.backends.current import current_backend
from lemonade_tf.keras_bridge import read_weights
from lemonade_tf.training import streaming
from lemonade_tf.training.augmentation import Augmentation
from lemonade_tf.training.fit import TrainingDiverged, fit
from lemonade_tf.training.settings import TrainingSettings
from lemonade_tf.training.streaming import StreamedImages, gather, place_images, place_targets

SETTINGS = TrainingSettings(batch_size=32)  # 10 steps


def _train(network, digits, device_bytes, *, epochs=2, **options):
    model = current_backend().training_model(network)
    images = place_images(digits.x_train, device_bytes)
    result = fit(
        model,
        images,
        place_targets(digits.y_train, images),
        epochs=epochs,
        settings=options.pop("settings", SETTINGS),
        rng=np.random.default_rng(3),
        transform=Augmentation.for_dataset(digits, pad=1, flip=True, cutout=2, mixup=1.0),
        **options,
    )
    return result, read_weights(model, network)


@pytest.mark.parametrize("steps", [4, 10])  # 3 chunks, the last one shorter; one chunk
def test_losses_and_weights_are_the_same(network, digits, assert_equal_weights, steps, monkeypatch):
    expected, expected_weights = _train(network, digits, None)
    monkeypatch.setattr(streaming, "_GATHERED_BYTES", 5 * 64)
    result, weights = _train(network, digits, 2 * steps * 32 * 64)
    assert result.losses == expected.losses
    assert result.num_traces == 1
    assert_equal_weights(weights, expected_weights)


def test_a_resumed_training_is_the_same(network, digits, assert_equal_weights):
    states = []
    expected, expected_weights = _train(
        network, digits, None, epochs=3, on_epoch=lambda state: states.append(state())
    )
    result, weights = _train(network, digits, 5_000, epochs=3, resume=states[0])
    assert result.losses == expected.losses
    assert_equal_weights(weights, expected_weights)


def test_a_loss_that_is_not_finite_stops_it(network, digits, monkeypatch):
    rows = []
    monkeypatch.setattr(
        streaming, "gather", lambda array, *given: rows.append(1) or gather(array, *given)
    )
    with pytest.raises(TrainingDiverged, match=r"loss is (nan|inf) after epoch 1 of 2"):
        _train(network, digits, 5_000, settings=replace(SETTINGS, learning_rate=1e30))
    assert len(rows) < 2 * 10


def test_images_within_the_limit_stay_on_the_device(digits):
    assert not isinstance(place_images(digits.x_train, digits.x_train.nbytes), StreamedImages)
    assert isinstance(place_images(digits.x_train, digits.x_train.nbytes - 1), StreamedImages)


@pytest.mark.parametrize(
    ("num_steps", "fit_twice", "steps"),
    [(10, 0, 1), (10, 3, 2), (10, 4, 4), (11, 8, 6), (10, 1000, 10)],
)
def test_chunks_fit_twice_and_have_about_the_same_size(num_steps, fit_twice, steps):
    device_bytes = 2 * fit_twice * 6144 + 1  # a step takes 6,144 bytes
    images = StreamedImages(np.zeros((100, 8, 8, 3), np.uint8), device_bytes)
    assert images.steps_per_chunk(num_steps, 32) == steps


def test_rows_are_read_in_order(monkeypatch):
    monkeypatch.setattr(streaming, "_GATHERED_BYTES", 2 * 8)
    read = []

    class Recorder(np.ndarray):
        def __getitem__(self, key):
            if isinstance(key, np.ndarray):
                read.extend(key.tolist())
            return np.asarray(super().__getitem__(key))

    array = np.arange(10.0).view(Recorder)
    np.testing.assert_array_equal(gather(array, np.array([7, 2, 9, 0, 4]), 6), [7, 2, 9, 0, 4, 0])
    assert read == [0, 2, 4, 7, 9]
