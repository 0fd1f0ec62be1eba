import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from imagenet_files import (
    NUM,
    NUM_CLASSES,
    TRAIN,
    as_pickle,
    content,
    contents,
    pixels,
    write_npz,
    write_pickles,
    write_zips,
)

from lemonade_tf.datasets import converted_files, imagenet_conversion
from lemonade_tf.datasets.array_files import ArrayFile
from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.imagenet_classes import class_names
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.datasets.source import SharedDatasets
from lemonade_tf.datasets.splits import hold_out_validation, with_validation_images

PARTS = [f"{axis}_{part}" for part in ("train", "validation", "test") for axis in "xy"]
LAYOUTS = {
    "pickles": write_pickles,
    "npz": write_npz,
    "zips": write_zips,
    "npz in zips": lambda folder, batches: write_zips(folder, batches, npz=True),
    "unpacked npz": lambda folder, batches: (
        write_npz(folder / "Imagenet16_train_npz", {name: batches[name] for name in TRAIN}),
        write_npz(folder / "Imagenet16_val_npz", {"val_data": batches["val_data"]}),
    ),
    "zips beside the folder": lambda folder, batches: write_zips(folder.parent, batches),
}


@pytest.fixture
def folder(tmp_path):
    """The folder of a small data set, not yet converted."""
    write_pickles(tmp_path / "imagenet16", contents())
    return tmp_path / "imagenet16"


def _load(folder, **options):
    return load_dataset("imagenet16", folder.parent, **options)


def _arrays(dataset):
    return {part: np.array(getattr(dataset, part)) for part in PARTS}


def _assert_same(first, second):
    for part, array in _arrays(first).items():
        np.testing.assert_array_equal(array, getattr(second, part), part)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images(tmp_path, layout):
    batches = contents()
    LAYOUTS[layout](tmp_path / "imagenet16", batches)
    dataset = _load(tmp_path / "imagenet16")
    assert (dataset.input_shape, dataset.num_classes) == ((16, 16, 3), NUM_CLASSES)
    np.testing.assert_array_equal(dataset.x_test, pixels(batches["val_data"]))
    np.testing.assert_array_equal(dataset.y_test, np.arange(NUM) % NUM_CLASSES)
    images = np.concatenate([pixels(batches[name]) for name in TRAIN])
    labels = np.concatenate([batches[name]["labels"] for name in TRAIN]) - 1
    _, held_out = hold_out_validation(labels, "labels")
    np.testing.assert_array_equal(dataset.x_validation, images[held_out])
    np.testing.assert_array_equal(dataset.y_validation, labels[held_out])
    by_image = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    training = [image.tobytes() for image in np.array(dataset.x_train)]
    assert len(training) + len(held_out) == 10 * NUM
    kept = set(by_image) - {image.tobytes() for image in images[held_out]}
    assert set(training) == kept
    assert [by_image[image] for image in training] == dataset.y_train.tolist()


def test_facts_in_the_manifest_are_those_of_the_images(folder):
    dataset = _load(folder)
    computed = Dataset("imagenet16", **_arrays(dataset), num_classes=NUM_CLASSES)
    assert dataset.digest() == computed.digest()
    assert dataset.rescaling() == computed.rescaling()
    manifest = json.loads((folder / "converted" / "manifest.json").read_text())
    for name, facts in manifest["files"].items():
        output = subprocess.check_output(["sha256sum", folder / "converted" / name], text=True)
        assert facts["sha256"] == output.split()[0]


def test_nothing_copies_the_images(folder):
    source = SharedDatasets.of(_load(folder))
    for dataset in (source.load()[0], with_validation_images(source.load()[0], None)):
        for part in PARTS[::2]:
            assert ArrayFile.of(getattr(dataset, part)).path.startswith(str(folder))
    assert len(source.paths) == 2
    moved = source.with_paths({path: path for path in source.paths})
    _assert_same(moved.load()[0], _load(folder))
    joined = with_validation_images(_load(folder), None)
    whole = np.load(folder / "converted" / "train_images.npy")
    np.testing.assert_array_equal(joined.x_train, whole)
    assert len(joined.y_train) == len(whole) == 10 * NUM


