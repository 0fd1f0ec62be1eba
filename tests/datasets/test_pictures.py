"""Data sets in folders of class folders with pictures, and in zips of them."""

import os
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lemonade_tf.datasets import picture_tree, pictures
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.description import described
from lemonade_tf.datasets.loading import load_dataset, load_datasets
from lemonade_tf.datasets.picture_pixels import Header, default_size, read_header, read_pixels
from lemonade_tf.datasets.splits import with_validation_images

COLORS = {"blue": (0, 0, 250), "green": (0, 250, 0), "red": (250, 0, 0)}


def write_classes(folder, num=12, size=(10, 8), suffixes=("png",), mode="RGB"):
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for number in range(num):
            picture = Image.new("RGB", size, color)
            picture.putpixel((0, 0), (number, number, number))  # a content of its own
            suffix = suffixes[number % len(suffixes)]
            picture.convert(mode).save(folder / name / f"{number}.{suffix}")
    return folder


def write_zip(path, folder):
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted(folder.rglob("*")):
            archive.write(each, each.relative_to(folder.parent))
    return path


def load(path, tmp_path, **options):
    return load_dataset(path, cache_dir=tmp_path / "cache", **options)


def parts(dataset):
    return {
        "train": (dataset.x_train, dataset.y_train),
        "validation": (dataset.x_validation, dataset.y_validation),
        **({} if dataset.x_test is None else {"test": (dataset.x_test, dataset.y_test)}),
    }


def colors_match(dataset):
    """Return whether each image has the color of its class."""
    means = [
        (images[:, 4:, 4:].mean(axis=(1, 2)).argmax(axis=1), labels)
        for images, labels in parts(dataset).values()
    ]
    return all((found == 2 - labels).all() for found, labels in means)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_class_folders_of_all_formats_become_three_stratified_parts(tmp_path, kind):
    folder = write_classes(tmp_path / "data", 20, suffixes=("png", "JPG", "webp", "bmp", "jpeg"))
    (folder / ".DS_Store").write_text("")
    (folder / "red" / "notes.txt").write_text("")
    path = folder if kind == "folder" else write_zip(tmp_path / "data.zip", folder)
    dataset = load(path, tmp_path)
    assert dataset.class_names == ("blue", "green", "red")
    assert dataset.input_shape == (8, 10, 3)
    assert {part: len(labels) for part, (_, labels) in parts(dataset).items()} == {
        "train": 49,
        "validation": 5,
        "test": 6,
    }
    assert all(set(labels) == {0, 1, 2} for _, labels in parts(dataset).values())
    assert colors_match(dataset)
    assert dataset.digest() == load(path, tmp_path).digest()
    joined = with_validation_images(dataset)
    assert joined.x_train.filename == str(dataset.x_train.filename)  # mapped, not copied
    assert len(joined.x_train) == 54


def test_folders_of_parts_are_used_as_they_are(tmp_path):
    for part, num in (("Train", 8), ("val", 3), ("test", 2)):
        write_classes(tmp_path / "data" / part, num)
    dataset = load(tmp_path / "data", tmp_path)
    assert [len(labels) for _, labels in parts(dataset).values()] == [24, 9, 6]
    assert colors_match(dataset)
    write_classes(tmp_path / "two" / "train", 8)
    write_classes(tmp_path / "two" / "valid", 8)
    assert load(tmp_path / "two", tmp_path).x_test is None  # nothing is taken from either


