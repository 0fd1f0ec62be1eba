"""Lazy exports: the names in a package's stub, each imported on first access (PEP 562, SPEC 1).

The stub `__init__.pyi` is the only list of these names: type checkers and editors read it, and so
does `lazy_exports`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazy_exports(
    package: str, file: str
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package that has a stub.

    Args:
        package: `__name__` of the package.
        file: `__file__` of the package; the stub lies next to it.
    """
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    modules = {
        alias.name: "." * node.level + (node.module or "")
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def get_attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if modules[name] == ".":  # from . import NAME: a module of the package
            return import_module(f".{name}", package)
        return getattr(import_module(modules[name], package), name)

    return get_attribute, lambda: sorted(modules), list(modules)