def test_images_are_converted_once_and_again_if_an_original_changed(folder, capsys):
    first = _load(folder)
    before = _arrays(first)
    assert "train_data_batch_10: 12 images" in capsys.readouterr().out
    _load(folder)
    assert capsys.readouterr().out == ""
    (folder / "val_data").write_bytes(as_pickle(content("val_data", num=9)))
    assert len(_load(folder).x_test) == 9
    assert "Converting imagenet16" in capsys.readouterr().out
    for part in PARTS:  # what has been mapped stays as it was
        np.testing.assert_array_equal(getattr(first, part), before[part])


def test_originals_may_be_deleted(folder):
    before = _arrays(_load(folder))
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    for part, array in _arrays(_load(folder)).items():
        np.testing.assert_array_equal(array, before[part])


@pytest.mark.parametrize("damage", ["shorter file", "no manifest", "damaged manifest"])
def test_damaged_converted_files_are_converted_again(folder, damage):
    before = _arrays(_load(folder))
    converted = folder / "converted"
    if damage == "shorter file":
        os.truncate(converted / "train_images.npy", 5000)
    elif damage == "no manifest":
        (converted / "manifest.json").unlink()
    else:
        (converted / "manifest.json").write_text('{"format": 1, "files": []}')
    for part, array in _arrays(_load(folder)).items():
        np.testing.assert_array_equal(array, before[part])


def test_a_conversion_that_was_killed_starts_over(folder):
    script = (
        "import os, sys; from lemonade_tf.datasets import imagenet_conversion as c\n"
        "from lemonade_tf.datasets.loading import load_dataset\n"
        "c.move_to_end = lambda *_: os.kill(os.getpid(), 9)\n"
        "load_dataset('imagenet16', sys.argv[1])"
    )
    result = subprocess.run([sys.executable, "-c", script, str(folder.parent)], check=False)
    assert result.returncode == -9
    assert not (folder / "converted").exists()
    dataset = _load(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*TRAIN, "val_data", "converted"]
    )
    np.testing.assert_array_equal(dataset.x_test, pixels(content("val_data")))


def test_a_folder_that_is_read_only_is_converted_in_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    cache = tmp_path / "cache"
    dataset = _load(folder, cache_dir=cache)
    assert dataset.x_train.filename.is_relative_to(cache)
    assert not (folder / "converted").exists()
    monkeypatch.undo()
    for path in folder.iterdir():
        path.unlink()
    _assert_same(_load(folder, cache_dir=cache), dataset)


def test_archives_beside_the_folder_are_converted_into_it(tmp_path):
    write_zips(tmp_path, contents())
    dataset = _load(tmp_path / "imagenet16", cache_dir=tmp_path / "cache")
    assert dataset.x_train.filename.is_relative_to(tmp_path / "imagenet16" / "converted")
    assert not (tmp_path / "cache").exists()