def test_pictures_are_converted_once_and_again_when_one_has_changed(tmp_path, capsys):
    folder = write_classes(tmp_path / "data")
    before = load(folder, tmp_path)
    assert len({bytes(image) for images, _ in parts(before).values() for image in images}) == 36
    assert "Converting" in capsys.readouterr().out
    load(folder, tmp_path)
    assert capsys.readouterr().out == ""
    [converted] = (tmp_path / "cache").iterdir()
    picture = folder / "red" / "3.png"
    facts = picture.stat()
    Image.new("RGB", (10, 8), (200, 0, 0)).save(picture)
    os.utime(picture, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert load(folder, tmp_path).digest() != before.digest()
    assert [converted] == list((tmp_path / "cache").iterdir())
    assert load(folder, tmp_path, image_size=(6, 6)).input_shape == (6, 6, 3)


def test_pictures_of_the_default_size_are_not_converted_again_for_this_size(tmp_path, capsys):
    folder = write_classes(tmp_path / "colors")
    by_default = load(folder, tmp_path)
    capsys.readouterr()
    given = load(folder, tmp_path, image_size=(8, 10))
    assert (given.digest(), capsys.readouterr().out) == (by_default.digest(), "")
    assert load(folder, tmp_path, image_size=(4, 5)).input_shape == (4, 5, 3)
    assert "Converting" in capsys.readouterr().out


def test_unreadable_pictures_are_left_out_and_reported(tmp_path, caplog):
    folder = write_classes(tmp_path / "data", suffixes=("jpg",), size=(40, 40))
    (folder / "red" / "0.jpg").write_bytes(b"no picture")
    path = folder / "blue" / "1.jpg"
    path.write_bytes(path.read_bytes()[:-150])  # found out only when it is decoded
    for _ in range(2):  # also when it was converted before
        caplog.clear()
        dataset = load(folder, tmp_path)
        assert "2 of 36 pictures cannot be read: blue/1.jpg (" in caplog.text
        assert "red/0.jpg (no PNG, JPEG, WebP or BMP); left out" in caplog.text
    assert sum(len(labels) for _, labels in parts(dataset).values()) == 34
    (folder / "green" / "13.png").symlink_to("nothing")
    os.mkfifo(folder / "red" / "13.png")
    load(folder, tmp_path)
    assert "4 of 38 pictures cannot be read" in caplog.text
    assert "green/13.png (no file, or a link to nothing)" in caplog.text
    for name in ("green", "red"):
        (folder / name / "13.png").unlink()
    for each in (folder / "red").iterdir():
        each.write_bytes(b"")
    with pytest.raises(DatasetError, match="no readable training picture of red"):
        load(folder, tmp_path)
    for each in (folder / "green").iterdir():
        each.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"25 of 36 pictures cannot be read: .*most of them"):
        load(folder, tmp_path)
    assert not list(tmp_path.glob("cache/*/.*"))


def _layout(kind, folder):
    write_classes(folder, 4)
    if kind == "loose":
        for name in COLORS:
            (folder / name / "1.png").rename(folder / f"{name}.png")
            for each in (folder / name).iterdir():
                each.unlink()
            (folder / name).rmdir()
    elif kind == "one":
        for name in ("red", "green"):
            for each in (folder / name).iterdir():
                each.unlink()
            (folder / name).rmdir()
    elif kind == "empty":
        (folder / "pink").mkdir()
    elif kind == "nested":
        (folder / "red" / "2020").mkdir()
    elif kind == "beside":
        write_classes(folder / "train", 4)
    elif kind == "unknown":
        write_classes(folder / "in" / "train", 4)
        write_classes(folder / "in" / "test", 4)
        (folder / "in" / "test" / "pink").mkdir()
        return folder / "in"
    return folder


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("loose", r"has 3 pictures but no class folders; expected a folder for each class"),
        ("one", r"has one class folder, blue; expected at least two"),
        ("empty", r"the class folder pink has no pictures \(\.bmp"),
        ("nested", r"the class folder red has the folder 2020; expected pictures directly"),
        ("beside", r"has the folders blue, green, red beside train/; expected only"),
        ("unknown", r"test/ has class folders pink, which the training folder lacks"),
    ],
)
def test_other_layouts_are_refused(tmp_path, kind, message):
    with pytest.raises(DatasetError, match=message) as caught:
        load(_layout(kind, tmp_path / "data"), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_files_beside_the_folder_that_is_meant_do_no_harm(tmp_path, kind, caplog):
    folder = tmp_path / "data"
    inner = write_classes(folder / "archive" / "flowers" / "train")
    (folder / "README.txt").write_text("")
    (inner.parent / "LICENSE").write_text("")
    (inner / "index.csv").write_text("")
    (inner / "red" / "thumbs.db").write_text("")
    (inner.parent / "test").mkdir()
    Image.new("RGB", (10, 8)).save(inner.parent / "test" / "1.png")
    write_classes(inner.parent / "val", 4)
    dataset = load(folder if kind == "folder" else write_zip(tmp_path / "a.zip", folder), tmp_path)
    assert {name: len(labels) for name, (_, labels) in parts(dataset).items()} == {
        "train": 36,
        "validation": 12,
    }
    assert "not .bmp, .jpeg, .jpg, .png, .webp are left out: 1." in caplog.text
    assert "pictures that are in no class folder are left out: 1." in caplog.text


def test_classes_without_images_in_a_part_are_named(tmp_path, caplog):
    folder = tmp_path / "data"
    write_classes(folder / "train")
    shutil.rmtree(write_classes(folder / "test") / "green")
    load(folder, tmp_path)
    assert "no test image of class green: errors" in caplog.text


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("../red/1.png", b"", r"leads out of its folder; expected CLASS/PICTURE"),
        ("/red/1.png", b"", r"leads out of its folder"),
        ("red/1.bmp", bytes(10**7), r"much larger when unpacked \(10,00"),
        ("red/1.bmp", bytes(10**7 + 1), r"has 10,000,001 bytes; expected pictures of at most"),
    ],
    ids=["up", "root", "bomb", "huge"],
)
def test_a_zip_that_may_do_harm_is_refused(tmp_path, monkeypatch, member, content, message):
    monkeypatch.setattr(picture_tree, "_SMALL", 2**20)
    monkeypatch.setattr(picture_tree, "_MAX_PICTURE", 10**7)
    path = write_zip(tmp_path / "data.zip", write_classes(tmp_path / "data", 4))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(member, content)
    with pytest.raises(DatasetError, match=message) as caught:
        load(path, tmp_path)
    assert "cannot be read" not in str(caught.value)


