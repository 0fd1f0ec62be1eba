"""The settings of a resumed search."""

import pytest

from lemonade_tf.config import ConfigError
from lemonade_tf.presets import make_config
from lemonade_tf.search.continued_config import recorded_config, resumed_config


def test_a_resumed_search_keeps_its_settings_except_those_that_may_change():
    before = make_config("digits", seed=7).as_json()
    config = resumed_config(before, {"num_generations": 20, "workers": 2})
    assert config.as_json() == {**before, "num_generations": 20, "workers": 2}
    assert resumed_config(before, {"seed": 7, "epochs": 4}).as_json() == before


def test_a_resumed_search_refuses_changes_of_its_results():
    before = make_config("digits", seed=7).as_json()
    message = (
        r"^cannot resume with different settings: --limit was none, now parameters=1000.0;"
        r" --seed was 7, now 8; --epochs was 4, now 5\. Omit them, or start a new search"
    )
    with pytest.raises(ConfigError, match=message):
        resumed_config(before, {"seed": 8, "epochs": 5, "limit": {"parameters": 1e3}})


def test_a_config_of_another_version_cannot_be_resumed():
    before = make_config("digits").as_json()
    del before["momentum"], before["space"]
    with pytest.raises(ConfigError, match=r"config\.json of the run lacks space, momentum; it was"):
        resumed_config(before, {})


def test_settings_that_are_younger_than_a_run_have_no_effect_on_it():
    before = make_config("digits").as_json()
    younger = ("minutes", "training_images", "tie_break")
    older = {name: value for name, value in before.items() if name not in younger}
    assert resumed_config(older, {}).as_json() == before
    assert recorded_config(older).as_json() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data_dir", 5),
        ("filters", "wide"),
        ("cells_per_block", [2]),
        ("batch_size", "64"),
        ("flip", 1),
        ("precision", "float8"),
        ("max_hours", {}),
        ("objectives", "error,parameters"),
    ],
)
def test_settings_of_other_types_are_refused(name, value):
    before = make_config("digits").as_json() | {name: value}
    with pytest.raises(ConfigError, match=rf"config\.json of the run has .* as '{name}'; restore"):
        resumed_config(before, {})
