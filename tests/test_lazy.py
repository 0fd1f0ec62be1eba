"""Exports that are imported on first access."""

import subprocess
import sys

import pytest

from lemonade_tf.lazy import lazy_exports

PACKAGES = (
    "lemonade_tf",
    "lemonade_tf.keras_bridge",
    "lemonade_tf.retraining",
    "lemonade_tf.search",
)


@pytest.fixture
def exports(tmp_path, monkeypatch):
    """The exports of a package with a stub that lists a class and a module."""
    package = tmp_path / "basket"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "fruit.py").write_text("class Lemon: pass")
    (package / "__init__.pyi").write_text(
        "from math import pi as pi\n"
        "from . import fruit as fruit\n"
        "from .fruit import Lemon as Lemon\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield lazy_exports("basket", str(package / "__init__.py"))
    for name in ("basket", "basket.fruit"):
        sys.modules.pop(name, None)


def test_names_of_the_stub_are_imported_from_their_modules(exports):
    get, names, listed = exports
    assert listed == ["pi", "fruit", "Lemon"]
    assert names() == sorted(listed)
    assert "basket.fruit" not in sys.modules
    lemon = get("Lemon")
    assert lemon is sys.modules["basket.fruit"].Lemon
    assert get("fruit") is sys.modules["basket.fruit"]
    assert get("pi") == pytest.approx(3.14159, abs=1e-5)


def test_a_name_that_the_stub_does_not_list_is_an_attribute_error(exports):
    with pytest.raises(AttributeError, match="module 'basket' has no attribute 'lime'"):
        exports[0]("lime")


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_export_what_their_stub_lists_and_import_it_lazily(package):
    script = (
        f"import sys, {package} as p; before = set(sys.modules); "
        "print(all(hasattr(p, name) for name in p.__all__), set(p.__all__) <= set(dir(p)), "
        "sorted({'keras', 'numpy'} & before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True True []\n"
