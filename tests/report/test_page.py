"""report.html, its data and the figures in plots/."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib.image
import pytest
from browser import CHROMIUM, Browser
from run_folders import proposal
from runs import CONFIG, line, make_run, make_run_in, make_small_run, with_settings

from lemonade_tf.keras_bridge import save_model
from lemonade_tf.report import table_rows, write_page, write_report
from lemonade_tf.report.figure import DOTS_PER_INCH
from lemonade_tf.report.page import report_figures
from lemonade_tf.runs import read_run
from lemonade_tf.search_spaces import NETWORKS

NASTY = "a <b> & </script><!-- '\" c"


class Page(HTMLParser):
    """The table for readers without JavaScript, the data and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.text, self.data, self.tags = [], "", None, []
        self.in_cell = self.in_data = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self.in_cell = True
        self.in_data = dict(attributes).get("id") == "data"

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.in_cell = False

    def handle_data(self, data):
        if self.in_data:
            self.data, self.in_data = json.loads(data), False
            return
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


def write(run):
    """Write the report, check its figures and that it needs no other file, and parse it."""
    path = write_report(run)
    for name, figure in report_figures(run).items():
        height, width, _ = matplotlib.image.imread(path.parent / "plots" / f"{name}.png").shape
        expected = figure.get_size_inches() * DOTS_PER_INCH
        assert (width, height) == pytest.approx(tuple(expected), abs=1), name
    page = Page(path.read_text())
    for tag, attributes in page.tags:
        assert tag not in ("img", "iframe", "a"), tag
        assert "src" not in attributes
        assert attributes.get("href", "data:,") == "data:,"
    return page


def test_the_report_of_two_objectives(tmp_path):
    run = read_run(make_run(tmp_path / "run"))
    run.store.proposals.append([proposal("1-0", operators=[{"operator": "remove"}])])
    page = write(run)
    header, rows = table_rows(run)
    assert page.rows == [header, *rows]
    assert "6 networks trained, 1 failed, 2 generations; data set digits, seed 3." in page.text
    data = page.data
    assert data["progress"] | {"seconds_left": None} == {
        "generation": 2,
        "num_generations": 2,
        "trained": 6,
        "failed": 1,
        "expected": 35,
        "seconds_left": None,
    }
    assert data["state"] == "not running"
    assert [data["ids"][i] for i in data["front"]] == [network.id for network in run.front()]
    assert data["values"]["parameters"][data["ids"].index("1-0")] == 4_000
    assert data["parents"][data["ids"].index("1-0")] == data["ids"].index("0-0")
    assert data["images"] == {"error": 10, "test_error": 10}
    assert data["failures"] == [["1-3", "diverged: the loss became nan in epoch 1 of 5."]]
    assert data["operator_counts"] == [["widen_convolution", 0, 3, 2, 2], ["remove", 1, 0, 0, 0]]
    assert data["command"] == "lemonade-tf search --num_generations 2 --seed 3"
    assert data["phases"] == {}


def test_a_remark_and_the_counts_of_a_search_that_broke_ties(tmp_path):
    history = [
        line("0-0", 0.2, 1_000, ranked_errors={"error": 0.22}),
        line("1-0", 0.2, 2_000, ranked_errors={"error": 0.21}),
        line("1-1", 0.2, 3_000, ranked_errors={"error": 0.22}),
    ]
    page = write(read_run(make_run(tmp_path / "run", history)))
    remark = "networks with equal validation errors are ranked by their cross-entropy"
    assert page.data["remark"] == remark
    assert remark in page.text
    assert [page.data["ids"][i] for i in page.data["front"]] == ["0-0", "1-0"]
    assert page.data["best"] == "1-0"
    assert page.data["operator_counts"] == [["widen_convolution", 0, 2, 1, 1]]
    usual = [replace(record, ranked_errors={}) for record in history]
    page = write(read_run(make_run(tmp_path / "usual", usual)))
    assert page.data["remark"] == ""
    assert remark not in page.text


def test_more_objectives_have_more_figures_and_an_interactive_one(tmp_path):
    run = make_small_run(tmp_path / "run")
    write(run)
    assert {path.name for path in (tmp_path / "run" / "plots").iterdir()} == {
        *("parallel.png", "panels.png", "pairs.png", "hypervolume.png", "parallel.html"),
        *("pareto_front.png", "pareto_front_multiply_adds.png"),
    }


