import math
import sys
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from graphs import small

from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.objectives import (
    BALANCED_ERROR,
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
from lemonade_tf.search_spaces import NETWORKS

MEASURED = ERROR, TOP5_ERROR, BALANCED_ERROR, INT8_ERROR
CHEAP = partial(Objective, "energy", "log")


def trained(probabilities, labels):
    """Return a trained network of which only the predictions may be used."""
    images = np.zeros((2, 8, 8, 3))
    return TrainedNetwork(
        small(),
        images,
        np.array(labels),
        probabilities,
        make_model=pytest.fail,
        make_file=pytest.fail,
        training_images=images,
        backend=None,
    )


def test_an_objective_needs_its_kind_of_network():
    with pytest.raises(ObjectiveError, match="'error' is expensive; expected a trained network"):
        ERROR.value(small())
    with pytest.raises(ObjectiveError, match="'parameters' is cheap; expected a graph"):
        PARAMETERS.measured(trained(np.eye(2), [0, 1]))


def test_cheap_objectives_are_computed_from_the_graph():
    graph = small()
    assert PARAMETERS.value(graph) == count_parameters(graph)
    assert MULTIPLY_ADDS.value(graph) == count_multiply_adds(graph)
    for objective in OBJECTIVES:
        assert objective.cheap == (objective not in MEASURED)


def test_errors_are_measured_on_the_trained_network():
    # Each row prefers one class, then 0, 1, 2, ... in this order.
    probabilities = np.eye(7)[[3, 4, 6, 2, 0]] + np.linspace(0.3, 0, 7)
    network = trained(probabilities, [3, 5, 0, 6, 4])
    assert ERROR.measured(network) == 0.8  # only the first is right
    assert TOP5_ERROR.measured(network) == 0.4  # wrong: 5 and 6, the sixth of their rows


def test_default_references_are_chance_level_and_a_multiple_of_the_largest_initial_network():
    graphs = [small(), small(widths=(3, 4, 5))]
    assert ERROR.reference_value(graphs, 10) == pytest.approx(0.9)
    assert TOP5_ERROR.reference_value(graphs, 100) == pytest.approx(0.95)
    assert PARAMETERS.reference_value(graphs, 10) == 10 * count_parameters(graphs[0])
    largest = NETWORKS.initial_graphs((32, 32, 3), 10)
    assert PARAMETERS.reference_value(largest, 10) == 25 * 400_758 > 10_000_000
    largest = NETWORKS.initial_graphs((8, 8, 1), 10)
    assert PARAMETERS.reference_value(largest, 10) == 10 * 399_534
    assert CHEAP(len, reference=50).reference_value(graphs, 10) == 50
    measured = Objective("calibration", "linear", measure=len, unit="fraction")
    assert measured.reference_value(graphs, 10) == 1.0


def test_the_balanced_error_is_the_mean_over_the_classes_that_have_images():
    given = trained(np.eye(4)[[0, 0, 0, 1, 0]], [0, 0, 0, 1, 1])
    assert BALANCED_ERROR.measured(given) == pytest.approx((0 + 1 / 2) / 2)
    assert ERROR.measured(given) == pytest.approx(1 / 5)


def test_the_top5_error_requires_more_than_five_classes():
    with pytest.raises(ObjectiveError, match=r"'top5_error' is 0 for all .* 5 classes; it"):
        TOP5_ERROR.reference_value([], 5)


def test_a_default_reference_that_is_not_positive_is_refused():
    with pytest.raises(ObjectiveError, match=r"is at most -2 .* expected more than 0, or refer"):
        Objective("loss", "linear", lambda graph: -2).reference_value([small()], 10)


def test_the_transform_follows_the_scale():
    assert CHEAP(len).transform(15_232) == math.log(15_232)
    assert Objective("depth", "linear", compute=len).transform(-3) == -3.0


@pytest.mark.parametrize("value", [0, -1.5])
def test_the_transform_of_a_log_scale_refuses_values_without_a_logarithm(value):
    with pytest.raises(ObjectiveError, match=f"returned {value}, which has no logarithm"):
        CHEAP(len).transform(value)


def test_numpy_values_are_converted_to_python_numbers():
    value = CHEAP(lambda graph: np.int64(3)).value(small())
    assert (type(value), value) == (int, 3)
    value = CHEAP(lambda graph: np.float32(0.5)).value(small())
    assert (type(value), value) == (float, 0.5)
    value = CHEAP(lambda graph: Fraction(1, 4)).value(small())
    assert (type(value), value) == (float, 0.25)
    for large in (10**30, np.uint64(2**64 - 1)):  # no file or array has such integers
        value = CHEAP(lambda graph, large=large: large).value(small())
        assert (type(value), value) == (float, float(large))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "returned nan; expected a finite number"),
        (float("inf"), "returned inf; expected a finite number"),
        (None, "returned None of type NoneType; expected a number"),
        ("12", "returned '12' of type str; expected a number"),
        (True, "returned True of type bool"),
        (np.zeros(1), r"returned array\(\[0.\]\) of type ndarray; .* with float"),
        (10**400, "returned an integer of 1329 bits; expected a finite number of at most 1e"),
        (-(10**400), "returned an integer of 1329 bits; expected a finite number of at most 1e"),
        (1e61, r"returned 1e\+61; expected a finite number of at most 1e\+60"),
        (Fraction(10**400, 3), r"returned inf; expected a finite number"),
        (Decimal(3), r"returned Decimal\('3'\) of type Decimal; expected a number"),
        (1 + 0j, r"returned \(1\+0j\) of type complex; expected a number"),
        (np.bool_(True), r"returned .* expected a number"),
        (np.longdouble("1e4000"), "returned inf; expected a finite number"),
        (np.zeros((40, 40)), r"returned array\(\[\[0., 0., .* of type ndarray; expected a number"),
        (0, 'returned 0, which has no logarithm; expected more than 0, or the scale "linear"'),
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_objective(value, message):
    with pytest.raises(ObjectiveError, match=f"the objective 'energy' {message}"):
        CHEAP(lambda graph: value).value(small())
    of_trained = Objective("energy", "log", measure=lambda trained: value, reference=1.0)
    with pytest.raises(ObjectiveError, match=f"the objective 'energy' {message}") as caught:
        of_trained.measured(None)
    assert len(str(caught.value).splitlines()) == 1
    message = message.replace("returned", "has the reference")
    with pytest.raises(ObjectiveError, match=f"the objective 'energy' {message}"):
        CHEAP(len, reference=lambda num_classes: value).reference_value([], 10)
    if value is not None:
        with pytest.raises(ObjectiveError, match=f"the objective 'energy' {message}"):
            CHEAP(len, reference=value)


