"""The tutorials are complete: CI runs each, and the page of the documentation shows each."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(path for path in (ROOT / "tutorials").iterdir() if path.is_file())
MODULES = ("own_objectives.py", "own_operator.py")  # which scripts use
SCRIPTS = [path.name for path in FILES if path.name not in MODULES]


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_the_page_shows_every_file(name):
    page = (ROOT / "docs/tutorials.md").read_text()
    assert f'--8<-- "tutorials/{name}"' in page
    assert len((ROOT / "tutorials" / name).read_text().splitlines()) <= 80


@pytest.mark.parametrize("name", SCRIPTS)
def test_ci_runs_every_script_and_the_page_tells_how_long_it_takes(name):
    assert re.search(rf"\b{re.escape(name)}\b", (ROOT / ".ci/run").read_text())
    (row,) = re.findall(
        rf"^\| .*`(?:bash|python) {re.escape(name)}` \|.*$",
        (ROOT / "docs/tutorials.md").read_text(),
        re.MULTILINE,
    )
    assert re.search(r"\d s|min", row)
