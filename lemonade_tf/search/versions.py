"""The versions of packages that the results of a search may depend on."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("keras", "tensorflow", "numpy", "scikit-learn")
_logger = logging.getLogger(__name__)


def versions(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the installed ones among some packages."""
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def warn_of_other_versions(recorded: Mapping[str, str]) -> None:
    """Log a warning if versions differ from those that a search was started with."""
    now = versions()
    differing = [
        f"{name} was {recorded[name]}, now {now.get(name)}"
        for name in recorded
        if recorded[name] != now.get(name)
    ]
    if differing:
        _logger.warning(
            "%s: the search continues, but its results may differ.", "; ".join(differing)
        )
