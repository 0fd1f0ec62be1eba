"""Names that are imported when they are asked for."""

import subprocess
import sys

import pytest

from lemonade_tf.lazy import importing

HOMES = {"JSONDecoder": ".decoder", "sqrt": "math"}


def test_a_name_comes_from_its_module():
    import json
    import math

    get = importing("json", HOMES)
    assert get("JSONDecoder") is json.JSONDecoder
    assert get("sqrt") is math.sqrt


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'loads_not'"):
        importing("json", HOMES)("loads_not")


@pytest.mark.parametrize("package", ["lemonade_tf", "lemonade_tf.search", "lemonade_tf.retraining"])
def test_packages_have_the_names_that_they_list_and_load_none_of_them_before(package):
    script = (
        f"import sys, {package} as p; before = set(sys.modules); "
        "print(all(hasattr(p, name) for name in p.__all__), 'lemonade_tf.store' in before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True False\n"
