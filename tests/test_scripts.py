"""Scripts in experiments/ and benchmarks/ report bad settings in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WITHOUT_MAIN = {"common.py", "script.py", "processes.py", "gpu_training.py"}
SCRIPTS = [
    path
    for folder in ("experiments", "benchmarks")
    for path in sorted((ROOT / folder).glob("*.py"))
    if path.name not in WITHOUT_MAIN
]


def run(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("I0000", "WARNING"))]
    return done.returncode, lines


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
        ("experiments/search_networks.py", ["--quick"], "--workdir must have a value"),
        ("experiments/search_networks.py", ["--quick", "--workdir", "RUN", "x"], "argument 'x'"),
        ("benchmarks/same_results.py", ["--reference", "gone.json"], "gone.json: No such file"),
    ],
)
def test_bad_settings_are_one_line(script, arguments, words, tmp_path):
    check(ROOT / script, arguments, words)


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_mistyped_option_is_one_line(path):
    check(path, ["--quik"], "quik")
