"""What is said about the training of networks from scratch."""

import pytest

from lemonade_tf.retraining.final_training import training_text


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1, 1, 1), "Training 1 of 1 network for 1 epoch each; the largest first."),
        ((2, 3, 600), "Training 2 of 3 networks for 600 epochs each; the largest first."),
    ],
)
def test_numbers_of_networks_and_epochs_are_in_the_plural_if_they_are(numbers, words):
    assert training_text(*numbers) == words
