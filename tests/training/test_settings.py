import pytest

from lemonade_tf.training.settings import TrainingSettings


def test_the_defaults_are_the_papers():
    # A.4.4: batch size 64, 20 epochs, from 0.01 to 0, weight decay 5e-4; A.1: 5 epochs. Crop, flip,
    # Cutout and mixup with their authors' values for CIFAR-10.
    settings = TrainingSettings()
    assert (settings.epochs, settings.distillation_epochs, settings.batch_size) == (20, 5, 64)
    assert (settings.learning_rate, settings.weight_decay) == (0.01, 5e-4)
    settings = settings.for_images((32, 32, 3))
    assert (settings.pad, settings.flip, settings.cutout, settings.mixup) == (4, True, 16, 1.0)


@pytest.mark.parametrize(
    ("input_shape", "pad", "cutout"),
    [((8, 8, 1), 1, 4), ((28, 28, 1), 3, 14), ((64, 40, 3), 5, 20), ((7, 90, 3), 0, 3)],
)
def test_the_augmentation_depends_on_the_shorter_side(input_shape, pad, cutout):
    settings = TrainingSettings().for_images(input_shape)
    assert (settings.pad, settings.cutout) == (pad, cutout)
    given = TrainingSettings(pad=0, cutout=30)
    assert given.for_images(input_shape) == given


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", -1, "epochs is -1; expected an integer of at least 0"),
        ("epochs", 1.5, "epochs is 1.5; expected an integer"),
        ("epochs", True, "epochs is True; expected an integer"),
        ("batch_size", 0, "batch_size is 0; expected an integer of at least 1"),
        ("cutout", -1, "cutout is -1; expected an integer of at least 0"),
        ("learning_rate", 0.0, "learning_rate is 0.0; expected more than 0"),
        ("learning_rate", float("inf"), "learning_rate is inf"),
        ("momentum", 1.0, r"momentum is 1.0; expected a number in \[0, 1\)"),
        ("weight_decay", float("nan"), "weight_decay is nan; expected at least 0"),
        ("distillation_memory", -1.0, "distillation_memory is -1.0"),
        ("schedule", "linear", "'linear'; expected one of cosine, step"),
        ("decay_epochs", 0, "decay_epochs is 0; expected an integer of at least 1"),
        ("decay_factor", 1.5, r"decay_factor is 1.5; expected a number in \(0, 1\]"),
        ("precision", "float16", "'float16'; expected one of float32, tf32, bfloat16"),
        ("approximate_start", "best", "'best'; expected one of fitted, inherited, random"),
    ],
)
def test_a_value_out_of_range_is_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**{name: value})
