"""The versions of packages, and the type of CPU, that the results of a search may depend on.

Libraries choose their kernels by what the CPU has, such as AVX-512, and kernels round differently.
So equal seeds give equal results only on the same type of CPU.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("keras", "tensorflow", "numpy", "scikit-learn")
_logger = logging.getLogger(__name__)


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the installed ones among some packages, and the CPU."""
    found = {"python": platform.python_version(), "cpu": cpu_type()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@cache
def cpu_type() -> str:
    """Return the name of this machine's CPU, with its family and model where the name is vague."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    first = lines[: lines.index("")] if "" in lines else lines
    facts = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)
    }
    names = ("model name", "cpu family", "model", "CPU implementer", "CPU part")
    found = [f"{name.split()[-1]} {facts[name]}" for name in names if name in facts]
    return ", ".join(found).removeprefix("name ") or platform.processor() or platform.machine()


def warn_of_other_versions(
    recorded: Mapping[str, str], effect: str = "the search continues, but its results may differ"
) -> None:
    """Log a warning if versions or the CPU differ from those that a search was started with.

    Args:
        recorded: Those of the search.
        effect: What follows, in words.
    """
    now = versions()
    differing = [
        f"{name} was {recorded[name]}, now {now.get(name)}"
        for name in recorded
        if recorded[name] != now.get(name)
    ]
    if differing:
        _logger.warning("%s: %s.", "; ".join(differing), effect)
