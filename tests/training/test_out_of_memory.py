import pytest

from lemonade_tf.training.out_of_memory import attempts, batch_of, out_of_memory
from lemonade_tf.training.settings import TrainingSettings

SETTINGS = TrainingSettings(batch_size=64, statistics_images=3, evaluation_batch_size=1)


@pytest.mark.parametrize(
    ("num_images", "batch", "halves"),
    [(1000, 64, [32]), (64, 64, [32]), (41, 41, [20]), (1, 1, [])],
)
def test_half_of_the_images_that_a_step_really_has(num_images, batch, halves):
    assert batch_of(SETTINGS, num_images) == batch
    first, *others = attempts(SETTINGS, num_images)
    assert first is SETTINGS
    assert [batch_of(settings, num_images) for settings in others] == halves
    for settings in others:
        assert (settings.statistics_images, settings.evaluation_batch_size) == (1, 1)


def test_the_line_says_what_is_known():
    assert "for a network of 1,234 parameters and 56,789 multiply-adds;" in out_of_memory(
        8, 1234, 56789
    )
    assert "with batches of 8 images, before the network was made;" in out_of_memory(8, None, None)
