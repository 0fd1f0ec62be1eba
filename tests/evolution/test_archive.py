"""Finding duplicates."""

import pytest

from lemonade_tf.evolution import Individual
from lemonade_tf.evolution.archive import Archive


def _individual(generation, attempt, architecture):
    return Individual(generation, attempt, None, (), architecture, {})


@pytest.fixture
def archive():
    archive = Archive(len, lambda a, b: a == b)
    for individual in (_individual(10, 0, "ab"), _individual(2, 7, "ab"), _individual(2, 3, "cd")):
        archive.add(len(individual.architecture), individual)
    return archive


def test_the_oldest_of_equal_architectures_is_found(archive):
    assert archive.find(2, "ab") == "2-7"
    archive.add(2, _individual(2, 6, "ab"))
    assert archive.find(2, "ab") == "2-6"


def test_architectures_of_equal_hash_are_compared(archive):
    assert archive.find(2, "cd") == "2-3"
    assert archive.find(2, "ef") is None
    assert archive.find(3, "abc") is None
