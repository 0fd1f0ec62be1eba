"""CIFAR from its folder or archive, and the errors of malformed files."""

import gzip
import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from cifar_files import archive, cifar10_files, cifar100_files, python2_pickle, rows, write_folder

from lemonade_tf.datasets import cifar
from lemonade_tf.datasets.cifar import CIFAR10, CIFAR100, read_cifar
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.loading import load_dataset

OFFICIAL = {"cifar10": (CIFAR10, cifar10_files), "cifar100": (CIFAR100, cifar100_files)}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Keep all tests from downloading the official files."""

    def refuse(url, path, *, sha256):
        raise DatasetError(f"downloads {url} to {path}")

    monkeypatch.setattr(cifar, "download", refuse)


def _write_archive(data_dir, layout, files):
    data_dir.mkdir(exist_ok=True)
    (data_dir / layout.archive).write_bytes(archive(files))
    return data_dir


def _reversed(files):
    """Return the files in reverse order; the official archive is not sorted either."""
    return dict(reversed(files.items()))


@pytest.mark.parametrize("name", OFFICIAL)
class TestLayouts:
    def test_folder_and_archive_give_the_same_examples(self, tmp_path, name):
        layout, make_files = OFFICIAL[name]
        files = make_files()
        folder = read_cifar(layout, write_folder(tmp_path / "folder", files))
        packed = read_cifar(layout, _write_archive(tmp_path / "a", layout, _reversed(files)))
        for (images, labels), (packed_images, packed_labels) in zip(folder, packed, strict=True):
            assert images.dtype == np.uint8
            assert labels.dtype == np.int32
            np.testing.assert_array_equal(images, packed_images)
            np.testing.assert_array_equal(labels, packed_labels)

    def test_an_archive_is_not_unpacked(self, tmp_path, name):
        layout, make_files = OFFICIAL[name]
        load_dataset(name, _write_archive(tmp_path, layout, make_files()))
        assert [path.name for path in tmp_path.iterdir()] == [layout.archive]

    def test_the_folder_takes_precedence_over_the_archive(self, tmp_path, name):
        layout, make_files = OFFICIAL[name]
        write_folder(tmp_path, make_files())
        (tmp_path / layout.archive).write_bytes(b"damaged")
        assert load_dataset(name, tmp_path).name == name

    def test_data_dir_defaults_to_data_in_the_current_directory(self, tmp_path, monkeypatch, name):
        layout, make_files = OFFICIAL[name]
        write_folder(tmp_path / "data", make_files())
        monkeypatch.chdir(tmp_path)
        assert load_dataset(name).num_classes == layout.num_classes

    def test_data_dir_may_start_with_a_tilde(self, tmp_path, monkeypatch, name):
        write_folder(tmp_path / "mine", OFFICIAL[name][1]())
        monkeypatch.setenv("HOME", str(tmp_path))
        assert load_dataset(name, "~/mine").name == name

    def test_the_folder_itself_as_data_dir_is_refused(self, tmp_path, name):
        layout, make_files = OFFICIAL[name]
        folder = write_folder(tmp_path, make_files()) / layout.folder
        with pytest.raises(DatasetError, match=f"the folder that contains it: .* {tmp_path}\\."):
            load_dataset(name, folder)

    def test_a_missing_archive_is_downloaded_once(self, tmp_path, monkeypatch, name):
        layout, make_files = OFFICIAL[name]

        downloaded = []

        def download(url, path, *, sha256):
            downloaded.append((url, sha256))
            path.write_bytes(archive(make_files()))

        monkeypatch.setattr(cifar, "download", download)
        for _ in range(2):
            assert load_dataset(name, tmp_path).name == name
        assert downloaded == [(layout.url, layout.sha256)]

    def test_the_download_uses_the_official_url(self, tmp_path, name):
        message = rf"downloads https://www\.cs\.toronto\.edu/~kriz/(.*) to {tmp_path}/\1$"
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

    def test_the_split_of_50000_never_changes(self, monkeypatch):
        numbers = np.arange(50_000)
        images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)
        examples = images.reshape(-1, 1, 1, 2), (numbers % 10).astype(np.int32)
        monkeypatch.setattr(
            "lemonade_tf.datasets.cifar.read_cifar", lambda *_: (examples, examples)
        )
        dataset = load_dataset("cifar10")
        assert [len(dataset.y_train), len(dataset.y_validation)] == [45_000, 5_000]
        assert np.bincount(dataset.y_validation).tolist() == [500] * 10
        held_out = dataset.x_validation.reshape(-1, 2) @ np.array([256, 1])
        assert held_out[:10].tolist() == HELD_OUT
        assert int(held_out.sum()) == HELD_OUT_SUM

    def test_num_classes_includes_classes_without_images(self, tmp_path):
        dataset = load_dataset("cifar100", write_folder(tmp_path, _few()))
        assert dataset.num_classes == 100

    def test_a_single_image_per_class_cannot_be_split(self, tmp_path):
        data_dir = write_folder(tmp_path, cifar100_files(num=40))
        with pytest.raises(DatasetError, match=r"cifar100: the training set has 40 classes in 40"):
            load_dataset("cifar100", data_dir)


def _few():
    """Return a CIFAR-100 with images of three classes."""
    file = python2_pickle({"data": rows(30), "fine_labels": [1, 5, 99] * 10})
    return {"cifar-100-python/train": file, "cifar-100-python/test": file}


def _refused(name, data_dir, message):
    """Check that loading fails with a one-line message, and return it."""
    with pytest.raises(DatasetError, match=message) as raised:
        load_dataset(name, data_dir)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("missing", ["data_batch_3", "test_batch"])
def test_a_folder_without_one_of_its_files_is_refused(tmp_path, missing):
    files = cifar10_files(2)
    del files[f"cifar-10-batches-py/{missing}"]
    _refused(
        "cifar10",
        write_folder(tmp_path, files),
        rf"/{missing} does not exist\. Unpack cifar-10-python\.tar\.gz from https://.* again",
    )


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "cifar-100-python" / "train").mkdir(parents=True)
    _refused(
        "cifar100",
        tmp_path,
        r"cifar-100-python/train cannot be read \(.*directory.*a readable file",
    )


@pytest.mark.parametrize("where", ["folder", "archive"])
def test_errors_name_the_file(tmp_path, where):
    files = cifar10_files(2)
    files["cifar-10-batches-py/data_batch_4"] = python2_pickle(
        {"data": rows(3), "labels": [10] * 3}
    )
    if where == "folder":
        write_folder(tmp_path, files)
    else:
        _write_archive(tmp_path, CIFAR10, files)
    error = _refused("cifar10", tmp_path, "cifar-10-batches-py/data_batch_4 has labels with .* 10;")
    assert error.startswith(str(tmp_path))


@pytest.mark.parametrize("missing", ["data_batch_3", "test_batch"])
def test_an_archive_without_one_of_its_files_is_refused(tmp_path, missing):
    files = cifar10_files(2)
    del files[f"cifar-10-batches-py/{missing}"]
    message = rf"tar\.gz has no file cifar-10-batches-py/{missing}; found cifar-10-batches-py/"
    _refused("cifar10", _write_archive(tmp_path, CIFAR10, files), message)


def test_the_archive_of_another_data_set_is_refused(tmp_path):
    _refused(
        "cifar10",
        _write_archive(tmp_path, CIFAR10, cifar100_files()),
        r"cifar-10-python\.tar\.gz has no file cifar-10-batches-py/data_batch_1; found "
        r"cifar-100-python/train, cifar-100-python/test\. Is it .* Replace it with cifar-10-pyth",
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
def test_code_in_a_file_is_not_run(tmp_path, monkeypatch, where):
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
def test_a_damaged_archive_is_refused_with_advice(tmp_path, case):
    (tmp_path / CIFAR10.archive).write_bytes(BAD_ARCHIVES[case])
    message = r"cifar-10-python\.tar\.gz.* is not a readable|has no file"
    error = _refused("cifar10", tmp_path, message)
    assert "Download it again." in error or "or delete it to download it again." in error


def test_any_damaged_byte_gives_a_one_line_error(tmp_path):
    """Flip random bytes of the tar, and of its compressed form."""
    rng = np.random.default_rng(0)
    path = tmp_path / CIFAR100.archive
    plain = gzip.decompress(archive(_few()))
    for trial in range(150):
        damaged = _flipped(plain, int(rng.integers(1600)))
        path.write_bytes(gzip.compress(damaged, compresslevel=0))
        if trial % 3 == 0:
            packed = path.read_bytes()
            path.write_bytes(_flipped(packed, int(rng.integers(len(packed)))))
        assert "\n" not in _error(CIFAR100, tmp_path)


def _error(layout, data_dir):
    """Return the message of the DatasetError, if any; other exceptions fail the test."""
    try:
        read_cifar(layout, data_dir)
    except DatasetError as error:
        return str(error)
    return ""


def test_loading_imports_no_backend(tmp_path):
    write_folder(tmp_path, cifar10_files())
    script = (
        "import sys; from lemonade_tf.datasets.loading import load_dataset\n"
        f"load_dataset('cifar10', {str(tmp_path)!r})\n"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# Recorded when the split was defined. It must not change, or results cannot be compared.
HELD_OUT = [8, 11, 43, 52, 58, 66, 71, 77, 83, 130]
HELD_OUT_SUM = 125_289_550


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_SMALL", 2**20)
    archive = tmp_path / CIFAR10.archive
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo(f"{CIFAR10.folder}/data_batch_1")
        member.size = 2**24
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    assert archive.stat().st_size < 2**15
    with pytest.raises(DatasetError, match="it is much larger when unpacked"):
        read_cifar(CIFAR10, tmp_path)