def test_a_full_cache_is_reported_with_its_option(folder, tmp_path, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(DatasetError, match=r"choose another folder with --cache_dir\."):
        _load(folder, cache_dir=tmp_path / "cache")


def test_files_with_fewer_images_in_all_but_the_last(tmp_path):
    batches = {**contents(), TRAIN[9]: content(TRAIN[9], num=NUM + 9)}
    write_pickles(tmp_path / "imagenet16", batches)
    dataset = _load(tmp_path / "imagenet16")
    assert len(dataset.x_train) + len(dataset.x_validation) == 10 * NUM + 9


def test_all_classes_have_names_in_the_order_of_the_labels(tmp_path):
    names = class_names(tmp_path, 1000)
    assert (names[0], names[489], names[999]) == ("kit fox", "sea snake", "dumbbell")
    assert len(set(names)) == 1000
    assert sorted(name for name in names if "(" in name)[0] == "crane (label 429)"


def test_other_classes_have_the_names_of_a_file(folder):
    assert _load(folder).class_names is None
    lines = ["x 2 red_fox", "", "y 1 dog", "z 3 great ape", "w 4 not used"]
    (folder / "map_clsloc.txt").write_text("\n".join(lines))
    assert _load(folder).class_names == ("dog", "red fox", "great ape")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x 1 dog\ny 2", "line 2 is y 2; expected a WordNet id, a label and a name, such as"),
        ("x one dog", "line 1 is x one dog; expected a WordNet id, a label and a name"),
        ("x 1 dog\ny 1 cat", "line 2 has the label 1 again; expected each label once"),
        ("x 1 dog\ny 3 cat", "has no name for the label 2; expected labels 1 to 3"),
        (b"\xff\xfe", r"cannot be read \(.*\); expected text"),
    ],
)
def test_a_malformed_file_of_names_is_refused(tmp_path, text, message):
    content = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "map_clsloc.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=f"map_clsloc.txt,? {message}") as caught:
        class_names(tmp_path, 3)
    assert "\n" not in str(caught.value)


# --- Errors ----------------------------------------------------------------------------------


def _refused(folder, message):
    with pytest.raises(DatasetError, match=message) as caught:
        _load(folder)
    assert "\n" not in str(caught.value)
    assert not (folder / "converted").exists()
    assert not list(folder.glob(".*"))


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch ran",)


