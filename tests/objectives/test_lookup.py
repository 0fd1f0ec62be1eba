"""Objectives by name, and the errors of names that are none."""

import sys

import pytest

from lemonade_tf.objectives import (
    ERROR,
    PARAMETERS,
    ObjectiveError,
    find_objective,
    find_objectives,
    run_objectives,
    with_scales,
)

MODULE = """
from lemonade_tf.objectives import Objective

DEPTH = Objective("depth", "linear", compute=len)
OTHER_DEPTH = Objective("depth", "log", compute=len)
WIDTH = Objective("width", "linear", lambda graph, prepared: prepared["width"], prepare=lambda _: 0)
MINE = Objective("parameters", "log", compute=len)
NUMBER = 3
"""

REFUSED = """
from lemonade_tf.objectives import Objective

A = Objective("a", "linear", measure=len)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with modules of objectives."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_objectives.py").write_text(MODULE)
    (tmp_path / "half_objectives.py").write_text("import no_such_thing")
    (tmp_path / "deep_objectives.py").write_text("import helper_of_it")
    (tmp_path / "helper_of_it.py").write_text("\n1 / 0")
    (tmp_path / "refused_objectives.py").write_text(REFUSED)
    (tmp_path / "bad_objectives.py").write_text("x = (")
    (tmp_path / "exiting_objectives.py").write_text("raise SystemExit(3)")
    yield tmp_path
    for name in ("own_objectives", "half_objectives", "bad_objectives"):
        sys.modules.pop(name, None)


def test_find_objectives_keeps_the_order_of_the_names():
    assert find_objectives(["parameters", "error"]) == (PARAMETERS, ERROR)


def test_a_custom_objective_is_found_in_the_current_folder(here):
    error, depth = find_objectives(["error", "own_objectives:DEPTH"])
    assert (error, depth.name, depth.scale) == (ERROR, "depth", "linear")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["error", "size"],
            r"unknown objective 'size'; expected one of error, parameters, multiply_adds",
        ),
        (["error", "parametres"], r"'parametres'; did you mean 'parameters'\? expected one of"),
        (["error", "depth"], "or a custom objective MODULE:NAME"),
        (["error", "error", "parameters"], "duplicate name; expected each only once"),
        (
            ["error", "own_objectives:DEPTH", "own_objectives:OTHER_DEPTH"],
            "duplicate name; expected each only once",
        ),
        (["error"], "at least one cheap objective"),
        (["parameters"], "expected error"),
        ([], "expected error"),
        (["error", PARAMETERS], r"objective Objective\(.*: expected a name, such as"),
        (["error", "none_objectives:A"], "importing none_objectives raised ModuleNotFoundError"),
        (
            ["error", "half_objectives:A"],
            r"No module named 'no_such_thing'; it happened in \S*/half_objectives.py, line 1; fix",
        ),
        (
            ["error", "deep_objectives:A"],
            r"ZeroDivisionError: division by zero; it happened in \S*/helper_of_it.py, line 2; fix",
        ),
        (
            ["error", "refused_objectives:A"],
            r"for the hypervolume; it happened in \S*/refused_objectives.py, line 4; fix",
        ),
        (
            ["error", "exiting_objectives:A"],
            "importing exiting_objectives raised SystemExit: 3",
        ),
        (["error", "bad_objectives:A"], "SyntaxError: .* in \\S*/bad_objectives.py, line 1; fix"),
        (
            ["error", "own_objectives:DEPT"],
            "'DEPT'. It has DEPTH, OTHER_DEPTH, WIDTH, MINE",
        ),
        (["error", "own_objectives:"], "has no attribute ''. It has DEPTH"),
        (["error", "own_objectives:NUMBER"], "is of type int; expected an Objective"),
        (["error", "own_objectives:MINE"], "has the name 'parameters' of a built-in objective"),
        (["error", "own/objectives.py:A"], "before the colon, such as 'own.objectives'"),
        (
            ["error", "__main__:A"],
            "cannot import '__main__'; expected .* as 'energy'",
        ),
    ],
)
def test_invalid_names_are_refused(here, names, message):
    with pytest.raises(ObjectiveError, match=message) as caught:
        find_objectives(names)
    assert len(str(caught.value).splitlines()) == 1


def test_run_objectives_are_scaled_and_prepared(here):
    settings = {
        "objectives": ["error", "own_objectives:DEPTH", "own_objectives:WIDTH"],
        "scale": {"depth": "log"},
    }
    prepared = {"own_objectives:WIDTH": {"width": 7}}
    error, depth, width = run_objectives(settings, prepared)
    assert (error.scale, depth.scale, width.scale) == ("linear", "log", "linear")
    assert width.value(None) == 7
    assert run_objectives({"objectives": ["error", "parameters"]}) == (ERROR, PARAMETERS)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"depth": "log"}, "depth=log: 'depth' is not an objective .* one of error, param"),
        ({"parameters": "cubic"}, "parameters=cubic: expected parameters=log or parameters=line"),
        ({"error": "log"}, "'error' is a fraction on a log scale"),
    ],
)
def test_invalid_scales_are_refused(scales, message):
    with pytest.raises(ObjectiveError, match=message):
        with_scales((ERROR, PARAMETERS), scales)


def test_a_custom_objective_is_imported_once(here):
    assert find_objective("own_objectives:DEPTH") is find_objective("own_objectives:DEPTH")


def test_no_module_is_imported_in_a_run_folder(here):
    """Whoever made the run chose its objectives and could have put a module beside them."""
    for name in ("config.json", "history.jsonl"):
        (here / name).touch()
    (here / "strange.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(ObjectiveError, match=r"is a run folder, from which no modules are import"):
        find_objective("strange:DEPTH")
