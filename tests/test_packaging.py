"""Wheel and sdist contain what is needed: the patterns of setup.py and MANIFEST.in match."""

import ast
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lemonade_tf"


def package_data():
    """Return the patterns of files in packages that are no modules, from setup.py."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    keywords = {k.arg: k.value for call in calls for k in call.keywords}
    return ast.literal_eval(keywords["package_data"])[""]


def test_the_wheel_contains_every_file_of_the_package():
    packages = {path.parent for path in PACKAGE.rglob("__init__.py")}
    patterns = package_data()
    for path in PACKAGE.rglob("*"):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        if path.suffix == ".py":
            assert path.parent in packages, path
        else:
            package = next(parent for parent in path.parents if parent in packages)
            name = path.relative_to(package).as_posix()
            assert any(fnmatch(name, pattern) for pattern in patterns), path
    sizes = [path.stat().st_size for path in PACKAGE.rglob("*") if path.suffix != ".pyc"]
    assert sum(sizes) < 5e6


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_the_sdist_contains_every_file_of_the_repository():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    grafted, included = set(), {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        command, *words = line.split()
        {"graft": grafted, "include": included}.get(command, set()).update(words)
    left_out = {
        name
        for name in listed
        if name not in included and name.split("/")[0] not in {*grafted, "lemonade_tf"}
    }
    assert left_out == {".gitignore"}