MALFORMED = {
    "too few images": (
        TRAIN[3],
        content(TRAIN[3], num=11),
        r"train_data_batch_4 has 11 images and train_data_batch_1 has 12; expected the official",
    ),
    "too many images": (
        TRAIN[9],
        content(TRAIN[9], num=22),
        r"train_data_batch_10 has 22 images and train_data_batch_1 has 12; .*Imagenet16_train\.zip",
    ),
    "a copy": (
        TRAIN[6],
        content(TRAIN[1]),
        r"train_data_batch_7 has the same images as train_data_batch_2; expected the official",
    ),
    "test images for training": (
        TRAIN[2],
        content("val_data"),
        r"train_data_batch_3 differs from train_data_batch_1: one of them has no mean",
    ),
    "training images for the test": (
        "val_data",
        content(TRAIN[0]),
        r"val_data has the mean of the training images; .* Delete it and .*Imagenet16_val\.zip",
    ),
    "label 0": (
        TRAIN[0],
        {**content(TRAIN[0]), "labels": [0] * NUM},
        r"train_data_batch_1 has the label 0; expected 1 to 1000, because the official labels sta",
    ),
    "label 1001": (
        TRAIN[0],
        {**content(TRAIN[0]), "labels": [1, 1001] * (NUM // 2)},
        r"has the label 1001; expected 1 to 1000",
    ),
    "a class for the test only": (
        "val_data",
        {**content("val_data"), "labels": [4] * NUM},
        r"test images with label 4, but training images only up to 3",
    ),
    "a gap in the labels": (
        TRAIN[0],
        {**content(TRAIN[0]), "labels": [5] * NUM},
        r"labels up to 5, but none with label 4; expected all from 1 on",
    ),
    "text labels": (
        TRAIN[0],
        {**content(TRAIN[0]), "labels": ["cat"] * NUM},
        r"train_data_batch_1 has labels that are not a list of integers",
    ),
    "a label too few": (
        TRAIN[0],
        {**content(TRAIN[0]), "labels": [1] * 11},
        r"train_data_batch_1 has 12 images and 11 labels",
    ),
    "another size": (
        TRAIN[0],
        content(TRAIN[0], side=32),
        r"expected uint8 \(images, 768\), .* 16 x 16 pixels\. These .* use --dataset imagenet32\.",
    ),
    "floats": (
        TRAIN[0],
        {**content(TRAIN[0]), "data": np.zeros((NUM, 768))},
        r"type float64; expected uint8",
    ),
    "other keys": (TRAIN[0], {"images": 1}, r"has keys images; expected data and labels"),
    "code": (
        TRAIN[4],
        pickle.dumps(RunsCode()),
        r"train_data_batch_5: refused to run (posix|os)\.system; expected",
    ),
    "text": (TRAIN[4], b"<html>", r"train_data_batch_5 is not a readable pickled dictionary"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused(folder, monkeypatch, case):
    monkeypatch.chdir(folder.parent)
    name, batch, message = MALFORMED[case]
    write_pickles(folder, {name: batch})
    _refused(folder, message)
    assert not (folder.parent / "ran").exists()


def test_a_copy_for_the_test_is_refused_without_a_mean(tmp_path):
    batches = contents()
    for batch in batches.values():
        batch.pop("mean", None)
    write_pickles(tmp_path / "imagenet16", {**batches, "val_data": batches[TRAIN[2]]})
    _refused(tmp_path / "imagenet16", r"val_data has the same images as train_data_batch_3; exp")


def test_a_missing_file_is_named_with_its_archive(folder):
    (folder / "train_data_batch_8").unlink()
    _refused(
        folder,
        r"imagenet16 has no train_data_batch_8; expected .* download Imagenet16_train\.zip from"
        r" https://image-net\.org/download-images, which requires an account, and put it there",
    )


def test_without_any_file_the_error_says_where_they_are(tmp_path):
    with pytest.raises(DatasetError, match=r"Imagenet64_train_part1\.zip, .*_part2\.zip, .*val"):
        load_dataset("imagenet64", tmp_path)


def test_the_folder_itself_as_data_dir_is_refused(folder):
    with pytest.raises(DatasetError, match=rf"expected the folder .* --data_dir {folder.parent}\."):
        load_dataset("imagenet16", folder)


@pytest.mark.parametrize("npz", [False, True])
def test_a_truncated_archive_is_refused(tmp_path, npz):
    folder = tmp_path / "imagenet16"
    write_zips(folder, contents(), npz=npz)
    [path] = folder.glob("*_train*.zip")
    os.truncate(path, path.stat().st_size // 2)
    _refused(folder, r"train.*\.zip is not a readable \.zip .*interrupted: delete it and download")


def test_a_damaged_member_of_an_archive_is_refused(tmp_path):
    folder = tmp_path / "imagenet16"
    write_zips(folder, contents())
    path = folder / "Imagenet16_train.zip"
    whole = bytearray(path.read_bytes())
    whole[5000] ^= 255
    path.write_bytes(whole)
    _refused(folder, r"Imagenet16_train\.zip: train_data_batch_1 cannot be read \(.*delete it")


def test_a_truncated_npz_file_is_refused(tmp_path):
    folder = tmp_path / "imagenet16"
    write_npz(folder, contents())
    os.truncate(folder / "train_data_batch_2.npz", 4000)
    _refused(folder, r"train_data_batch_2\.npz cannot be read \(.*interrupted: delete it")


def test_a_full_disk_is_an_error_before_and_during_the_conversion(folder, monkeypatch):
    class Usage:
        free = 1000

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage)
        _refused(folder, r"0\.0 GB of free space; expected .* choose another folder")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(imagenet_conversion, "write_images", full)
    _refused(folder, r"cannot be written \(No space left on device\)\. Free some space")


def test_a_process_waits_for_another_that_converts(folder, monkeypatch, capsys):
    locks = iter([None, os.open(folder, os.O_RDONLY)])
    monkeypatch.setattr(converted_files, "lock_folder", lambda *_, **__: next(locks))
    assert len(_load(folder).x_test) == NUM
    assert "Waiting for another process" in capsys.readouterr().out
