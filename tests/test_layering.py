"""Which packages may import which; no import cycles; no long chains of imports."""

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lemonade_tf"
MAX_IMPORT_CHAIN = 14  # modules
TYPES_ONLY = "TYPE_CHECKING"
# Same file names in two packages are counterparts: the abstract base, the entry point, the cells.
COUNTERPARTS = {"__init__", "base", "cells", "driver", "settings"}

# The packages, and the modules directly in lemonade_tf, that each may import; all may import
# `errors`. A module of a package may have an entry of its own, which replaces its package's.
MAY_IMPORT = {
    "errors": set(),
    "safe_json": set(),
    "terminal": set(),
    "setting_checks": set(),
    "custom_modules": set(),
    "architecture": {"safe_json"},
    "operators": {"architecture", "custom_modules"},
    "search_spaces": {"architecture", "operators"},
    "evolution": set(),
    "store": {"safe_json"},
    "lazy": set(),
    "executors": {"store"},
    "datasets": {"architecture", "safe_json", "store"},
    "keras_bridge": {"architecture", "lazy", "safe_json", "store"},
    "backends": {"architecture", "keras_bridge"},
    "training": {
        "architecture",
        "backends",
        "datasets",
        "executors",
        "keras_bridge",
        "operators",
        "safe_json",
        "setting_checks",
        "store",
    },
    "training.settings": {"backends", "setting_checks"},
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
        "safe_json",
        "search_spaces",
        "training",
    },
    "surgery": {
        "architecture",
        "backends",
        "inheritance",
        "keras_bridge",
        "latency",
        "operators",
    },
    "latency": {"architecture", "backends", "operators"},
    "objectives": {"architecture", "backends", "custom_modules", "datasets", "latency"},
    "drawing": {"architecture", "store"},
    "config_checks": set(),
    "config": {
        "config_checks",
        "datasets",
        "latency",
        "objectives",
        "setting_checks",
        "training.settings",
    },
    "presets": {"config", "datasets", "latency"},
    "runs": {"architecture", "datasets", "evolution", "keras_bridge", "objectives", "store"},
    "report": {
        "drawing",
        "evolution",
        "keras_bridge",
        "objectives",
        "presets",
        "runs",
        "store",
        "terminal",
    },
    "retraining": {
        "architecture",
        "config",
        "config_checks",
        "datasets",
        "executors",
        "keras_bridge",
        "lazy",
        "runs",
        "safe_json",
        "search",
        "search_spaces",
        "store",
        "training",
        "workers",
    },
    "export": {
        "architecture",
        "backends",
        "datasets",
        "keras_bridge",
        "latency",
        "lazy",
        "objectives",
        "retraining",
        "runs",
        "search",
        "store",
        "surgery",
    },
    "monitoring": {"config", "evolution", "latency", "report", "runs", "store", "terminal"},
    "baselines": {
        "architecture",
        "config",
        "datasets",
        "evolution",
        "executors",
        "keras_bridge",
        "lazy",
        "monitoring",
        "objectives",
        "operators",
        "report",
        "runs",
        "search",
        "search_spaces",
        "store",
    },
    "cli": {
        "__init__",
        "architecture",
        "config",
        "drawing",
        "export",
        "keras_bridge",
        "monitoring",
        "objectives",
        "presets",
        "report",
        "retraining",
        "runs",
        "search",
        "store",
        "terminal",
        "training",
    },
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
        "presets",
        "runs",
        "search_spaces",
        "store",
        "training",
        "workers",
    },
    "__main__": {"cli"},
    "__init__": {"lazy"},  # it imports names on first access
}
MAY_IMPORT_KERAS = {
    "backends",
    "export",
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


def _name(module):
    """Return the dotted name of a module inside the package, e.g. "store.journal"."""
    parts = module.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _entry(name):
    """Return the key of MAY_IMPORT that holds for a dotted name inside the package."""
    parts = name.split(".")
    module = ".".join(parts[:2])
    return module if module in MAY_IMPORT else parts[0]


def _imports(module, *, nested=True):
    """Yield the absolute name of everything that a module imports.

    Args:
        module: Its path, relative to the package.
        nested: Whether to include imports inside functions and under `if TYPE_CHECKING`.
    """
    inside = ("lemonade_tf", *module.parts[:-1])
    tree = ast.parse((PACKAGE / module).read_text())
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            origin = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


@cache
def _modules():
    """Return the paths of all modules by dotted name, packages included."""
    return {_name(path): path for path in MODULES}


@cache
def _exports(package):
    """Return where the names that a package re-exports come from, by dotted name."""
    stub = (PACKAGE / _modules()[package]).with_suffix(".pyi")
    path = stub if stub.exists() else PACKAGE / _modules()[package]
    names = _imports(path.relative_to(PACKAGE))
    return {name.rpartition(".")[2]: name.removeprefix("lemonade_tf.") for name in names}


def _defining_module(name):
    """Return the module that an imported name inside the package refers to."""
    if name in _modules():
        return name
    origin, _, attribute = name.rpartition(".")
    if origin not in _modules():
        return "__init__"
    is_package = _modules()[origin].name == "__init__.py"
    source = _exports(origin).get(attribute) if is_package else None
    return origin if source is None else _defining_module(source)


def _import_graph(*, nested):
    """Return the modules that each module imports, re-exports followed to their definition."""
    graph = {}
    for name, path in _modules().items():
        if path.name != "__init__.py":  # these only re-export
            imported = (n for n in _imports(path, nested=nested) if n.startswith("lemonade_tf."))
            modules = {_defining_module(n.removeprefix("lemonade_tf.")) for n in imported}
            graph[name] = modules - {name}
    return graph


def test_every_package_has_an_entry_in_the_table():
    assert {_entry(_name(module)) for module in MODULES} <= set(MAY_IMPORT)
    for allowed in MAY_IMPORT.values():
        assert allowed <= set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_what_its_package_may(module):
    package = _entry(_name(module))
    allowed = MAY_IMPORT[package]
    for name in _imports(module):
        root, _, rest = name.partition(".")
        if root == "lemonade_tf" and rest != "__version__":
            places = {_entry(rest), rest.partition(".")[0]}  # the module's entry, or its package's
            assert places & (allowed | {package, "errors"}), f"{module} imports {name}"
        if root == "keras":
            assert package in MAY_IMPORT_KERAS, f"{module} imports {name}"
        if root == "tensorflow":
            assert module.stem.endswith("_tensorflow"), f"{module} imports {name}"


def test_the_table_has_no_cycles():
    tuple(TopologicalSorter(MAY_IMPORT).static_order())  # raises CycleError


def test_no_modules_import_each_other_even_inside_functions():
    graph = _import_graph(nested=False)
    for name, modules in _import_graph(nested=True).items():
        graph[name] |= modules - _type_checking_imports(name)
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle


def _type_checking_imports(name):
    """Return the modules that a module imports for annotations only."""
    tree = ast.parse((PACKAGE / _modules()[name]).read_text())
    blocks = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == TYPES_ONLY]
    imports = [n for block in blocks for n in block.body if isinstance(n, ast.ImportFrom)]
    names = [f"{n.module}.{alias.name}" for n in imports for alias in n.names]
    return {_defining_module(name.removeprefix("lemonade_tf.")) for name in names}


