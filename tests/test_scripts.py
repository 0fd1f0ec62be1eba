"""Scripts in experiments/ and benchmarks/ report bad settings in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted([*ROOT.glob("experiments/*.py"), *ROOT.glob("benchmarks/*.py")])


def run(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stderr.splitlines()


def check(path, arguments, words):
    status, lines = run(path, *arguments)
    assert status in (1, 2)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{path.name}: ")
    assert words in lines[0]


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("experiments/search_networks.py", ["--workdir", "RUN"], "--dataset is missing; expected"),
        (
            "experiments/transfer_imagenet64.py",
            ["--run", "RUN", "--workdir", "OUT", "--filters", "64,x"],
            "--filters has 'x'; expected integers separated by commas",
        ),
        ("benchmarks/same_results.py", ["--reference", "gone.json"], "gone.json: No such file"),
    ],
)
def test_bad_settings_are_one_line(script, arguments, words, tmp_path):
    check(ROOT / script, arguments, words)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_script_reports_errors_in_this_way(path):
    text = path.read_text()
    if "__main__" in text:  # not a module that scripts share
        assert text.endswith(("    run_script(main)\n", "    run_benchmark(main)\n", "=True)\n"))
        assert "ArgumentParser(" not in text
