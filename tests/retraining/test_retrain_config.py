import pytest

from lemonade_tf.config import ConfigError
from lemonade_tf.retraining import RetrainConfig


def test_the_recipe_of_imagenet64_is_that_of_its_authors():
    # WRNs_imagenet.py of Chrabaszcz et al.; the gradient of 0.0005 * sum(w^2) is 0.001 * w.
    training = RetrainConfig.from_flat({"recipe": "imagenet64"}).training
    assert (training.epochs, training.batch_size, training.learning_rate) == (40, 128, 0.01)
    assert (training.schedule, training.decay_epochs, training.decay_factor) == ("step", 10, 0.2)
    assert (training.momentum, training.nesterov, training.weight_decay) == (0.9, False, 0.001)
    assert (training.pad, training.flip, training.cutout, training.mixup) == (4, True, 0, 0.0)


def test_given_settings_override_the_recipe():
    config = RetrainConfig.from_flat({"recipe": "imagenet64", "epochs": 80, "decay_epochs": 20})
    assert (config.training.epochs, config.training.decay_epochs) == (80, 20)
    assert config.training.batch_size == 128
    assert RetrainConfig.from_flat({}) == RetrainConfig()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": "vgg"}, "--recipe is 'vgg'; expected one of paper, imagenet64"),
        ({"decay_epochs": 5}, "--decay_epochs has no effect here; .* use --schedule step"),
        ({"drop_path": 1.0}, "--drop_path is 1.0; expected a number in .0, 1."),
        ({"schedule": "cosine", "recipe": "imagenet64", "decay_factor": 0.1}, "no effect here"),
    ],
)
def test_a_recipe_or_a_setting_without_effect_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        RetrainConfig.from_flat(settings)
