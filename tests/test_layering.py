"""Who may import whom: the left arm without Keras, the right arm without evolution."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lemonade_tf"
ANYTHING = None

# Each package, and each module that lies directly in lemonade_tf, to those of ours that it may
# import; all may import `errors`. What stands here need not exist; what exists has to stand here.
# A module of a package may stand here by itself: it may import what stands there, rather than what
# its package may.
MAY_IMPORT = {
    "errors": set(),
    "architecture": set(),
    "operators": {"architecture"},
    "search_spaces": {"architecture", "operators"},
    "evolution": set(),
    "store": set(),
    "lazy": set(),
    "executors": set(),
    "datasets": {"architecture", "store"},
    "keras_bridge": {"architecture", "lazy", "store"},
    "backends": {"architecture", "keras_bridge"},
    "training": {"architecture", "backends", "datasets", "keras_bridge", "operators", "store"},
    "training.settings": set(),
    "inheritance": {"architecture", "operators"},
    "workers": {
        "architecture",
        "backends",
        "datasets",
        "executors",
        "inheritance",
        "keras_bridge",
        "latency",
        "objectives",
        "operators",
        "search_spaces",
        "training",
    },
    "surgery": {"architecture", "inheritance", "keras_bridge", "operators"},
    "latency": {"architecture", "backends", "operators"},
    "objectives": {"architecture", "backends", "datasets", "latency"},
    "drawing": {"architecture", "store"},
    "config": {"datasets", "latency", "objectives", "training.settings"},
    "runs": {"architecture", "datasets", "evolution", "objectives", "store"},
    "report": {"evolution", "objectives", "runs", "store"},
    "retraining": {
        "config",
        "datasets",
        "executors",
        "lazy",
        "runs",
        "store",
        "training",
        "workers",
    },
    "monitoring": {"config", "evolution", "latency", "report", "runs", "store"},
    "baselines": ANYTHING,
    "cli": ANYTHING,
    "search": {
        "architecture",
        "config",
        "datasets",
        "evolution",
        "executors",
        "keras_bridge",
        "latency",
        "lazy",
        "monitoring",
        "objectives",
        "operators",
        "runs",
        "search_spaces",
        "store",
        "training",
        "workers",
    },
    "__main__": {"cli"},
    "__init__": {"lazy"},  # it imports what it is asked for, when it is asked for
}
MAY_IMPORT_KERAS = {
    "backends",
    "inheritance",
    "keras_bridge",
    "surgery",
    "training",
    "workers",
}
WITHOUT_KERAS = (
    "architecture",
    "operators",
    "search_spaces",
    "evolution",
    "drawing",
    "latency",
    "objectives",
)

MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def _package(module):
    return _place(".".join(module.with_suffix("").parts))


def _place(name):
    """The entry of the table that holds for a module, or for a name in it."""
    parts = name.split(".")
    by_itself = ".".join(parts[:2])
    return by_itself if by_itself in MAY_IMPORT else parts[0]


def _imports(module):
    """Yield the absolute name of everything that a module imports, at any depth of its code."""
    inside = ("lemonade_tf", *module.parts[:-1])
    for node in ast.walk(ast.parse((PACKAGE / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            origin = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def test_every_package_stands_in_the_table():
    assert {_package(module) for module in MODULES} <= set(MAY_IMPORT)
    for allowed in MAY_IMPORT.values():
        assert (allowed or set()) <= set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_what_its_package_may(module):
    package = _package(module)
    allowed = MAY_IMPORT[package]
    for name in _imports(module):
        root, _, rest = name.partition(".")
        if root == "lemonade_tf" and allowed is not ANYTHING and rest != "__version__":
            places = {_place(rest), rest.partition(".")[0]}  # allowed by itself, or its package
            assert places & (allowed | {package, "errors"}), f"{module} imports {name}"
        if root == "keras":
            assert package in MAY_IMPORT_KERAS, f"{module} imports {name}"
        if root == "tensorflow":
            assert module.stem.endswith("_tensorflow"), f"{module} imports {name}"


def test_the_table_has_no_circle():
    pending = {name: set(allowed or ()) for name, allowed in MAY_IMPORT.items()}
    while pending:
        free = {name for name, needs in pending.items() if not needs}
        assert free, f"import each other: {sorted(pending)}"
        pending = {name: needs - free for name, needs in pending.items() if name not in free}


def test_the_diagram_in_the_readme_shows_every_package_above_its_imports():
    text = (PACKAGE.parent / "README.md").read_text()
    _, heading, diagram = text.partition("without Keras  ")
    assert heading
    lines = diagram.partition("\n")[2].partition("```")[0].split("\n")
    height = {name: -row for row, line in enumerate(lines) for name in line.split()}
    packages = {name.partition(".")[0] for name in MAY_IMPORT} - {"lazy", "__init__", "__main__"}
    assert set(height) == packages
    for module in MODULES:
        package = module.with_suffix("").parts[0]
        imported = {name.split(".")[1] for name in _imports(module) if "lemonade_tf." in name}
        for name in imported & packages - {package} if package in packages else ():
            assert height[package] > height[name], f"{module} imports {name}"


def test_the_walk_sees_every_kind_of_import(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.py").write_text(
        "import keras.ops as o, json\nfrom ..journal import b\nfrom . import c\n"
        "def f():\n    from lemonade_tf import search\n    import tensorflow as tf\n"
    )
    assert sorted(_imports(Path("store/a.py"))) == [
        "json",
        "keras.ops",
        "lemonade_tf.journal.b",
        "lemonade_tf.search",
        "lemonade_tf.store.c",
        "tensorflow",
    ]


def test_the_left_arm_loads_neither_keras_nor_tensorflow():
    names = ", ".join(["lemonade_tf", *(f"lemonade_tf.{name}" for name in WITHOUT_KERAS)])
    script = (
        f"import sys, {names}; print(sorted({{'keras', 'tensorflow', 'jax'}} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"
