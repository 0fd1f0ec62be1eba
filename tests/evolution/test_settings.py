"""The settings of Algorithm 1."""

import dataclasses

import pytest

from lemonade_tf.evolution import EvolutionSettings


def test_the_defaults_are_the_papers():
    assert dataclasses.astuple(EvolutionSettings())[:4] == (100, 200, 40, "density")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_generations": -1}, "num_generations is -1; expected an integer of at least 0"),
        ({"num_proposed": 0}, "num_proposed is 0; expected an integer of at least 1"),
        ({"num_accepted": 2.0}, "num_accepted is 2.0; expected an integer of at least 1"),
        ({"max_redraws": True}, "max_redraws is True; expected an integer of at least 0"),
        ({"num_accepted": 201}, "num_accepted is 201 and num_proposed 200; expected to accept"),
        ({"sampling": "kde"}, "sampling is 'kde'; expected"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EvolutionSettings(**changes)
