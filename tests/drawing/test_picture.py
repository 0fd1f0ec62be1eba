"""Pictures as files: complete, valid, reproducible; their boxes, arrows and text."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from graphs import every_layer, small
from matplotlib.image import imread
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from lemonade_tf.architecture import Graph
from lemonade_tf.architecture import layers as L
from lemonade_tf.drawing import DrawingError, draw, picture
from lemonade_tf.drawing.boxes import build_diagram
from lemonade_tf.drawing.picture import DPI, MAX_PIXELS

FORMATS = ("png", "svg", "pdf")
ROOT = Path(__file__).parent.parent.parent


def test_picture_has_the_boxes_arrows_and_text_of_the_diagram():
    graph = every_layer()
    diagram = build_diagram(graph)
    title = "all layers, $1 or $2"
    (axes,) = picture(graph, title=title).axes
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert (len(boxes), len(arrows)) == (len(diagram.boxes), len(diagram.arrows))
    expected = {text for box in diagram.boxes for text in (box.title, box.detail) if text}
    assert {text.get_text() for text in axes.texts} == {*expected, title}
    assert not any(text.get_parse_math() for text in axes.texts)


def test_text_is_inside_its_box_and_everything_inside_the_picture():
    figure = picture(every_layer(), title="a title that is wider than the picture " * 3)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    title, *texts = (text.get_window_extent() for text in axes.texts)
    for text in texts:
        assert any(
            box.x0 < text.x0 and text.x1 < box.x1 and box.y0 < text.y0 and text.y1 < box.y1
            for box in boxes
        )
    whole = figure.bbox
    for extent in (title, *boxes):
        assert whole.x0 < extent.x0 < extent.x1 < whole.x1
        assert whole.y0 < extent.y0 < extent.y1 < whole.y1


@pytest.mark.parametrize("title", ["a $x_$ b", "$$", r"\$1 $2$ and $3$"])
def test_dollar_signs_in_a_title_are_literal(title):
    graph = Graph()
    graph.output = graph.add("input", L.Input((4, 4, 2)))
    figure = picture(graph, title=f"{title} " * 10)
    figure.canvas.draw()
    (axes,) = figure.axes
    (text, *_) = axes.texts
    assert text.get_text() == f"{title} " * 10
    assert 0.8 < text.get_window_extent().width / figure.bbox.width < 1


def test_boxes_are_below_their_inputs():
    (axes,) = picture(small()).axes
    below, above = axes.get_ylim()
    assert below > above  # y grows downwards
    centers = [
        patch.get_y() + patch.get_height() / 2
        for patch in axes.patches
        if isinstance(patch, FancyBboxPatch)
    ]
    assert centers == sorted(centers)


def test_kinds_of_layers_have_different_colors():
    (axes,) = picture(every_layer()).axes
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    colors = {
        type(box.layer): patch.get_facecolor()
        for box, patch in zip(build_diagram(every_layer()).boxes, boxes, strict=True)
    }
    kinds = (L.Conv2D, L.SeparableConv2D, L.MaxPooling2D, L.Concatenate, L.ConvexSum, L.Dense)
    assert len({colors[kind] for kind in kinds}) == len(kinds)
    assert colors[L.MaxPooling2D] == colors[L.AveragePooling2D]


def test_suffix_selects_png_svg_or_pdf(tmp_path):
    graph = small()
    for name in ("a.png", "a.SVG", "a.pdf"):
        draw(graph, tmp_path / name, title="a < b & c")
    width, height = picture(graph, title="a < b & c").get_size_inches()
    pixels = imread(tmp_path / "a.png")
    assert pixels.shape[:2] == pytest.approx((height * DPI, width * DPI), abs=1)
    assert np.ptp(pixels[..., :3]) > 0.5
    root = ElementTree.parse(tmp_path / "a.SVG").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("width") == f"{width * 72:.6f}pt".replace(".000000", "")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert len(list(tmp_path.iterdir())) == 3  # no temporary files are left


@pytest.mark.slow
def test_equal_graphs_give_equal_files_in_another_process(tmp_path):
    script = (
        "import sys; from graphs import every_layer; from lemonade_tf.drawing import draw\n"
        "for name in sys.argv[1:]: draw(every_layer(), name, title='t')"
    )
    for suffix in FORMATS:
        draw(every_layer(), tmp_path / f"here.{suffix}", title="t")
    names = [str(tmp_path / f"there.{suffix}") for suffix in FORMATS]
    paths = [str(ROOT / "tests"), str(ROOT)]
    code = f"import sys; sys.path[:0] = {paths}\n{script}"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, *names], check=True, env=environment)
    for suffix in FORMATS:
        here, there = tmp_path / f"here.{suffix}", tmp_path / f"there.{suffix}"
        assert here.read_bytes() == there.read_bytes(), suffix


def test_failed_write_leaves_the_previous_picture(tmp_path, monkeypatch):
    path = tmp_path / "a.svg"
    draw(small(), path)
    before = path.read_bytes()

    def fails(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(
        DrawingError, match="cannot be written: No space left on device; choose a different"
    ):
        draw(every_layer(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.jpg", "a", "png"])
def test_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(DrawingError, match=r"has the suffix '.*'; expected \.png, \.svg or \.pdf"):
        draw(small(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_graph_of_one_input(tmp_path):
    graph = Graph()
    graph.output = graph.add("input", L.Input((4, 4, 2)))
    draw(graph, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[1] > DPI


@pytest.mark.slow
def test_picture_of_a_very_deep_network_has_at_most_max_pixels(tmp_path):
    graph = Graph()
    at = graph.add("input", L.Input((4, 4, 2)))
    for number in range(300):
        at = graph.add(f"conv_{number}", L.Conv2D(2), [at])
    graph.output = at
    draw(graph, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[0] == pytest.approx(MAX_PIXELS, abs=1)
