"""Data sets from `.npz` files, and the errors of malformed files."""

import pickle
import zipfile
from copy import copy
from functools import reduce

import numpy as np
import pytest

from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset


def _write(path, **arrays):
    np.savez(path, **arrays)
    return path


def _images(num=40, shape=(6, 5, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (num, *shape), dtype=np.uint8)


def _labels(num=40, num_classes=4):
    return np.arange(num) % num_classes


def _rows(images):
    return {row.tobytes() for row in images}


def test_a_tenth_is_held_out_for_validation(tmp_path):
    x, y = _images(), _labels()
    path = _write(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    dataset = load_dataset(path)
    assert dataset.name == str(path)
    assert dataset.num_classes == 4
    assert dataset.input_shape == (6, 5, 3)
    assert [len(dataset.x_train), len(dataset.x_validation)] == [36, 4]
    assert sorted(dataset.y_validation) == [0, 1, 2, 3]
    assert _rows(dataset.x_train) | _rows(dataset.x_validation) == _rows(x)
    np.testing.assert_array_equal(dataset.x_test, x[:8])
    np.testing.assert_array_equal(dataset.y_test, y[:8])
    of_image = {image.tobytes(): label for image, label in zip(x, y, strict=True)}
    for image, label in zip(dataset.x_train, dataset.y_train, strict=True):
        assert of_image[image.tobytes()] == label


@pytest.mark.parametrize("dtype", ["U", "S"])
def test_class_names_are_kept(tmp_path, dtype):
    x, y, names = _images(), _labels(), np.array(["rose", "tulip", "daisy", "lily"], dtype)
    path = _write(tmp_path / "mine.npz", x_train=x, y_train=y, class_names=names)
    assert load_dataset(path).class_names == ("rose", "tulip", "daisy", "lily")
    _write(path, x_train=x, y_train=y, class_names=names[:3])
    with pytest.raises(DatasetError, match=r"class_names has shape \(3,\).*expected 4 texts"):
        load_dataset(path)


def test_the_split_is_deterministic(tmp_path):
    path = _write(tmp_path / "mine.npz", x_train=_images(), y_train=_labels())
    first, second = load_dataset(path), load_dataset(str(path))
    np.testing.assert_array_equal(first.x_validation, second.x_validation)


def test_at_most_5000_are_held_out(tmp_path):
    x = np.zeros((60_000, 1, 1), np.uint8)
    path = _write(tmp_path / "mine.npz", x_train=x, y_train=_labels(60_000, 10))
    dataset = load_dataset(path)
    assert len(dataset.y_validation) == 5000
    assert np.bincount(dataset.y_validation).tolist() == [500] * 10
    assert dataset.input_shape == (1, 1, 1)
    assert dataset.x_test is None
    assert dataset.y_test is None


def test_one_image_of_each_class_stays_in_training(tmp_path):
    labels = np.array([0] * 57 + [1, 2, 3])
    dataset = load_dataset(_write(tmp_path / "a.npz", x_train=_images(60), y_train=labels))
    assert set(dataset.y_train.tolist()) == {0, 1, 2, 3}


def test_a_validation_part_in_the_file_is_used(tmp_path):
    x, y = _images(), _labels()
    path = tmp_path / "a.npz"
    _write(path, x_train=x, y_train=y, x_validation=x[:9], y_validation=y[:9])
    dataset = load_dataset(path)
    assert len(dataset.y_train) == 40
    np.testing.assert_array_equal(dataset.x_validation, x[:9])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_stay_floats(tmp_path, dtype):
    x = (_images() / 2).astype(dtype)
    dataset = load_dataset(_write(tmp_path / "a.npz", x_train=x, y_train=_labels()))
    assert dataset.x_train.dtype == np.float32
    assert _rows(dataset.x_train) <= _rows(x.astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint16"])
def test_integers_become_uint8(tmp_path, dtype):
    x = _images().astype(dtype)
    dataset = load_dataset(_write(tmp_path / "a.npz", x_train=x, y_train=_labels()))
    assert dataset.x_train.dtype == np.uint8


@pytest.mark.parametrize("shape", [(40,), (40, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "one-hot"])
def test_labels_may_be_a_column_or_floats_or_one_hot(tmp_path, shape, dtype):
    y = _labels().reshape(shape)
    y = np.eye(4)[y.ravel()] if dtype == "one-hot" else y.astype(dtype)
    dataset = load_dataset(_write(tmp_path / "a.npz", x_train=_images(), y_train=y))
    assert dataset.y_train.dtype == np.int32
    assert dataset.y_train.shape == (36,)
    assert np.bincount(dataset.y_train).tolist() == [9] * 4


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        (("x_train", "y_train"), ("x_val", "y_val"), ("x_test", "y_test")),
        (("X_train", "Y_TRAIN"), ("x_valid", "y_valid"), ("X_test", "Y_test")),
        (("xtrain", "ytrain"), ("x_validation", "y_val"), ("testX", "testY")),
        (
            ("train_images", "train_labels"),
            ("val_images", "val_labels"),
            ("test_x", "test_y"),
        ),
    ],
)
def test_other_spellings_of_the_names_are_known(tmp_path, train, validation, test):
    x, y = _images(), _labels()
    parts = {train: (x, y), validation: (x[:20], y[:20]), test: (x[20:], y[20:])}
    arrays = {
        name: array
        for names, pair in parts.items()
        for name, array in zip(names, pair, strict=True)
    }
    dataset = load_dataset(_write(tmp_path / "a.npz", **arrays))
    np.testing.assert_array_equal(dataset.x_train, x)
    np.testing.assert_array_equal(dataset.x_validation, x[:20])
    np.testing.assert_array_equal(dataset.y_test, y[20:])


def test_arrays_that_have_no_use_are_named(tmp_path, caplog):
    more = {"label_names": np.array(["a", "b"]), "extra": np.array(2026)}
    path = _write(tmp_path / "a.npz", x_train=_images(), y_train=_labels(), **more)
    load_dataset(path)
    [record] = caplog.records
    assert record.getMessage() == f"{path}: no use for label_names, extra."


def test_a_class_without_validation_images_is_named(tmp_path, caplog):
    labels = np.array([0] * 57 + [1, 2, 2])
    path = _write(tmp_path / "a.npz", x_train=_images(60), y_train=labels)
    assert set(load_dataset(path).y_validation) == {0, 2}
    [record] = caplog.records
    assert "a.npz: no validation image of class 1: errors of" in record.getMessage()


def test_images_of_a_single_gray_value_have_no_range(tmp_path):
    x = np.full((40, 8, 8), 1.0)
    assert load_dataset(_write(tmp_path / "a.npz", x_train=x, y_train=_labels())).x_train.max() == 1


def test_dark_images_may_be_darker_than_the_training_images(tmp_path):
    x = np.minimum(_images(), 20)
    x[0, 0] = 255
    arrays = {"x_train": x, "y_train": _labels(), "x_test": x[1:], "y_test": _labels()[1:]}
    assert load_dataset(_write(tmp_path / "a.npz", **arrays)).x_test.max() == 20


def test_ten_images_suffice(tmp_path):
    dataset = load_dataset(_write(tmp_path / "a.npz", x_train=_images(10), y_train=_labels(10)))
    assert len(dataset.y_train) == 9


def _float_images(value):
    images = _images().astype(np.float64)
    images[3, 2, 1, 0] = value
    return images


BAD_ARRAYS = {
    "no images": ({"x_train": None}, r"has no array x_train, only y_train; expected both x_train"),
    "no labels": ({"y_train": None}, r"has no array y_train, only x_train; expected both x_train"),
    "other names": (
        {"x_train": None, "y_train": None, "images": _images(), "labels": _labels()},
        r"has no array x_train, only images, labels; expected both x_train and y_train\.",
    ),
    "nothing": ({"x_train": None, "y_train": None}, r"has no array x_train, nor any other;"),
    "x_dev": (
        {"x_dev": _images(), "y_dev": _labels()},
        r"has an array x_dev; expected x_train, y_train, x_validation, .*y_test\. Rename it",
    ),
    "x_tst": ({"x_tst": _images()}, r"has an array x_tst \(did you mean x_test\?\); expected"),
    "extra images": ({"unlabeled_images": _images()}, r"has an array unlabeled_images; expected"),
    "twice": (
        {"x_val": _images(), "X_valid": _images(), "y_val": _labels()},
        r"has both x_val and X_valid; expected one array x_validation",
    ),
    "lengths": ({"y_train": _labels(39)}, r"x_train has 40 images, y_train 39 labels"),
    "vectors": ({"x_train": np.zeros((40, 7))}, r"x_train has shape \(40, 7\).*at least 1\.$"),
    "flat": ({"x_train": _images(shape=(784,))}, r"\(40, 784\).* x\.reshape\(-1, 28, 28, 1\)\."),
    "flat RGB": ({"x_train": _images(shape=(192,))}, r"\(40, 192\).* x\.reshape\(-1, 8, 8, 3\)\."),
    "channels first": (
        {"x_train": _images(shape=(3, 32, 24))},
        r"\(40, 3, 32, 24\), which looks like \(images, channels, .* x\.transpose\(0, 2, 3, 1\)",
    ),
    "empty": (
        {"x_train": _images(0), "y_train": _labels(0)},
        r"has shape \(0, 6, 5, 3",
    ),
    "few": (
        {"x_train": _images(9), "y_train": _labels(9)},
        r"has 9 training images; .* at least 10",
    ),
    "NaN": ({"x_train": _float_images(np.nan)}, r"x_train contains 1 NaN or infinite"),
    "infinite": ({"x_train": _float_images(1e300)}, r"x_train contains 1 NaN or infinite"),
    "bool": ({"x_train": _images() > 7}, r"x_train has dtype bool"),
    "too bright": ({"x_train": _images().astype(int) + 1}, r"pixels from 1 to 256; .* Clip them"),
    "16 bits": (
        {"x_train": _images().astype(int) * 257},
        r"from 0 to 65535; .* rescale all",
    ),
    "0 to 1": (
        {"x_train": _images() / 255},
        r"has pixels from 0 to 1; .* Multiply them by",
    ),
    "0 or 1": (
        {"x_train": _images() // 128},
        r"has pixels from 0 to 1; expected raw pixels",
    ),
    "-1 to 1": (
        {"x_train": _images() / 127.5 - 1},
        r"x_train has pixels from -1 to 1; expected .* Store \(x \+ 1\) \* 127\.5 instead\.",
    ),
    "standardized": ({"x_train": _images() / 64 - 2}, r"pixels from -2 to 1\.98438; .* original"),
    "test range": (
        {"x_train": _images() / 1, "x_test": _images() / 255, "y_test": _labels()},
        r"x_test has pixels from 0 to 1; expected raw pixels from 0 to 255",
    ),
    "validation range": (
        {"x_val": _images() // 16, "y_val": _labels()},
        r"x_val has pixels from 0 to 15, the training images from 0 to 255; expected the same",
    ),
    "soft labels": ({"y_train": np.eye(4)[_labels()] * 0.9}, r"y_train has several columns that"),
    "multi-label": ({"y_train": np.ones((40, 3))}, r"y_train has several columns that are not one"),
    "cubes": ({"y_train": np.zeros((40, 1, 1))}, r"y_train has shape \(40, 1, 1\); .* or one-hot"),
    "strings": ({"y_train": np.array(["cat"] * 40)}, r"y_train has dtype <U3"),
    "negative": ({"y_train": _labels() - 1}, r"y_train contains -1"),
    "fractions": ({"y_train": _labels() + 0.5}, r"y_train contains 0\.5"),
    "NaN label": ({"y_train": _labels() * np.nan}, r"y_train contains nan"),
    "one class": ({"y_train": np.zeros(40, int)}, r"has training images of class 0 only"),
    "from 1": ({"y_train": _labels() + 1}, r"numbered up to 4, but no .* class 0; expected 0 to 3"),
    "huge": ({"y_train": _labels() * 10**9 // 2}, r"numbered up to 1500000000, but no .* class 1;"),
    "one image per class": (
        {"y_train": np.arange(40)},
        r"40 classes in 40 images; .*more than",
    ),
    "unpaired test": (
        {"X_test": _images()},
        r"no array y_test, only x_train, y_train, X_test;",
    ),
    "test shape": (
        {"x_test": _images(shape=(6, 5, 1)), "y_test": _labels()},
        r"x_test has images of shape \(6, 5, 1\) .* x_train of shape \(6, 5, 3\)",
    ),
    "test type": (
        {"x_test": _images() / 255, "y_test": _labels()},
        r"x_test has images of shape .* \(float32\), x_train .* \(uint8\); expected the same",
    ),
    "test classes": (
        {"x_test": _images(), "y_test": _labels(num_classes=5)},
        r"y_test contains class 4, y_train only 0 to 3",
    ),
    "objects": (
        {"y_train": np.array([{}] * 40)},
        r"numeric arrays \(y_train is an array of objects, which are never .*; store numbers\)",
    ),
    "an empty column": (
        {"y_train": np.eye(5)[_labels()]},
        r"y_train has 5 columns, but y_train has images of 4 classes; expected one-hot",
    ),
    "other columns": (
        {"y_train": np.eye(4)[_labels()], "x_test": _images(), "Y_test": np.eye(5)[_labels()]},
        r"Y_test has 5 columns, but y_train has images of 4 classes; .* Remove the columns of",
    ),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_malformed_arrays_are_refused(tmp_path, case):
    changes, message = BAD_ARRAYS[case]
    arrays = {"x_train": _images(), "y_train": _labels(), **changes}
    path = tmp_path / "bad.npz"
    _write(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DatasetError, match=message) as raised:
        load_dataset(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def _truncated(path):
    _write(path, x_train=_images(), y_train=_labels())
    path.write_bytes(path.read_bytes()[:-200])


def _corrupted(path):
    np.savez_compressed(path, x_train=_images(), y_train=_labels())
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)


def _single_array(path):
    with path.open("wb") as file:
        np.save(file, _images())


def _no_array(path):
    _write(path, x_train=_images())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_train.npy", "no array at all")


def _encrypted(path):
    _write(path, x_train=_images(), y_train=_labels())
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(signature)
        while at >= 0:
            content[at + flags] |= 1  # bit 0 of the flags: encrypted
            at = content.find(signature, at + 1)
    path.write_bytes(content)


def _unknown_compression(path):
    _write(path, x_train=_images(), y_train=_labels())
    content = bytearray(path.read_bytes())
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = content.find(signature)
        while at >= 0:
            content[at + method] = 9  # deflate64
            at = content.find(signature, at + 1)
    path.write_bytes(content)


BAD_FILES = {
    "no array": _no_array,
    "encrypted": _encrypted,
    "unknown compression": _unknown_compression,
    "text": lambda path: path.write_text("hello, this is not an archive"),
    "nothing": lambda path: path.write_bytes(b""),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"x_train": 1})),
    "truncated": _truncated,
    "corrupted": _corrupted,
    "single array": _single_array,
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_other_files_are_refused(tmp_path, case):
    path = tmp_path / "bad.npz"
    BAD_FILES[case](path)
    with pytest.raises(DatasetError, match=r"bad\.npz is not a readable \.npz .*numpy\.savez"):
        load_dataset(path)


def test_out_of_memory_is_reported(tmp_path, monkeypatch):
    path = tmp_path / "large.npz"
    _write(path, x_train=_images(), y_train=_labels())

    def read(self):
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr("lemonade_tf.datasets.npz.NpzMember.read", read)
    with pytest.raises(DatasetError, match=r"large\.npz does not fit into memory .*7 TiB.*fewer"):
        load_dataset(path)


def test_labels_may_be_half_precision(tmp_path):
    _write(tmp_path / "a.npz", x_train=_images(), y_train=_labels().astype(np.float16))
    assert load_dataset(tmp_path / "a.npz").y_train.dtype == np.int32


@pytest.mark.parametrize("suffix", ["", "/x.npz"])
def test_a_missing_file_is_reported(tmp_path, suffix):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DatasetError, match=r"folder\.npz.* does not exist; expected an \.npz"):
        load_dataset(tmp_path / f"folder.npz{suffix}")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_images_are_read_in_chunks(tmp_path, monkeypatch, save, order):
    x, y = np.asarray(_images(60) / 7, order=order), _labels(60)
    save(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:7], y_test=y[:7])
    whole = load_dataset(tmp_path / "a.npz")
    monkeypatch.setattr("lemonade_tf.datasets.npz_members._BYTES", 7 * 6 * 5 * 3 * 8)
    shapes = []

    def allocate(shape, dtype):
        shapes.append(shape)
        return np.full(shape, 77, dtype)

    chunked = load_dataset(tmp_path / "a.npz", allocate=allocate)
    assert chunked.digest() == whole.digest()
    assert _rows(chunked.x_train) | _rows(chunked.x_validation) == _rows(x.astype(np.float32))
    assert shapes == [(54, 6, 5, 3), (6, 6, 5, 3), (7, 6, 5, 3)]


def test_a_checksum_is_verified(tmp_path):
    path = _write(tmp_path / "bad.npz", x_train=_images(), y_train=_labels())
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"bad\.npz is not a readable .*CRC"):
        load_dataset(path)


# --- Files of strangers --------------------------------------------------------------------------


def _npy(shape, content=b"", version=(1, 0), length=None):
    """Return a `.npy` file with a header of one's choice."""
    header = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    size = len(header) if length is None else length
    return (
        np.lib.format.magic(*version) + size.to_bytes(2 * version[0], "little") + header + content
    )


def _zip(path, x_train, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x_train.npy", x_train)
        archive.writestr("y_train.npy", _npy((40,), bytes(_labels().astype(np.uint8))))
    return path


DEEP = reduce(lambda inner, _: (inner,), range(80), 1)
MALICIOUS = {
    "declared": (_npy((40, 1000, 10_000, 3)), r"x_train has shape \(40, 1000, 10000, 3\), but 0 b"),
    "negative": (_npy((-40, -1, 1, 1), bytes(40)), "has shape .*, but 40 bytes"),
    "bytes after it": (_npy((40, 1, 1, 1), bytes(50)), "has shape .*, but 50 bytes"),
    "long header": (_npy((40, 1, 1, 1), version=(2, 0), length=2**31), "header of 2,147,483,648"),
    "deep header": (_npy(DEEP), "is not a readable"),
    "not a header": (np.lib.format.magic(1, 0) + b"\xff\x1f" + b"(" * 8191, "is not a readable"),
}


@pytest.mark.parametrize("case", MALICIOUS)
def test_an_array_that_is_not_what_is_stored_is_refused(tmp_path, case):
    content, message = MALICIOUS[case]
    with pytest.raises(DatasetError, match=message) as refused:
        load_dataset(_zip(tmp_path / "a.npz", content))
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("num", "method", "message"),
    [
        (2**24 + 1, zipfile.ZIP_DEFLATED, "declares 16,777,2.. bytes, but 16,3.. are stored"),
        (1000, zipfile.ZIP_BZIP2, "compressed by a method that NumPy does not use"),
        (1000, zipfile.ZIP_LZMA, "compressed by a method that NumPy does not use"),
    ],
)
def test_an_array_that_is_much_larger_than_its_part_of_the_file_is_refused(
    tmp_path, num, method, message
):
    content = _npy((num, 1, 1, 1), bytes(num))
    with pytest.raises(DatasetError, match=message):
        load_dataset(_zip(tmp_path / "a.npz", content, method))


def test_arrays_that_overlap_are_refused(tmp_path):
    """The entries of both arrays lead to the same part of the file."""
    x = _npy((40, 100, 1, 1), bytes(4000))
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", x)
        for name in ("x_test", "y_train"):
            archive.filelist.append(copy(archive.getinfo("x_train.npy")))
            archive.filelist[-1].filename = f"{name}.npy"
    with pytest.raises(DatasetError, match=r"overlap|differ"):
        load_dataset(path)


def test_compressed_images_are_read(tmp_path):
    x, y = _images(shape=(100, 100, 3)), _labels()
    np.savez_compressed(tmp_path / "a.npz", x_train=x, y_train=y)
    assert _rows(load_dataset(tmp_path / "a.npz").x_validation) <= _rows(x)