def test_no_chain_of_imports_is_long():
    graph = _import_graph(nested=False)
    chains = {}
    for name in TopologicalSorter(graph).static_order():
        longest = max((chains[n] for n in graph.get(name, ())), key=len, default=())
        chains[name] = (name, *longest)
    longest = max(chains.values(), key=len)
    assert len(longest) <= MAX_IMPORT_CHAIN, " > ".join(longest)


def test_no_two_packages_have_modules_of_the_same_name():
    counts = Counter(module.stem for module in MODULES)
    assert {stem for stem, count in counts.items() if count > 1} <= COUNTERPARTS


def test_the_diagram_in_the_documentation_shows_every_package_above_its_imports():
    text = (PACKAGE.parent / "docs" / "code.md").read_text()
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


def test_imports_of_every_form_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.py").write_text(
        "import keras.ops as o, json\nfrom ..journal import b\nfrom . import c\n"
        "def f():\n    from lemonade_tf import search\n    import tensorflow as tf\n"
    )
    top_level = ["json", "keras.ops", "lemonade_tf.journal.b", "lemonade_tf.store.c"]
    assert sorted(_imports(Path("store/a.py"), nested=False)) == top_level
    nested = {*top_level, "lemonade_tf.search", "tensorflow"}
    assert set(_imports(Path("store/a.py"))) == nested


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
