"""Errors meant for the user share one base, which carries the exit status."""

import ast
from pathlib import Path

import pytest

import lemonade_tf
from lemonade_tf.config import ConfigError
from lemonade_tf.datasets.dataset_error import DatasetError, UnknownDatasetError
from lemonade_tf.errors import LemonadeError
from lemonade_tf.store import StoreError

PACKAGE = Path(lemonade_tf.__file__).parent


def test_every_error_class_of_the_package_is_a_lemonade_error():
    bases = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
    derived = {"LemonadeError"}
    while more := {name for name in bases if bases[name] & derived} - derived:
        derived |= more
    errors = {name for name in bases if name.endswith(("Error", "Exception"))}
    assert {"ConfigError", "CellError", "UnknownDatasetError"} <= errors
    assert errors <= derived


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LemonadeError, 1),
        (StoreError, 1),
        (DatasetError, 1),
        (UnknownDatasetError, 2),
        (ConfigError, 2),
    ],
)
def test_usage_errors_exit_with_2_and_others_with_1(error, status):
    assert error("message").exit_status == status


def test_the_package_exports_the_base_class():
    assert lemonade_tf.LemonadeError is LemonadeError
