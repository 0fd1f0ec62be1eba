import sys

import pytest

from lemonade_tf.objectives import (
    ERROR,
    PARAMETERS,
    ObjectiveError,
    find_objective,
    objectives_named,
    objectives_of,
    rescaled,
)

MODULE = """
from lemonade_tf.objectives import Objective

DEPTH = Objective("depth", "linear", compute=len)
OTHER_DEPTH = Objective("depth", "log", compute=len)
WIDTH = Objective("width", "linear", lambda graph, found: found["width"], prepare=lambda b: 0)
MINE = Objective("parameters", "log", compute=len)
NUMBER = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a module of objectives in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_objectives.py").write_text(MODULE)
    (tmp_path / "half_objectives.py").write_text("import no_such_thing")
    (tmp_path / "bad_objectives.py").write_text("x = (")
    (tmp_path / "run_objectives.py").write_text("raise SystemExit(3)")
    yield tmp_path
    for name in ("own_objectives", "half_objectives", "bad_objectives"):
        sys.modules.pop(name, None)


def test_objectives_come_in_the_order_of_their_names():
    assert objectives_named(["parameters", "error"]) == (PARAMETERS, ERROR)


def test_an_objective_of_ones_own_is_found_in_the_current_folder(here):
    error, depth = objectives_named(["error", "own_objectives:DEPTH"])
    assert (error, depth.name, depth.scale) == (ERROR, "depth", "linear")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["error", "size"],
            r"unknown objective 'size'; known are error, parameters, multiply_adds",
        ),
        (["error", "parametres"], r"'parametres' \(did you mean 'parameters'\?\); known are"),
        (["error", "depth"], "and your own as MODULE:NAME"),
        (["error", "error", "parameters"], "one is named twice"),
        (["error", "own_objectives:DEPTH", "own_objectives:OTHER_DEPTH"], "one is named twice"),
        (["error"], "at least one cheap objective"),
        (["parameters"], "expected error"),
        ([], "expected error"),
        (["error", PARAMETERS], "objectives are given by name, .* not as Objective"),
        (["error", "none_objectives:A"], "importing none_objectives raised ModuleNotFoundError"),
        (["error", "half_objectives:A"], "No module named 'no_such_thing'; expected a module in"),
        (["error", "run_objectives:A"], "importing run_objectives raised SystemExit: 3; expected"),
        (["error", "bad_objectives:A"], "importing bad_objectives raised SyntaxError"),
        (["error", "own_objectives:DEPT"], "has no 'DEPT'. It has DEPTH, OTHER_DEPTH, WIDTH, MINE"),
        (["error", "own_objectives:"], "has no ''. It has DEPTH"),
        (["error", "own_objectives:NUMBER"], "is of type int; expected an Objective"),
        (["error", "own_objectives:MINE"], "is called 'parameters', as one that comes with"),
        (["error", "own/objectives.py:A"], "such as 'own.objectives', before the colon"),
        (["error", "__main__:A"], "'__main__' is none that the processes that train could import"),
    ],
)
def test_a_senseless_choice_is_refused(here, names, message):
    with pytest.raises(ObjectiveError, match=message) as caught:
        objectives_named(names)
    assert len(str(caught.value).splitlines()) == 1


def test_the_objectives_of_a_run_are_those_of_its_settings(here):
    settings = {
        "objectives": ["error", "own_objectives:DEPTH", "own_objectives:WIDTH"],
        "scale": {"depth": "log"},
        "prepared": {"own_objectives:WIDTH": {"width": 7}},
    }
    error, depth, width = objectives_of(settings)
    assert (error.scale, depth.scale, width.scale) == ("linear", "log", "linear")
    assert width.value(None) == 7
    assert objectives_of({"objectives": ["error", "parameters"]}) == (ERROR, PARAMETERS)


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"depth": "log"}, "depth=log: 'depth' is none of the objectives .* one of error, param"),
        ({"parameters": "cubic"}, "parameters=cubic: expected parameters=log or parameters=line"),
        ({"error": "log"}, "'error' is a fraction on a log scale"),
    ],
)
def test_a_senseless_scale_is_refused(scales, message):
    with pytest.raises(ObjectiveError, match=message):
        rescaled((ERROR, PARAMETERS), scales)


def test_finding_a_name_a_second_time_gives_the_same(here):
    assert find_objective("own_objectives:DEPTH") is find_objective("own_objectives:DEPTH")