def test_a_folder_of_another_user_is_not_trusted(tmp_path, monkeypatch):
    folder = write_classes(tmp_path / "data")
    load(folder, tmp_path)
    user = os.getuid()
    monkeypatch.setattr(pictures, "cache_of", lambda *_: next(tmp_path.glob("cache/*")) / "x")
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    with pytest.raises(DatasetError, match="belongs to another user"):
        load(folder, tmp_path)


# --- Pixels ----------------------------------------------------------------------------------


def _content(tmp_path, picture, suffix="png", **options):
    path = tmp_path / f"picture.{suffix}"
    picture.save(path, **options)
    return path.read_bytes()


def test_a_picture_is_turned_upright_by_its_exif_orientation(tmp_path):
    picture = Image.new("RGB", (40, 20), "red")
    ImageDraw.Draw(picture).rectangle((0, 0, 19, 19), "blue")  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    content = _content(tmp_path, picture, "jpg", exif=exif, quality=95)
    assert read_header(content) == Header(40, 20, is_grey=False)
    pixels = read_pixels(content, (40, 20, 3))
    assert pixels[5, 10].argmax() == 2  # blue above
    assert pixels[35, 10].argmax() == 0


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, [255]),
        ("L", 100, [100]),
        ("LA", (100, 255), [100]),
        ("LA", (0, 0), [255]),  # transparent: white
        ("I;16", 100 * 256 + 7, [100]),
        ("P", 1, [10, 20, 30]),
        ("RGBA", (0, 0, 0, 0), [255, 255, 255]),
        ("RGBA", (10, 20, 30, 255), [10, 20, 30]),
    ],
    ids=str,
)
def test_every_mode_becomes_grey_or_color(tmp_path, mode, value, expected):
    if mode == "P":
        picture = Image.new(mode, (6, 4))
        picture.putpalette([0, 0, 0, 10, 20, 30])
        picture.paste(value, (0, 0, 6, 4))
    else:
        picture = Image.new(mode, (6, 4), value)
    content = _content(tmp_path, picture)
    assert read_header(content).is_grey == (len(expected) == 1)
    np.testing.assert_array_equal(read_pixels(content, (4, 6, len(expected)))[2, 3], expected)


def test_grey_pictures_have_one_channel_unless_another_has_colors(tmp_path):
    folder = write_classes(tmp_path / "data", mode="L")
    assert load(folder, tmp_path).input_shape == (8, 10, 1)
    Image.new("RGB", (10, 8)).save(folder / "red" / "color.png")
    assert load(folder, tmp_path).input_shape == (8, 10, 3)


def test_a_picture_covers_the_size_and_is_cropped_at_the_center(tmp_path):
    picture = Image.new("RGB", (60, 20), "red")
    ImageDraw.Draw(picture).rectangle((20, 0, 39, 19), "blue")
    pixels = read_pixels(_content(tmp_path, picture), (10, 10, 3))
    assert (pixels[:, 1:-1] == (0, 0, 255)).all()


def test_a_picture_of_the_size_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(7, 9, 3), dtype=np.uint8)
    content = _content(tmp_path, Image.fromarray(pixels))
    np.testing.assert_array_equal(read_pixels(content, (7, 9, 3)), pixels)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(20, 30)] * 3, (20, 30)),
        ([(240, 320)] * 99 + [(320, 240)], (48, 64)),
        ([(240, 320), (320, 240)] * 10, (64, 64)),
        ([(30, 40), (50, 30), (28, 28)], (30, 30)),
    ],
)
def test_the_default_size(sizes, expected):
    assert default_size([Header(*size, is_grey=False) for size in sizes]) == expected


# --- What is said ----------------------------------------------------------------------------


def test_unequal_classes_are_reported(tmp_path):
    folder = write_classes(tmp_path / "data")
    assert "The classes" not in described(load(folder, tmp_path))
    for number in range(12, 60):
        Image.new("RGB", (10, 8), (250, number, 0)).save(folder / "red" / f"{number}.png")
    assert "from 9 training images of blue to 50 of red" in described(load(folder, tmp_path))


def test_extra_data_sets_get_the_size_of_the_first(tmp_path):
    first = write_classes(tmp_path / "first")
    second = write_classes(tmp_path / "second", size=(30, 30))
    _, extra = load_datasets(f"{first},{second}", cache_dir=tmp_path / "cache")
    assert extra["second"].input_shape == (8, 10, 3)
