"""report.html and the figures that it shows."""

import re
from html.parser import HTMLParser

import matplotlib.image
import pytest
from runs import make_run, make_run_in, make_small_run

from lemonade_tf.report import table_rows, write_report
from lemonade_tf.report.figure import DOTS_PER_INCH
from lemonade_tf.report.page import report_figures
from lemonade_tf.runs import read_run


class Page(HTMLParser):
    """The images, the links, the table and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.images, self.links, self.rows, self.text = [], [], [], ""
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.images.append(attributes["src"])
        elif tag == "a":
            self.links.append(attributes["href"])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.in_cell = False

    def handle_data(self, data):
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


def write(run):
    """Write the report, check that its images are those of the figures, and parse it."""
    path = write_report(run)
    page = Page(path.read_text())
    figures = report_figures(run)
    assert page.images == [f"plots/{name}.png" for name in figures]
    for (name, figure), image in zip(figures.items(), page.images, strict=True):
        height, width, _ = matplotlib.image.imread(path.parent / image).shape
        expected = figure.get_size_inches() * DOTS_PER_INCH
        assert (width, height) == pytest.approx(tuple(expected), abs=1), name
    written = {f"plots/{file.name}" for file in (path.parent / "plots").iterdir()}
    assert written == {*page.images, *page.links}
    return page


def test_the_report_of_two_objectives(tmp_path):
    run = read_run(make_run(tmp_path / "run"))
    page = write(run)
    assert page.images == ["plots/pareto_front.png", "plots/hypervolume.png"]
    assert page.links == []
    header, rows = table_rows(run)
    assert page.rows == [header, *rows]
    assert ["1-0", "4,000", "15.00 %", "16.00 %", "widen_convolution"] in page.rows
    summary = "6 networks trained, 1 failed, 2 generations; data set digits, seed 3."
    assert f"LEMONADE: run{summary}" in page.text


def test_more_objectives_have_more_figures_and_an_interactive_one(tmp_path):
    page = write(make_small_run(tmp_path / "run"))
    assert [re.fullmatch(r"plots/(.*)\.png", image)[1] for image in page.images] == [
        "parallel",
        "panels",
        "pairs",
        "pareto_front",
        "pareto_front_multiply_adds",
        "hypervolume",
    ]
    assert page.links == ["plots/parallel.html"]


def test_expensive_objectives_have_figures(tmp_path):
    page = write(make_run_in(tmp_path / "run", 7))
    names = ("latency", "top5_error")
    assert {f"plots/pareto_front_{name}.png" for name in names} <= set(page.images)


def test_a_path_with_html_in_it_is_escaped(tmp_path):
    page = write(read_run(make_run(tmp_path / "a <b> & c")))
    assert "LEMONADE: a <b> & c" in page.text


@pytest.mark.parametrize("num_networks", [0, 1])
@pytest.mark.parametrize("num_objectives", [2, 3, 7])
def test_a_front_of_at_most_one_network(tmp_path, num_objectives, num_networks):
    page = write(make_run_in(tmp_path / "run", num_objectives, num_networks))
    assert len(page.rows) == 1 + num_networks


def test_objectives_that_are_equal_for_all_networks(tmp_path):
    constant = {"error": 0.1, "parameters": 1_000, "peak_memory": 0, "latency": 1e-3}
    page = write(make_run_in(tmp_path / "run", 7, **constant))
    column = page.rows[0].index("peak memory")
    assert {row[column] for row in page.rows[1:]} == {"0 B"}
