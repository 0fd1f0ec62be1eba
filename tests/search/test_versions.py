"""Versions of packages, and the warning if they differ."""

import platform

import numpy as np

from lemonade_tf.search.versions import cpu_type, versions, warn_of_other_versions


def test_versions_lists_python_and_the_installed_packages():
    found = versions(("numpy", "no-such-package"))
    assert found == {
        "python": platform.python_version(),
        "cpu": cpu_type(),
        "numpy": np.__version__,
    }
    assert len(cpu_type()) > 2
    assert "\n" not in cpu_type()


def test_other_versions_are_a_warning(caplog):
    warn_of_other_versions(versions())
    assert not caplog.records
    warn_of_other_versions({**versions(), "numpy": "1.0", "cpu": "abacus"})
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning == (
        f"cpu was abacus, now {cpu_type()}; numpy was 1.0, now {np.__version__}: the search"
        " continues, but its results may differ."
    )
