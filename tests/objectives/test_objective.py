from functools import partial

import numpy as np
import pytest
from graphs import small

from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.objectives import (
    ERROR,
    INT8_ERROR,
    MULTIPLY_ADDS,
    OBJECTIVES,
    PARAMETERS,
    TOP5_ERROR,
    Objective,
    ObjectiveError,
    TrainedNetwork,
)

CHEAP = partial(Objective, "energy", "log")


def trained(probabilities, labels):
    """Return a trained network of which no more is known than what it says."""
    never = {"make_model": pytest.fail, "make_file": pytest.fail}
    return TrainedNetwork(small(), np.zeros((2, 8, 8, 3)), np.array(labels), probabilities, **never)


def test_cheap_objectives_are_computed_from_the_graph():
    graph = small()
    assert PARAMETERS.value(graph) == count_parameters(graph)
    assert MULTIPLY_ADDS.value(graph) == count_multiply_adds(graph)
    for objective in OBJECTIVES:
        assert objective.cheap == (objective not in (ERROR, TOP5_ERROR, INT8_ERROR))


def test_errors_are_measured_on_the_trained_network():
    probabilities = np.eye(7)[[3, 4, 6, 2]] + np.linspace(0.3, 0, 7)  # the five best: 0 to 3, ...
    network = trained(probabilities, [3, 5, 0, 6])
    assert ERROR.measured(network) == 0.75
    assert TOP5_ERROR.measured(network) == 0.5  # 5 and 6 of the second and the last


def test_the_references_are_guessing_and_ten_times_the_largest_network():
    graphs = [small(), small(widths=(3, 4, 5))]
    assert ERROR.reference_value(graphs, 10) == pytest.approx(0.9)
    assert TOP5_ERROR.reference_value(graphs, 100) == pytest.approx(0.95)
    assert PARAMETERS.reference_value(graphs, 10) == 10 * count_parameters(graphs[0])
    assert CHEAP(len, reference=50).reference_value(graphs, 10) == 50
    measured = Objective("calibration", "linear", measure=len, unit="fraction")
    assert measured.reference_value(graphs, 10) == 1.0


def test_five_of_five_classes_are_never_wrong():
    with pytest.raises(ObjectiveError, match=r"'top5_error' is 0 for every .* 5 classes; expected"):
        TOP5_ERROR.reference_value([], 5)


def test_a_reference_of_nothing_is_refused():
    with pytest.raises(ObjectiveError, match=r"is -2 at most .* expected more than 0, or refer"):
        Objective("loss", "linear", lambda graph: -2).reference_value([small()], 10)


def test_values_become_plain_numbers():
    value = CHEAP(lambda graph: np.int64(3)).value(small())
    assert (type(value), value) == (int, 3)
    value = CHEAP(lambda graph: np.float32(0.5)).value(small())
    assert (type(value), value) == (float, 0.5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "gave nan; expected a finite number"),
        (float("inf"), "gave inf; expected a finite number"),
        (None, "gave None, of type NoneType; expected a number"),
        ("12", "gave '12', of type str; expected a number"),
        (True, "gave True, of type bool"),
        (np.zeros(1), r"gave array\(\[0.\]\), of type ndarray; .* such as float"),
        (0, 'gave 0, which has no logarithm; expected more than 0, or the scale "linear"'),
    ],
)
def test_what_is_no_number_is_refused_by_name(value, message):
    with pytest.raises(ObjectiveError, match=f"the objective 'energy' {message}"):
        CHEAP(lambda graph: value).value(small())
    of_trained = Objective("energy", "log", measure=lambda trained: value, reference=1.0)
    with pytest.raises(ObjectiveError, match=f"the objective 'energy' {message}"):
        of_trained.measured(None)


def test_an_exception_is_told_with_its_line():
    def energy(graph):
        return {}["Concatenate"]

    line = energy.__code__.co_firstlineno + 1
    for objective in (CHEAP(energy), CHEAP(lambda graph, _: energy(graph)).with_prepared(0)):
        with pytest.raises(
            ObjectiveError, match=r"'energy' raised KeyError: 'Concatenate' \("
        ) as e:
            objective.value(small())
        assert isinstance(e.value.__cause__, KeyError)
        assert __file__ in str(e.value)
    assert f"test_objective.py, line {line})" in str(_raised(CHEAP(energy)))


def _raised(objective):
    with pytest.raises(ObjectiveError) as caught:
        objective.value(small())
    return caught.value


def test_a_prepared_objective_computes_with_what_was_found():
    objective = CHEAP(lambda graph, table: len(graph) * table["each"], prepare=lambda before: {})
    assert objective.prepare is not None
    ready = objective.with_prepared({"each": 2.0})
    assert ready.prepare is None
    assert ready.value(small()) == 2.0 * len(small())
    assert (ready.name, ready.scale) == ("energy", "log")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "my energy", "compute": len},
            "is called 'my energy'; expected a name of letters",
        ),
        ({"name": "test_error", "compute": len}, "none of id, file, test_error"),
        ({"scale": "log10", "compute": len}, "scale 'log10'; expected one of 'log', 'linear'"),
        ({"unit": "J a day", "compute": len}, "unit 'J a day'; expected one word, such as"),
        ({}, "neither compute and measure; expected compute=, a function of a graph"),
        ({"compute": len, "measure": len}, "both compute and measure"),
        ({"measure": len}, "is measured and has no reference; expected reference="),
        ({"compute": len, "reference": float("inf")}, "'energy' gave inf; expected a finite"),
        ({"measure": len, "prepare": len}, "has prepare and measure; only a cheap"),
        ({"measure": len, "unit": "fraction"}, "a fraction on a log scale"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ObjectiveError, match=message):
        Objective(**{"name": "energy", "scale": "log", **arguments})
