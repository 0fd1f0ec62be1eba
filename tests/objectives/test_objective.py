import pytest
from graphs import small

from lemonade_tf.architecture.cost import count_multiply_adds, count_parameters
from lemonade_tf.objectives import (
    ERROR,
    MULTIPLY_ADDS,
    OBJECTIVES,
    PARAMETERS,
    objectives_named,
)


def test_cheap_objectives_are_computed_from_the_graph():
    graph = small()
    assert PARAMETERS.compute(graph) == count_parameters(graph)
    assert MULTIPLY_ADDS.compute(graph) == count_multiply_adds(graph)
    assert [objective.cheap for objective in OBJECTIVES] == [False, True, True]


def test_objectives_come_in_the_order_of_their_names():
    assert objectives_named(["parameters", "error"]) == (PARAMETERS, ERROR)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["error", "size"],
            r"unknown objective 'size'; known are error, parameters, multiply_adds",
        ),
        (["error", "error", "parameters"], "one is named twice"),
        (["error"], "at least one cheap objective"),
        (["parameters"], "expected error"),
        ([], "expected error"),
    ],
)
def test_a_senseless_choice_is_refused(names, message):
    with pytest.raises(ValueError, match=message):
        objectives_named(names)
