"""CIFAR from folders and archives as they are published, and what is said of files that are not."""

import gzip
import pickle
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from cifar_files import archive, cifar10_files, cifar100_files, python2_pickle, rows, write_folder

from lemonade_tf.datasets import cifar
from lemonade_tf.datasets.cifar import CIFAR10, CIFAR100, read_cifar
from lemonade_tf.datasets.loading import DatasetError, load_dataset

OFFICIAL = {"cifar10": (CIFAR10, cifar10_files), "cifar100": (CIFAR100, cifar100_files)}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Make sure that no test fetches the official files."""

    def refuse(url, path, *, sha256):
        raise DatasetError(f"fetches {url} to {path}")

    monkeypatch.setattr(cifar, "download", refuse)


def _write_archive(data_dir, layout, files):
    data_dir.mkdir(exist_ok=True)
    (data_dir / layout.archive).write_bytes(archive(files))
    return data_dir


def _upside_down(files):
    """Return the files in another order: that in the official archive is no order either."""
    return dict(reversed(files.items()))


class TestPixels:
    def test_planes_become_channels(self, tmp_path):
        row = np.arange(3072).reshape(1, 3072) % 251
        files = cifar10_files()
        files["cifar-10-batches-py/test_batch"] = python2_pickle(
            {"data": row.astype(np.uint8), "labels": [7]}
        )
        _, (images, labels) = read_cifar(CIFAR10, write_folder(tmp_path, files))
        assert images.shape == (1, 32, 32, 3)
        assert labels.tolist() == [7]
        for y, x, channel in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (5, 9, 2), (31, 31, 2)]:
            assert images[0, y, x, channel] == (1024 * channel + 32 * y + x) % 251

    def test_many_images_are_taken_in_chunks(self, tmp_path, monkeypatch):
        monkeypatch.setattr(cifar, "_CHUNK", 3)
        (images, _), _ = read_cifar(CIFAR10, write_folder(tmp_path, cifar10_files(10)))
        expected = np.concatenate([rows(10, seed) for seed in range(5)])
        np.testing.assert_array_equal(images.transpose(0, 3, 1, 2).reshape(50, 3072), expected)


@pytest.mark.parametrize("name", OFFICIAL)
class TestLayouts:
    def test_folder_and_archive_hold_the_same(self, tmp_path, name):
        layout, make_files = OFFICIAL[name]
        files = make_files()
        folder = read_cifar(layout, write_folder(tmp_path / "folder", files))
        packed = read_cifar(layout, _write_archive(tmp_path / "a", layout, _upside_down(files)))
        for (images, labels), (packed_images, packed_labels) in zip(folder, packed, strict=True):
            assert images.dtype == np.uint8
            assert labels.dtype == np.int32
            np.testing.assert_array_equal(images, packed_images)
            np.testing.assert_array_equal(labels, packed_labels)

    def test_an_archive_is_not_unpacked(self, tmp_path, name):
        layout, make_files = OFFICIAL[name]
        load_dataset(name, _write_archive(tmp_path, layout, make_files()))
        assert [path.name for path in tmp_path.iterdir()] == [layout.archive]

    def test_the_folder_goes_before_the_archive(self, tmp_path, name):
        layout, make_files = OFFICIAL[name]
        write_folder(tmp_path, make_files())
        (tmp_path / layout.archive).write_bytes(b"damaged")
        assert load_dataset(name, tmp_path).name == name

    def test_data_dir_is_data_if_none_is_given(self, tmp_path, monkeypatch, name):
        layout, make_files = OFFICIAL[name]
        write_folder(tmp_path / "data", make_files())
        monkeypatch.chdir(tmp_path)
        assert load_dataset(name).num_classes == layout.num_classes

    def test_data_dir_may_begin_with_a_tilde(self, tmp_path, monkeypatch, name):
        write_folder(tmp_path / "mine", OFFICIAL[name][1]())
        monkeypatch.setenv("HOME", str(tmp_path))
        assert load_dataset(name, "~/mine").name == name

    def test_data_dir_that_is_the_folder_itself(self, tmp_path, name):
        layout, make_files = OFFICIAL[name]
        folder = write_folder(tmp_path, make_files()) / layout.folder
        with pytest.raises(DatasetError, match=f"give the one .* --data_dir {tmp_path}\\."):
            load_dataset(name, folder)

    def test_what_is_not_there_is_fetched(self, tmp_path, monkeypatch, name):
        layout, make_files = OFFICIAL[name]

        fetched = []

        def fetch(url, path, *, sha256):
            fetched.append((url, sha256))
            path.write_bytes(archive(make_files()))

        monkeypatch.setattr(cifar, "download", fetch)
        for _ in range(2):
            assert load_dataset(name, tmp_path).name == name
        assert fetched == [(layout.url, layout.sha256)]

    def test_the_official_address(self, tmp_path, name):
        message = rf"fetches https://www\.cs\.toronto\.edu/~kriz/(.*) to {tmp_path}/\1$"
        with pytest.raises(DatasetError, match=message):
            load_dataset(name, tmp_path)


class TestSplit:
    def test_a_tenth_is_held_out(self, tmp_path):
        dataset = load_dataset("cifar10", write_folder(tmp_path, cifar10_files()))
        assert dataset.input_shape == (32, 32, 3)
        assert dataset.num_classes == 10
        parts = [dataset.x_train, dataset.x_validation, dataset.x_test]
        assert [len(part) for part in parts] == [90, 10, 20]
        assert dataset.y_validation.dtype == np.int32
        assert sorted(dataset.y_validation) == list(range(10))
        images = np.concatenate([dataset.x_train, dataset.x_validation])
        everything = np.concatenate([rows(20, seed) for seed in range(5)])
        everything = everything.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        assert {image.tobytes() for image in images} == {image.tobytes() for image in everything}
        of_image = {image.tobytes(): i % 10 for i, image in enumerate(everything)}
        labels = [of_image[image.tobytes()] for image in images]
        assert labels == [*dataset.y_train, *dataset.y_validation]

    def test_the_split_of_50000_is_for_ever(self, monkeypatch):
        numbers = np.arange(50_000)
        images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)
        examples = images.reshape(-1, 1, 1, 2), (numbers % 10).astype(np.int32)
        monkeypatch.setattr(
            "lemonade_tf.datasets.loading.read_cifar", lambda *_: (examples, examples)
        )
        dataset = load_dataset("cifar10")
        assert [len(dataset.y_train), len(dataset.y_validation)] == [45_000, 5_000]
        assert np.bincount(dataset.y_validation).tolist() == [500] * 10
        held_out = dataset.x_validation.reshape(-1, 2) @ np.array([256, 1])
        assert held_out[:10].tolist() == HELD_OUT
        assert int(held_out.sum()) == HELD_OUT_SUM

    def test_classes_that_have_no_image_count(self, tmp_path):
        dataset = load_dataset("cifar100", write_folder(tmp_path, _few()))
        assert dataset.num_classes == 100

    def test_one_image_a_class_cannot_be_split(self, tmp_path):
        data_dir = write_folder(tmp_path, cifar100_files(num=40))
        with pytest.raises(DatasetError, match=r"cifar100: the training set has 40 classes in 40"):
            load_dataset("cifar100", data_dir)


def _few():
    """Return a CIFAR-100 with images of three classes."""
    file = python2_pickle({"data": rows(30), "fine_labels": [1, 5, 99] * 10})
    return {"cifar-100-python/train": file, "cifar-100-python/test": file}


def test_a_file_of_python_3(tmp_path):
    file = pickle.dumps(
        {b"batch_label": b"x", b"labels": [i % 10 for i in range(20)], b"data": rows()}, protocol=4
    )
    files = dict.fromkeys(cifar10_files(1), file)
    (images, _), _ = read_cifar(CIFAR10, write_folder(tmp_path, files))
    np.testing.assert_array_equal(images[20:40].transpose(0, 3, 1, 2).reshape(20, 3072), rows())


def test_labels_may_be_an_array(tmp_path):
    labels = np.arange(20) % 10
    files = dict.fromkeys(cifar10_files(1), pickle.dumps({"labels": labels, "data": rows()}))
    _, (_, read) = read_cifar(CIFAR10, write_folder(tmp_path, files))
    np.testing.assert_array_equal(read, labels)


GOOD = {"data": rows(3), "labels": [1, 2, 3]}
BAD_CONTENT = {
    "cifar-100 under this name": (
        {"data": rows(3), "fine_labels": [1, 2, 3], "coarse_labels": [1, 1, 1]},
        r"has the keys coarse_labels, data, fine_labels; expected data and labels\. .*put that of",
    ),
    "no images": ({"labels": [1]}, r"has the keys labels; expected data and labels"),
    "nothing": ({}, r"has the keys nothing; expected"),
    "many keys": (dict.fromkeys("abcdefghijkl", 1), r"keys a, b, c, d, e, f, g, h, 4 more;"),
    "images of 64 x 64": (
        {**GOOD, "data": np.zeros((3, 12288), np.uint8)},
        r"data of the shape \(3, 12288\); expected \(images, 3072\)",
    ),
    "four axes": (
        {**GOOD, "data": np.zeros((3, 32, 32, 3), np.uint8)},
        r"data of the shape \(3, 32, 32, 3\); expected \(images, 3072\)",
    ),
    "no image": ({"data": rows(0), "labels": []}, r"data of the shape \(0, 3072\); .*at least one"),
    "floats": ({**GOOD, "data": rows(3) / 255}, r"data of the type float64; expected .* uint8"),
    "no array": ({**GOOD, "data": [1, 2]}, r"data of the type list; expected a NumPy array"),
    "lengths": ({**GOOD, "labels": [1, 2]}, r"has 3 images and 2 labels; expected one for each"),
    "too large": ({**GOOD, "labels": [1, 10, 2]}, r"has 10 among its labels; expected 0 to 9\."),
    "negative": ({**GOOD, "labels": [1, 2, -1]}, r"has -1 among its labels; expected 0 to 9\."),
    "huge": ({**GOOD, "labels": [1, 2, 2**70]}, r"has 1180591620717411303424 among its labels"),
    "fractions": ({**GOOD, "labels": [1, 2, 0.5]}, r"labels that are no list of whole numbers"),
    "text": ({**GOOD, "labels": ["cat"] * 3}, r"labels that are no list of whole numbers"),
    "bool": ({**GOOD, "labels": np.ones(3, bool)}, r"labels that are no list of whole numbers"),
    "one-hot": ({**GOOD, "labels": np.eye(3)}, r"labels that are no list of whole numbers"),
    "nested": ({**GOOD, "labels": [[1], 2, 3]}, r"labels that are no list of whole numbers"),
    "number": ({**GOOD, "labels": 3}, r"labels that are no list .* from 0 to 9 for each"),
}


@pytest.mark.parametrize("case", BAD_CONTENT)
@pytest.mark.parametrize("where", ["folder", "archive"])
def test_content_that_is_not_cifar(tmp_path, case, where):
    content, message = BAD_CONTENT[case]
    files = cifar10_files(2)
    files["cifar-10-batches-py/data_batch_4"] = pickle.dumps(content)
    if where == "folder":
        write_folder(tmp_path, files)
    else:
        _write_archive(tmp_path, CIFAR10, files)
    said = _refused("cifar10", tmp_path, message)
    assert "cifar-10-batches-py/data_batch_4 has" in said
    assert said.startswith(str(tmp_path))


def _refused(name, data_dir, message):
    """Check that loading fails with a message of one line, and return it."""
    with pytest.raises(DatasetError, match=message) as raised:
        load_dataset(name, data_dir)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_labels_of_cifar_100_are_0_to_99(tmp_path):
    file = python2_pickle({"data": rows(2), "fine_labels": [99, 100]})
    files = {**cifar100_files(), "cifar-100-python/test": file}
    _refused("cifar100", write_folder(tmp_path, files), "has 100 among its fine_labels.*0 to 99")


@pytest.mark.parametrize("missing", ["data_batch_3", "test_batch"])
def test_a_folder_that_lacks_a_file(tmp_path, missing):
    files = cifar10_files(2)
    del files[f"cifar-10-batches-py/{missing}"]
    _refused(
        "cifar10",
        write_folder(tmp_path, files),
        rf"There is no file .*/{missing}; unpack cifar-10-python\.tar\.gz from https://.* again",
    )


def test_a_file_that_is_a_folder(tmp_path):
    (tmp_path / "cifar-100-python" / "train").mkdir(parents=True)
    _refused(
        "cifar100", tmp_path, r"cifar-100-python/train cannot be read \(.*directory.*make it a"
    )


@pytest.mark.parametrize("missing", ["data_batch_3", "test_batch"])
def test_an_archive_that_lacks_a_file(tmp_path, missing):
    files = cifar10_files(2)
    del files[f"cifar-10-batches-py/{missing}"]
    message = rf"tar\.gz has no file cifar-10-batches-py/{missing}; it holds cifar-10-batches-py/"
    _refused("cifar10", _write_archive(tmp_path, CIFAR10, files), message)


def test_the_archive_of_the_other_data_set(tmp_path):
    _refused(
        "cifar10",
        _write_archive(tmp_path, CIFAR10, cifar100_files()),
        r"cifar-10-python\.tar\.gz has no file cifar-10-batches-py/data_batch_1; it holds "
        r"cifar-100-python/train, cifar-100-python/test\. Is it .* put cifar-10-python\.tar",
    )


def test_a_link_under_an_official_name_is_not_followed(tmp_path):
    (tmp_path / "secret").write_bytes(cifar100_files()["cifar-100-python/train"])
    with tarfile.open(tmp_path / CIFAR100.archive, "w:gz") as tar:
        for name in ("train", "test"):
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
            tar.addfile(member)
    _refused("cifar100", tmp_path, "has no file cifar-100-python/train")


@pytest.mark.parametrize("where", ["folder", "archive"])
def test_nothing_that_a_file_names_is_run(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    files = cifar10_files(2)
    files["cifar-10-batches-py/data_batch_2"] = b"cos\nsystem\nU\x09touch ran\x85R."
    if where == "folder":
        write_folder(tmp_path, files)
    else:
        _write_archive(tmp_path, CIFAR10, files)
    _refused("cifar10", tmp_path, r"cifar-10-batches-py/data_batch_2: refused to run os\.system")
    assert not (tmp_path / "ran").exists()


def _flipped(content, at):
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


ARCHIVE = archive(cifar10_files(2))
BAD_ARCHIVES = {
    "empty": b"",
    "text": b"<html>This page has moved</html>",
    "truncated": ARCHIVE[: len(ARCHIVE) // 2],
    "without its end": ARCHIVE[:-8],
    "another checksum": _flipped(ARCHIVE, -6),
    "damaged": _flipped(ARCHIVE, len(ARCHIVE) // 2),
    "no tar": gzip.compress(b"hello"),
    "truncated tar": gzip.compress(gzip.decompress(ARCHIVE)[:30_000]),
    "damaged tar": gzip.compress(_flipped(gzip.decompress(ARCHIVE), 150)),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_archives_that_are_damaged(tmp_path, case):
    (tmp_path / CIFAR10.archive).write_bytes(BAD_ARCHIVES[case])
    message = r"cifar-10-python\.tar\.gz.* cannot be read|has no file"
    said = _refused("cifar10", tmp_path, message)
    assert "Fetch it again" in said or "and it is fetched" in said


def test_whatever_is_damaged_is_said_in_a_line(tmp_path):
    """Any byte of the tar may be wrong, and any byte of its compressed form."""
    rng = np.random.default_rng(0)
    path = tmp_path / CIFAR100.archive
    plain = gzip.decompress(archive(_few()))
    for trial in range(150):
        damaged = _flipped(plain, int(rng.integers(1600)))
        path.write_bytes(gzip.compress(damaged, compresslevel=0))
        if trial % 3 == 0:
            packed = path.read_bytes()
            path.write_bytes(_flipped(packed, int(rng.integers(len(packed)))))
        assert "\n" not in _said(CIFAR100, tmp_path)


def _said(layout, data_dir):
    """Return the message with which reading fails; any other exception fails the test."""
    try:
        read_cifar(layout, data_dir)
    except DatasetError as error:
        return str(error)
    return ""


def test_no_backend_is_loaded(tmp_path):
    write_folder(tmp_path, cifar10_files())
    script = (
        "import sys; from lemonade_tf.datasets.loading import load_dataset\n"
        f"load_dataset('cifar10', {str(tmp_path)!r})\n"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# What the split gave when it was made. It must stay so, or results cannot be compared.
HELD_OUT = [8, 11, 43, 52, 58, 66, 71, 77, 83, 130]
HELD_OUT_SUM = 125_289_550
