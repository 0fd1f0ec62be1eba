import pytest

from lemonade_tf import config
from lemonade_tf.training.settings import STARTS, TrainingSettings


def test_a_search_offers_the_same_starts():
    assert config.STARTS == STARTS


def test_defaults_are_the_papers():
    # A.4.4: batch size 64, 20 epochs, from 0.01 to 0, weight decay 5e-4; A.1: 5 epochs.
    settings = TrainingSettings()
    assert (settings.epochs, settings.distillation_epochs, settings.batch_size) == (20, 5, 64)
    assert (settings.learning_rate, settings.weight_decay) == (0.01, 5e-4)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", -1, "epochs is -1; expected an integer that is not negative"),
        ("epochs", 1.5, "epochs is 1.5; expected an integer"),
        ("batch_size", 0, "batch_size is 0; expected a positive integer"),
        ("learning_rate", 0.0, "learning_rate is 0.0; expected a positive number"),
        ("learning_rate", float("inf"), "learning_rate is inf"),
        ("momentum", 1.0, r"momentum is 1.0; expected a number in \[0, 1\)"),
        ("weight_decay", float("nan"), "weight_decay is nan"),
        ("distillation_memory", -1.0, "distillation_memory is -1.0"),
        ("approximate_start", "best", "'best'; expected one of fitted, inherited, random"),
    ],
)
def test_what_makes_no_sense_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**{name: value})
