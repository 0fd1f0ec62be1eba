"""Every file that CONTRIBUTING.md and the README link to, or name, exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "README.md"])
def test_linked_files_exist(document):
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_named_test_files_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