def test_expensive_objectives_have_figures(tmp_path):
    names = report_figures(make_run_in(tmp_path / "run", 7))
    assert {"pareto_front_latency", "pareto_front_top5_error"} <= set(names)


def test_html_in_names_stays_text(tmp_path):
    history = [line("0-0", 0.3, 1_000), line("0-1", None, 5, failure=NASTY)]
    config = with_settings(CONFIG, dataset=f"{NASTY}.npz")
    page = write(read_run(make_run(tmp_path / NASTY.replace("/", ""), history, config)))
    assert page.data["title"] == NASTY.replace("/", "")
    assert page.data["failures"] == [["0-1", NASTY]]
    assert page.data["settings"]["dataset"] == f"{NASTY}.npz"
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "b" not in [tag for tag, _ in page.tags]


@pytest.mark.parametrize("num_networks", [0, 1])
@pytest.mark.parametrize("num_objectives", [2, 7])
def test_a_front_of_at_most_one_network(tmp_path, num_objectives, num_networks):
    page = write(make_run_in(tmp_path / "run", num_objectives, num_networks))
    assert len(page.rows) == 1 + num_networks


def test_objectives_that_are_equal_for_all_networks(tmp_path):
    constant = {"error": 0.1, "parameters": 1_000, "peak_memory": 0, "latency": 1e-3}
    page = write(make_run_in(tmp_path / "run", 7, **constant))
    column = page.rows[0].index("peak memory")
    assert {row[column] for row in page.rows[1:]} == {"0 B"}


def test_files_of_the_front_are_read_once(tmp_path):
    (graph, *_) = NETWORKS.initial_graphs((8, 8, 1), 10)
    run = read_run(make_run(tmp_path / "run"))
    save_model(graph, run.store.models.path("1-0"), {"class_errors": [[3, 2, 5], [7, 0, 5]]})
    known = {}
    data = Page(write_page(run, known).read_text()).data
    assert list(data["files"]) == list(known) == ["1-0"]
    read = data["files"]["1-0"]
    assert read["drawing"]["boxes"][0][4:6] == ["Input", "input"]
    assert len(read["drawing"]["routes"]) == len(read["drawing"]["boxes"]) - 1
    assert read["classes"] == [["3", 2, 5], ["7", 0, 5]]
    run.store.models.path("1-0").unlink()
    assert Page(write_page(run, known).read_text()).data["files"] == data["files"]


@pytest.mark.parametrize("found", ["none", 3, [[10, 0, 5]], [[1, 6, 5]], [[1, 2]], [[1, "2", 5]]])
def test_errors_by_class_that_are_missing_or_impossible_are_left_out(tmp_path, found):
    (graph, *_) = NETWORKS.initial_graphs((8, 8, 1), 10)
    run = read_run(make_run(tmp_path / "run"))
    save_model(
        graph, run.store.models.path("1-0"), {} if found is None else {"class_errors": found}
    )
    assert Page(write_page(run).read_text()).data["files"]["1-0"]["classes"] == []


def test_the_page_of_thousands_of_networks_is_small(tmp_path):
    history = [
        line(f"{i // 40}-{i}", 0.3 - i / 20_000, 1_000 + 7 * i, losses=[1 / 3] * 20)
        for i in range(4_000)
    ]
    run = replace(read_run(make_run(tmp_path / "run", history[:1])), history=history)
    vars(run)["front"] = lambda generation=None: history[::100]
    assert write_page(run).stat().st_size < 1_000_000


# --- In a browser -----------------------------------------------------------------------------

ACTIVE = "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent)"
TITLE = "document.getElementById('details-title').textContent"


def middle(browser, selector):
    """Return where the middle of an element is."""
    return browser.run(
        f"(r => ({{x: r.x + r.width / 2, y: r.y + r.height / 2}}))"
        f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
    )


