"""The rescaling and the digest of a data set."""

from dataclasses import replace

import numpy as np
import pytest

from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.loading import load_dataset


def _images(num=40):
    return np.random.default_rng(0).integers(0, 256, (num, 6, 5, 3), dtype=np.uint8)


def _dataset(images):
    labels = (np.arange(len(images)) % 4).astype(np.int32)
    return Dataset("toy", images, labels, images, labels, None, None, 4)


def _rescaled(images, rescaling):
    return images * np.array(rescaling.scale) + np.array(rescaling.offset)


def test_rescaling_gives_mean_0_and_deviation_1():
    digits = load_dataset("digits")
    rescaled = _rescaled(digits.x_train, digits.rescaling())
    assert rescaled.mean() == pytest.approx(0, abs=1e-12)
    assert rescaled.std() == pytest.approx(1, abs=1e-12)


def test_rescaling_of_many_images_is_computed_in_chunks():
    images = np.random.default_rng(0).normal(1e3, [1e-2, 5.0], (9000, 2, 2, 2))
    rescaling = _dataset(images.astype(np.float32)).rescaling()
    rescaled = _rescaled(images.astype(np.float32).astype(np.float64), rescaling)
    np.testing.assert_allclose(rescaled.mean(axis=(0, 1, 2)), 0, atol=1e-8)
    np.testing.assert_allclose(rescaled.std(axis=(0, 1, 2)), 1, atol=1e-8)


@pytest.mark.parametrize("constant", [0, 77, 0.1])
def test_rescaling_maps_a_constant_channel_to_0(constant):
    images = _images().astype(np.float32)
    images[..., 1] = constant
    rescaling = _dataset(images).rescaling()
    assert rescaling.scale[1] == 1
    np.testing.assert_allclose(_rescaled(images, rescaling)[..., 1], 0, atol=1e-6)
    assert _rescaled(images, rescaling)[..., 2].std() == pytest.approx(1, abs=1e-5)


def test_digest_depends_on_every_array_but_not_on_the_name():
    dataset = _dataset(_images())
    assert replace(dataset, name="other").digest() == dataset.digest()
    changed = dataset.x_train.copy()
    changed[3, 2, 1, 0] ^= 1
    others = [
        replace(dataset, x_train=changed),
        replace(dataset, x_validation=changed),
        replace(dataset, x_test=changed),
        replace(dataset, y_train=dataset.y_train[::-1]),
        replace(dataset, y_validation=dataset.y_validation[::-1]),
        replace(dataset, y_test=dataset.y_train),
        replace(dataset, x_train=dataset.x_train.view(np.int8)),
        replace(dataset, x_train=dataset.x_train.reshape(40, 5, 6, 3)),
    ]
    assert len({dataset.digest(), *(other.digest() for other in others)}) == len(others) + 1
