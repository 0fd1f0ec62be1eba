import pytest

from lemonade_tf.training.out_of_memory import (
    describe_out_of_memory,
    effective_batch_size,
    settings_to_try,
)
from lemonade_tf.training.settings import TrainingSettings

SETTINGS = TrainingSettings(batch_size=64, statistics_images=3, evaluation_batch_size=1)


@pytest.mark.parametrize(
    ("num_images", "batch", "halves"),
    [(1000, 64, [32]), (64, 64, [32]), (41, 41, [20]), (1, 1, [])],
)
def test_the_second_attempt_has_half_the_images_per_step(num_images, batch, halves):
    assert effective_batch_size(SETTINGS, num_images) == batch
    first, *others = settings_to_try(SETTINGS, num_images)
    assert first is SETTINGS
    assert [effective_batch_size(settings, num_images) for settings in others] == halves
    for settings in others:
        assert (settings.statistics_images, settings.evaluation_batch_size) == (1, 1)
        assert (settings.fit_images, settings.distillation_memory) == (512, 0.5)


def test_the_message_contains_what_is_known():
    assert "for a network of 1,234 parameters and 56,789 multiply-adds;" in describe_out_of_memory(
        8, 1234, 56789
    )
    assert "with batches of 8 images, before the network was built;" in describe_out_of_memory(
        8, None, None
    )