@pytest.fixture
def page_file(tmp_path):
    """The page of a run of three networks, one of which has a file."""
    run = make_small_run(tmp_path / "run")
    (graph, *_) = NETWORKS.initial_graphs((8, 8, 1), 10)
    save_model(graph, run.store.models.path("1-0"), {"class_errors": [[4, 1, 5], [2, 0, 5]]})
    return write_page(run)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_the_page_in_a_browser(tmp_path, page_file):
    with Browser(tmp_path, page_file.as_uri()) as browser:
        assert browser.run("document.querySelectorAll('#plot circle.point').length") == 3
        use_the_keyboard(browser)
        use_the_mouse(browser)
        check_what_a_screen_reader_finds(browser)
        assert browser.run("document.documentElement.scrollWidth <= window.innerWidth")
        assert browser.problems == []


def use_the_keyboard(browser):
    """Reach every part from the top of the page with Tab, and a network with an arrow key."""
    assert browser.run(TITLE) == "Network 1-0"  # the knee
    reached = []
    while not reached or reached[-1] != "All settings and versions":
        browser.press("Tab")
        reached.append(browser.run(ACTIVE))
        style = "getComputedStyle(document.activeElement)"
        drawn = f"{style}.outlineStyle === 'solid' || {style}.strokeWidth === '3px'"
        assert browser.run(drawn), reached[-1]  # the focus is visible
        assert len(reached) < 40
    points = [name for name in reached if re.match(r"\d-\d, ", name)]
    assert len(points) == 1  # from which arrow keys lead to the others
    assert points[0].startswith("1-0, validation error 25.00 %")
    browser.press("Enter")
    browser.run("document.querySelector('[data-focus=point-1-0]').focus()")
    browser.press("ArrowLeft")
    assert browser.run(ACTIVE).startswith("0-1, validation error 20.00 %")
    browser.press("Enter")
    assert browser.run(f"[{TITLE}, {ACTIVE}, location.hash]") == ["Network 0-1"] * 2 + ["#0-1"]
    # New data of a run that is watched: the focus, and what is open, stay.
    browser.run("keeping(() => { overview(page.data); page.show(); })")
    assert browser.run(ACTIVE) == "Network 0-1"
    assert browser.run("document.querySelector('[data-focus=settings]').open")


def use_the_mouse(browser):
    """Point at a network, click it, and choose other objectives and limits."""
    browser.run("window.scrollTo(0, 0)")
    place = middle(browser, "[data-focus=point-1-0]")
    browser.point(place["x"] + 3, place["y"])
    tip = browser.run("document.getElementById('tip').textContent")
    assert tip.startswith("1-0\nvalidation error 25.00 %")
    browser.point(place["x"], place["y"], click=True)
    assert browser.run(f"[{TITLE}, location.hash]") == ["Network 1-0", "#1-0"]
    text = browser.run("document.getElementById('details').innerText")
    assert "4\t1 of 5\t20.0 %\t3.6 % to 62.4 %" in text
    browser.run(
        "(s => { s.value = 'multiply_adds'; s.dispatchEvent(new Event('change')); })"
        "(document.querySelector('[data-focus=select-x]'))"
    )
    labels = "[...document.querySelectorAll('#plot svg > text')].map(text => text.textContent)"
    assert "multiply-adds" in browser.run(labels)
    browser.run("document.querySelector('input[type=text]').focus()")
    browser.type("22%")
    for place in ("document.querySelector('caption')", "document.getElementById('said')"):
        assert browser.run(f"{place}.textContent") == "1 of 3 networks fit."
    assert browser.run("document.querySelectorAll('tr.off').length") == 2


def check_what_a_screen_reader_finds(browser):
    found = browser.accessible()
    for role, name, properties in found:
        if properties.get("focusable") and role != "RootWebArea":
            assert name, (role, properties)
    names = [(role, name) for role, name, _ in found]
    assert ("progressbar", "Networks trained") in names
    assert ("region", "The front as a table") in names
    assert ("rowheader", "Show network 1-0") in names
    assert ("columnheader", "validation error") in names
    assert ("heading", "Network 1-0") in names
    assert [name for role, name in names if role == "button" and name.startswith("0-1, ")]
    levels = [properties["level"] for role, _, properties in found if role == "heading"]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    chosen = "document.querySelectorAll('tr[aria-current], circle[aria-current]').length"
    assert browser.run(chosen) == 2
