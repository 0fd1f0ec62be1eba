"""report.html, its data and the figures in plots/."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import pytest
from run_folders import proposal
from runs import CONFIG, line, make_run, make_run_in, make_small_run, with_settings

from lemonade_tf.keras_bridge import save_model
from lemonade_tf.report import table_rows, write_page, write_report
from lemonade_tf.report.figure import DOTS_PER_INCH
from lemonade_tf.report.page import report_figures
from lemonade_tf.runs import read_run
from lemonade_tf.search_spaces import NETWORKS

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
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

# What a user does, and what they see then: written into the title of the page.
ACTIONS = """
const seen = {};
const points = () => [...document.querySelectorAll("#plot circle.point")];
const press = (target, key) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const change = (target, value) => {
  target.value = value;
  target.dispatchEvent(new Event("change"));
  target.dispatchEvent(new Event("input"));
};
seen.points = points().length;
seen.details = document.getElementById("details-title").textContent;
const place = points()[1].getBoundingClientRect();
document.querySelector("#plot svg").dispatchEvent(new PointerEvent("pointermove", {
  clientX: place.x + place.width / 2 + 3, clientY: place.y + place.height / 2 }));
seen.tip = document.getElementById("tip").textContent;
points()[1].dispatchEvent(new MouseEvent("click", { bubbles: true }));
seen.clicked = document.getElementById("details-title").textContent;
seen.hash = location.hash;
points()[1].focus();
press(points()[1], "ArrowRight");
seen.focused = document.activeElement.getAttribute("aria-label");
press(document.activeElement, "Enter");
seen.entered = document.getElementById("details-title").textContent;
change(document.querySelector("[data-focus=select-x]"), "multiply_adds");
seen.labels = [...document.querySelectorAll("#plot svg > text")].map(text => text.textContent);
change(document.querySelectorAll("input[type=text]")[0], "22%");
seen.fitting = document.querySelector("caption").textContent;
seen.off = document.querySelectorAll("tr.off").length;
seen.wide = document.documentElement.scrollWidth <= window.innerWidth;
seen.unnamed = [...document.querySelectorAll("button, input, select")].filter(
  each => !each.textContent && !each.closest("label") && !each.ariaLabel).length;
document.title = JSON.stringify(seen);
"""


def browse(tmp_path, path):
    """Open a page in a narrow window; return its elements, and check that nothing failed."""
    found = subprocess.run(
        [
            *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=500,900"),
            *("--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path}/browser"),
            *("--virtual-time-budget=2000", "--dump-dom", path.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in found.stderr, found.stderr
    return found.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_the_page_in_a_browser(tmp_path):
    run = make_small_run(tmp_path / "run")
    (graph, *_) = NETWORKS.initial_graphs((8, 8, 1), 10)
    save_model(graph, run.store.models.path("1-0"), {"class_errors": [[4, 1, 5], [2, 0, 5]]})
    path = write_page(run)
    text = path.read_text()
    shown = browse(tmp_path, path)
    assert 'aria-label="Architecture of 1-0"' in shown
    assert "<td>4</td><td>1 of 5</td><td>20.0 %</td><td>3.6 % to 62.4 %</td>" in shown
    text = re.sub("<meta http-equiv[^>]*>", "", text)  # it forbids other scripts
    path.write_text(text.replace("</body>", f"<script>{ACTIONS}</script></body>"))
    seen = json.loads(re.search("<title>(.*?)</title>", browse(tmp_path, path))[1])
    assert seen["points"] == 3
    assert seen["details"] == "Network 1-0"  # the knee
    assert seen["tip"].startswith("0-1\nvalidation error 20.00 %")
    assert seen["clicked"] == "Network 0-1"
    assert seen["hash"] == "#0-1"
    assert seen["focused"].startswith("1-0, validation error 25.00 %")
    assert seen["entered"] == "Network 1-0"
    assert "multiply-adds" in seen["labels"]
    assert seen["fitting"] == "1 of 3 networks fit."
    assert seen["off"] == 2
    assert seen["wide"]
    assert seen["unnamed"] == 0
