"""experiments/compare.py: picture formats and errors."""

import importlib.util
import sys
from pathlib import Path

import pytest
from absl import app, flags
from absl.testing import flagsaver
from runs import make_run

SCRIPT = Path(__file__).parent.parent / "experiments" / "compare.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("compare_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(SCRIPT.parent))  # as for a script
    spec.loader.exec_module(module)
    sys.path.remove(str(SCRIPT.parent))
    flags.FLAGS.mark_as_parsed()
    return module


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def compare(script, run, picture):
    with flagsaver.flagsaver(picture=str(picture)):
        script.main(["compare.py", str(run), str(run)])


@pytest.mark.parametrize(
    ("name", "first_bytes"),
    [("a.png", b"\x89PNG\r\n"), ("b.SVG", b"<?xml"), ("new/folder/c.pdf", b"%PDF")],
)
def test_the_suffix_chooses_the_format(script, run, tmp_path, name, first_bytes, capsys):
    compare(script, run, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(first_bytes)
    assert f"Picture: {tmp_path / name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.jpg", "a"])
def test_another_suffix_is_refused_before_anything_is_done(script, run, tmp_path, name, capsys):
    with pytest.raises(app.UsageError, match=r"expected \.png, \.svg or \.pdf"):
        compare(script, run, tmp_path / name)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / name).exists()


def test_a_picture_that_cannot_be_written(script, run):
    with pytest.raises(app.UsageError, match=r"x\.png cannot be written: .*; choose another file"):
        compare(script, run, run / "config.json" / "x.png")
