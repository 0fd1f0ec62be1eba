import numpy as np
import pytest

from lemonade_tf.datasets.channel_statistics import channel_statistics


def _images(num, dtype):
    images = np.random.default_rng(0).integers(0, 256, (num, 3, 5, 2))
    images[..., 1] //= 8
    return images.astype(dtype)


@pytest.mark.parametrize("num", [1, 64, 150])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_they_are_those_of_numpy(num, dtype):
    images = _images(num, dtype)
    mean, deviation = channel_statistics(images)
    values = images.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(deviation, values.std(axis=0), rtol=1e-14)


def test_sums_of_the_largest_bytes_are_exact():
    images = np.full((3000, 2, 2, 1), 255, np.uint8)
    images[0] = 254
    mean, deviation = channel_statistics(images)
    assert mean == [255 - 1 / 3000]
    np.testing.assert_allclose(deviation, np.sqrt(1 / 3000 - 1 / 3000**2), rtol=1e-15)


def test_floats_of_large_images_are_read_in_chunks(monkeypatch):
    images = _images(150, np.float32)
    expected = channel_statistics(images)
    monkeypatch.setattr("lemonade_tf.datasets.channel_statistics._FLOAT_VALUES", 7 * 30)
    np.testing.assert_allclose(channel_statistics(images), expected, rtol=1e-14)