def test_an_exception_is_reported_with_file_and_line():
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


def test_an_exit_is_an_error_with_file_and_line():
    def leave(_):
        sys.exit(3)

    message = r"'energy' raised SystemExit: 3 \(.*test_objective\.py, line "
    with pytest.raises(ObjectiveError, match=message):
        CHEAP(leave).value(small())
    with pytest.raises(ObjectiveError, match=message):
        CHEAP(measure=leave, reference=1.0).measured(trained(np.eye(2), [0, 1]))


def _raised(objective):
    with pytest.raises(ObjectiveError) as caught:
        objective.value(small())
    return caught.value


def test_a_prepared_objective_computes_with_the_prepared_data():
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
            "name is 'my energy'; expected letters, digits",
        ),
        ({"name": "test_error", "compute": len}, "and none of id, file, test_error"),
        ({"scale": "log10", "compute": len}, "scale 'log10'; expected one of 'log', 'linear'"),
        ({"unit": "J a day", "compute": len}, "unit 'J a day'; expected one word, such as"),
        ({}, "neither compute nor measure; expected either compute="),
        ({"compute": len, "measure": len}, "both compute and measure"),
        ({"measure": len}, "is expensive and has no reference; expected reference="),
        ({"compute": len, "reference": float("inf")}, "'energy' has the reference inf; expected a"),
        (
            {"measure": len, "prepare": len},
            "both prepare and measure; expected prepare= for cheap",
        ),
        ({"measure": len, "unit": "fraction"}, "a fraction on a log scale"),
    ],
)
def test_contradictory_arguments_are_refused(arguments, message):
    with pytest.raises(ObjectiveError, match=message):
        Objective(**{"name": "energy", "scale": "log", **arguments})
