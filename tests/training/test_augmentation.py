"""Crop, flip, Cutout and mixup against NumPy, image by image; and statistics of the draws."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.training.augmentation import Augmentation

CIFAR = Augmentation((32, 32, 3), num_classes=10, fill=(113.75, 110.5, 103.25), pad=4, cutout=16)
DIGITS = Augmentation((8, 8, 1), num_classes=10, fill=(77.5,), pad=1, cutout=4)
OBLONG = Augmentation((9, 6, 2), num_classes=3, fill=(-1.5, 300.0), pad=3, cutout=5, mixup=0.4)
OFF = {"pad": 0, "flip": False, "cutout": 0, "mixup": 0.0}
PARTS = [{}, *({name: OFF[name] for name in OFF if name != part} for part in OFF)]


def _batch(augmentation, size=24, *, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (size, *augmentation.input_shape)).astype(dtype)
    return images, rng.integers(0, augmentation.num_classes, size).astype(np.int32)


def _draws(augmentation, size=24, *, seed=1):
    """Draw one step, with shares in 256ths: mixtures of such images are exact in float32."""
    draws = augmentation.draw(1, size, rng=np.random.default_rng(seed))
    draws = {name: values[0] for name, values in draws.items()}
    if "share" in draws:
        draws["share"] = np.round(draws["share"] * 256).astype(np.float32) / 256
    return draws


def _augment(augmentation, images, targets, draws):
    outputs = augmentation.apply(*map(tf.constant, (images, targets)), _constant(draws))
    return tuple(output.numpy() for output in outputs)


def _constant(draws):
    return {name: tf.constant(values) for name, values in draws.items()}


def _reference(augmentation, images, classes, draws):
    """Augment with slices, an image at a time, in float64."""
    height, width, _ = augmentation.input_shape
    pad, size, moved = augmentation.pad, augmentation.cutout, []
    for n, image in enumerate(images):
        if pad:
            canvas = np.empty((height + 2 * pad, width + 2 * pad, image.shape[-1]))
            canvas[:] = augmentation.fill
            canvas[pad : pad + height, pad : pad + width] = image
            top, left = draws["offset"][n]
            image = canvas[top : top + height, left : left + width]
        image = np.array(image, np.float64)
        if augmentation.flip and draws["flipped"][n]:
            image = image[:, ::-1]
        if size:
            top, left = (center - size // 2 for center in draws["center"][n])
            image[max(top, 0) : top + size, max(left, 0) : left + size] = augmentation.fill
        moved.append(image)
    if not augmentation.mixup:
        return np.array(moved), classes
    labels = np.eye(augmentation.num_classes)[classes] if classes.ndim == 1 else classes
    shares = draws["share"].astype(np.float64)
    pairs = list(enumerate(zip(shares, draws["partner"], strict=True)))
    return (
        np.array([share * moved[n] + (1 - share) * moved[m] for n, (share, m) in pairs]),
        np.array([share * labels[n] + (1 - share) * labels[m] for n, (share, m) in pairs]),
    )


class TestPrepare:
    @pytest.mark.parametrize("off", PARTS, ids=["all", *OFF])
    @pytest.mark.parametrize("whole", [CIFAR, DIGITS, OBLONG], ids=["cifar", "digits", "oblong"])
    def test_equals_the_reference(self, whole, off):
        augmentation = replace(whole, **off)
        images, classes = _batch(augmentation)
        draws = _draws(augmentation)
        actual = _augment(augmentation, images, classes, draws)
        expected = _reference(augmentation, images, classes, draws)
        for mine, theirs in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert not np.array_equal(actual[0], images)

    def test_any_share(self):
        images, classes = _batch(CIFAR)
        draws = {k: v[0] for k, v in CIFAR.draw(1, 24, rng=np.random.default_rng(2)).items()}
        actual = _augment(CIFAR, images, classes, draws)
        for mine, theirs in zip(actual, _reference(CIFAR, images, classes, draws), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=3e-7, atol=1e-7)

    def test_everything_off_changes_nothing(self):
        augmentation = replace(CIFAR, **OFF)
        images, classes = _batch(augmentation)
        assert augmentation.draw(3, 24, rng=np.random.default_rng(0)) == {}
        prepared, targets = _augment(augmentation, images, classes, {})
        np.testing.assert_array_equal(prepared, images)
        np.testing.assert_array_equal(targets, classes)
        assert targets.dtype == classes.dtype

    @pytest.mark.parametrize(
        ("size", "center", "expected"),
        [
            (2, (2, 3), "...... ..##.. ..##.. ...... ......"),
            (3, (2, 3), "...... ..###. ..###. ..###. ......"),
            (1, (2, 3), "...... ...... ...#.. ...... ......"),
            (4, (0, 0), "##.... ##.... ...... ...... ......"),
            (3, (0, 5), "....## ....## ...... ...... ......"),
            (4, (4, 5), "...... ...... ...### ...### ...###"),
        ],
    )
    def test_the_hole(self, size, center, expected):
        augmentation = Augmentation((5, 6, 1), 2, (9.0,), **{**OFF, "cutout": size})
        draws = {"center": np.array([center])}
        images, _ = _augment(augmentation, np.zeros((1, 5, 6, 1)), np.zeros(1, np.int32), draws)
        rows = expected.split()
        np.testing.assert_array_equal(
            images[0, ..., 0], [[9.0 * (pixel == "#") for pixel in row] for row in rows]
        )

    @pytest.mark.parametrize(
        ("offset", "flipped", "expected"),
        [
            ((1, 1), False, [[1, 2, 3], [4, 5, 6]]),
            ((1, 1), True, [[3, 2, 1], [6, 5, 4]]),
            ((0, 0), False, [[9, 9, 9], [9, 1, 2]]),
            ((0, 0), True, [[9, 9, 9], [2, 1, 9]]),
            ((2, 2), False, [[5, 6, 9], [9, 9, 9]]),
        ],
    )
    def test_the_crop_and_then_the_flip(self, offset, flipped, expected):
        augmentation = Augmentation((2, 3, 1), 2, (9.0,), pad=1, cutout=0, mixup=0)
        images = np.arange(1.0, 7.0).reshape(1, 2, 3, 1)
        draws = {"offset": np.array([offset]), "flipped": np.array([flipped])}
        prepared, _ = _augment(augmentation, images, np.zeros(1, np.int32), draws)
        np.testing.assert_array_equal(prepared[0, ..., 0], expected)

    def test_without_mixup_an_image_depends_on_no_other(self):
        augmentation = replace(CIFAR, mixup=0)
        images, classes = _batch(augmentation)
        draws = _draws(augmentation)
        prepared, _ = _augment(augmentation, images, classes, draws)
        alone = {name: values[5:6] for name, values in draws.items()}
        single, _ = _augment(augmentation, images[5:6], classes[5:6], alone)
        np.testing.assert_array_equal(single[0], prepared[5])

    def test_pixels_of_any_type_become_float32(self):
        images, classes = _batch(CIFAR, dtype=np.uint8)
        draws = _draws(CIFAR)
        prepared, _ = _augment(CIFAR, images, classes, draws)
        assert prepared.dtype == np.float32
        expected, _ = _augment(CIFAR, images.astype(np.float32), classes, draws)
        np.testing.assert_array_equal(prepared, expected)


class TestTargets:
    def test_of_mixup_are_weighted_classes(self):
        augmentation = replace(CIFAR, **{**OFF, "mixup": 1.0})
        images, _ = _batch(augmentation, 3)
        draws = {
            "share": np.array([0.75, 0.5, 1.0], np.float32),
            "partner": np.array([1, 0, 0]),
        }
        _, targets = _augment(augmentation, images, np.array([2, 7, 4], np.int32), draws)
        expected = np.zeros((3, 10))
        expected[0, [2, 7]], expected[1, [2, 7]], expected[2, 4] = (0.75, 0.25), 0.5, 1.0
        np.testing.assert_array_equal(targets, expected)
        assert targets.dtype == np.float32

    @pytest.mark.parametrize("mixup", [0.2, 1.0])
    def test_of_mixup_sum_to_one(self, mixup):
        augmentation = replace(CIFAR, **{**OFF, "mixup": mixup})
        images, classes = _batch(augmentation, 200)
        draws = augmentation.draw(1, 200, rng=np.random.default_rng(3))
        _, targets = _augment(augmentation, images, classes, {k: v[0] for k, v in draws.items()})
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=2e-7)
        assert targets.min() == 0

    def test_that_are_probabilities_are_mixed_alike(self):
        images, classes = _batch(OBLONG)
        draws = _draws(OBLONG)
        _, from_classes = _augment(OBLONG, images, classes, draws)
        _, same = _augment(OBLONG, images, np.eye(3, dtype=np.float32)[classes], draws)
        np.testing.assert_array_equal(same, from_classes)
        probabilities = np.random.default_rng(0).dirichlet(np.ones(3), 24).astype(np.float32)
        actual = _augment(OBLONG, images, probabilities, draws)
        for mine, theirs in zip(
            actual, _reference(OBLONG, images, probabilities, draws), strict=True
        ):
            np.testing.assert_allclose(mine, theirs, rtol=3e-7)

    def test_without_mixup_are_unchanged(self):
        augmentation = replace(OBLONG, mixup=0)
        images, classes = _batch(augmentation)
        for targets in (classes, np.eye(3, dtype=np.float32)[classes]):
            _, same = _augment(augmentation, images, targets, _draws(augmentation))
            np.testing.assert_array_equal(same, targets)

    def test_do_not_change_the_images(self):
        """A teacher can predict the transformed images before the targets exist."""
        images, classes = _batch(CIFAR)
        draws = _draws(CIFAR)
        first, _ = _augment(CIFAR, images, classes, draws)
        second, _ = _augment(CIFAR, images, np.zeros((24, 10), np.float32), draws)
        np.testing.assert_array_equal(first, second)


@pytest.fixture(scope="module")
def draws():
    return CIFAR.draw(400, 64, rng=np.random.default_rng(0))


class TestDraw:
    def test_shapes_and_types(self, draws):
        assert {name: (v.shape, v.dtype.name) for name, v in draws.items()} == {
            "offset": ((400, 64, 2), "int64"),
            "flipped": ((400, 64), "bool"),
            "center": ((400, 64, 2), "int64"),
            "share": ((400, 64), "float32"),
            "partner": ((400, 64), "int64"),
        }

    @pytest.mark.parametrize(("name", "num_values"), [("offset", 9), ("center", 32)])
    def test_places_are_uniform(self, draws, name, num_values):
        rows, columns = draws[name].reshape(-1, 2).T
        counts = np.zeros((num_values, num_values))
        np.add.at(counts, (rows, columns), 1)
        expected = counts.mean()
        chi_squared, freedom = ((counts - expected) ** 2 / expected).sum(), num_values**2 - 1
        assert abs(chi_squared - freedom) < 4 * np.sqrt(2 * freedom)

    def test_places_lie_in_images_that_are_not_square(self):
        draws = OBLONG.draw(50, 64, rng=np.random.default_rng(0))
        for axis, side in enumerate((9, 6)):
            assert set(draws["center"][..., axis].flat) == set(range(side))
            assert set(draws["offset"][..., axis].flat) == set(range(7))

    def test_half_are_flipped(self, draws):
        flipped = draws["flipped"]
        assert abs(flipped.mean() - 0.5) < 4 * 0.5 / np.sqrt(flipped.size)

    @pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
    def test_shares_have_the_beta_distribution(self, alpha):
        from scipy.stats import beta, kstest

        draws = replace(CIFAR, mixup=alpha).draw(100, 64, rng=np.random.default_rng(1))
        shares = draws["share"].ravel()
        assert shares.min() >= 0
        assert shares.max() <= 1
        assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 1e-3

    def test_partners_are_a_permutation_of_each_batch(self, draws):
        partner = draws["partner"]
        np.testing.assert_array_equal(np.sort(partner, axis=1), np.tile(np.arange(64), (400, 1)))
        assert len(np.unique(partner, axis=0)) == 400
        with_themselves = (partner == np.arange(64)).sum()  # one per batch is expected
        assert abs(with_themselves - 400) < 4 * np.sqrt(400)

    def test_images_of_a_batch_draw_independently(self, draws):
        for name in ("offset", "flipped", "center", "share"):
            values = draws[name].reshape(400, 64, -1)[..., 0].astype(float)
            for first, second in ((values[:, :-1], values[:, 1:]), (values[:-1], values[1:])):
                correlation = np.corrcoef(first.ravel(), second.ravel())[0, 1]
                assert abs(correlation) < 4 / np.sqrt(first.size), name

    def test_parts_draw_independently(self, draws):
        columns = [v.reshape(400 * 64, -1).astype(float) for v in draws.values()]
        correlations = np.corrcoef(np.concatenate(columns, axis=1), rowvar=False)
        assert np.abs(correlations - np.eye(7)).max() < 4.5 / np.sqrt(400 * 64)

    def test_the_seed_decides(self, draws):
        again = CIFAR.draw(400, 64, rng=np.random.default_rng(0))
        other = CIFAR.draw(400, 64, rng=np.random.default_rng(1))
        for name, values in draws.items():
            np.testing.assert_array_equal(values, again[name])
            assert not np.array_equal(values, other[name])


class TestCompiled:
    @pytest.mark.parametrize("size", [24, None], ids=["batch", "batch of any size"])
    @pytest.mark.parametrize("off", PARTS, ids=["all", *OFF])
    def test_is_traced_once_and_equals_eager(self, off, size):
        augmentation = replace(OBLONG, **off)
        traces = []

        def augment(images, targets, draws):
            traces.append(images.shape)
            return augmentation.apply(images, targets, draws)

        def spec(array):
            return tf.TensorSpec((size, *array.shape[1:]), array.dtype)

        images, classes = _batch(augmentation, dtype=np.uint8)
        draws = _draws(augmentation)
        signature = spec(images), spec(classes), {k: spec(v) for k, v in draws.items()}
        compiled = tf.function(augment, input_signature=signature, autograph=False)
        for seed, num in ((0, 24), (1, size or 7)):
            images, classes = _batch(augmentation, num, seed=seed, dtype=np.uint8)
            draws = _draws(augmentation, num, seed=seed)
            outputs = compiled(images, classes, _constant(draws))
            expected = _augment(augmentation, images, classes, draws)
            for mine, theirs in zip(outputs, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs)
        assert len(traces) == 1

    def test_indices_are_computed_on_the_device(self):
        """TensorFlow computes with int32 on the host, on a machine with a GPU too."""
        images, classes = _batch(OBLONG)
        draws = _draws(OBLONG)
        function = tf.function(OBLONG.apply, autograph=False)
        graph = function.get_concrete_function(images, classes, _constant(draws)).graph
        arithmetic = [op for op in graph.get_operations() if op.type in ("AddV2", "Mul", "Less")]
        assert len(arithmetic) > 5
        assert {op.inputs[0].dtype for op in arithmetic} == {tf.int64, tf.float32}


class TestValue:
    def test_fill_of_a_data_set_is_rescaled_to_nothing(self):
        digits = load_dataset("digits")
        assert Augmentation.for_dataset(digits).pad == 1
        assert Augmentation.for_dataset(digits).cutout == 4
        augmentation = Augmentation.for_dataset(digits, pad=2, cutout=3, mixup=0)
        assert augmentation == Augmentation(
            (8, 8, 1), 10, augmentation.fill, pad=2, cutout=3, mixup=0
        )
        assert augmentation.fill == pytest.approx([digits.x_train.mean()], rel=1e-12)
        rescaling = digits.rescaling()
        rescaled = np.float32(augmentation.fill) * rescaling.scale + rescaling.offset
        assert np.abs(rescaled).max() < 1e-6

    def test_is_made_without_a_backend(self):
        pickled = pickle.dumps(CIFAR)
        program = (
            "import pickle, sys\n"
            f"augmentation = pickle.loads({pickled!r})\n"
            "import numpy\n"
            "augmentation.draw(2, 3, rng=numpy.random.default_rng(0))\n"
            "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)\n"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
        assert pickle.loads(pickled) == CIFAR
        assert len({CIFAR, replace(CIFAR)}) == 1

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"input_shape": (8, 8)}, r"input_shape is \(8, 8\); expected the \(height, width"),
            ({"input_shape": (0, 8, 1)}, r"input_shape is \(0, 8, 1\)"),
            ({"num_classes": 0}, "num_classes is 0; expected a positive integer"),
            ({"fill": (1, 2)}, r"fill is \(1.0, 2.0\); expected one number per channel, 1"),
            ({"fill": (np.nan,)}, r"fill is \(nan,\)"),
            ({"pad": -1}, r"pad is -1; expected 0 \(no crop\) or an integer less than 8, the"),
            ({"pad": 8}, "pad is 8"),
            ({"pad": 1.5}, "pad is 1.5"),
            (
                {"cutout": 9},
                r"cutout is 9; expected 0 \(no Cutout\) or an integer up to 8, the shorter side of"
                r" images of shape \(8, 9, 1\)\.",
            ),
            ({"cutout": -2}, "cutout is -2"),
            ({"mixup": -0.1}, r"mixup is -0.1; expected 0 \(no mixup\) or a positive number"),
            ({"mixup": np.inf}, "mixup is inf"),
        ],
    )
    def test_a_value_out_of_range_is_refused(self, settings, message):
        valid = {"input_shape": (8, 9, 1), "num_classes": 10, "fill": (0,), "pad": 7, "cutout": 8}
        Augmentation(**valid)
        with pytest.raises(ValueError, match=message):
            Augmentation(**{**valid, **settings})

    def test_parts_are_switched_off_with_false_too(self):
        off = dict.fromkeys(OFF, False)
        assert replace(CIFAR, **off).draw(2, 2, rng=np.random.default_rng(0)) == {}

    def test_batches_of_other_shapes_are_refused(self):
        images, classes = _batch(CIFAR)
        with pytest.raises(
            ValueError, match=r"images to augment have shape \(32, 32, 3\); expected"
        ):
            _augment(DIGITS, images, classes, _draws(DIGITS))
        with pytest.raises(ValueError, match="probabilities of 4 classes; expected 10"):
            _augment(CIFAR, images, np.ones((24, 4), np.float32) / 4, _draws(CIFAR))
