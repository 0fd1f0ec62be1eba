"""The front of a search under way, and front.csv."""

from itertools import permutations

import pytest

from lemonade_tf.evolution import Individual
from lemonade_tf.objectives import ERROR, PARAMETERS
from lemonade_tf.search.front import Front

REFERENCE = {"error": 0.9, "parameters": 10_000}


def _individual(id_, error, parameters):
    generation, attempt = map(int, id_.split("-"))
    cheap = {"parameters": parameters}
    return Individual(generation, attempt, None, (), (), cheap, {"error": error})


SMALL, LARGE = _individual("0-0", 0.5, 100), _individual("1-3", 0.1, 1000)
BETWEEN, WORSE = _individual("1-4", 0.3, 400), _individual("1-5", 0.6, 2000)
TWIN = _individual("2-0", 0.1, 1000)  # of LARGE
DETAILS = {"test_error": 0.25}


@pytest.fixture
def front(store):
    return Front(store, (ERROR, PARAMETERS), REFERENCE, ())


def _table(store):
    return (store.path / "front.csv").read_text().splitlines()


def test_a_network_that_is_not_dominated_joins_and_front_csv_says_so(front, store):
    assert front.add(SMALL, DETAILS)
    assert front.add(LARGE, {"test_error": None})
    assert set(front.members) == {"0-0", "1-3"}
    assert front.hypervolume == pytest.approx((0.9 - 0.5) * (4 - 2) + (0.5 - 0.1) * (4 - 3))
    assert _table(store) == [
        "id,file,error,parameters,test_error",
        "0-0,models/0-0.h5,0.5,100,0.25",
        "1-3,models/1-3.h5,0.1,1000,",
    ]


def test_one_that_is_dominated_changes_nothing(front, store):
    front.add(SMALL, DETAILS)
    before = (store.path / "front.csv").stat().st_mtime_ns
    assert not front.add(WORSE, DETAILS)
    assert set(front.members) == {"0-0"}
    assert (store.path / "front.csv").stat().st_mtime_ns == before


def test_what_it_dominates_leaves(front, store):
    for individual in (WORSE, SMALL, BETWEEN, LARGE):
        front.add(individual, DETAILS)
    assert [row["id"] for row in front.rows()] == ["0-0", "1-4", "1-3"]
    assert [line.split(",")[0] for line in _table(store)] == ["id", "0-0", "1-4", "1-3"]


def test_of_equals_the_oldest_stays_whatever_the_order(store):
    for order in permutations([SMALL, LARGE, BETWEEN, WORSE, TWIN]):
        front = Front(store, (ERROR, PARAMETERS), REFERENCE, ())
        for individual in order:
            front.add(individual, DETAILS)
        assert set(front.members) == {"0-0", "1-3", "1-4"}


def test_networks_on_record_make_the_same_front(front, store):
    all_ = [SMALL, LARGE, BETWEEN, WORSE, TWIN]
    recalled = Front(store, (ERROR, PARAMETERS), REFERENCE, ())
    recalled.recall(iter(all_), {i.id: DETAILS for i in all_})
    for individual in all_:
        front.add(individual, DETAILS)
    assert recalled.rows() == front.rows()
    assert recalled.hypervolume == front.hypervolume > 0


def test_a_search_without_a_network_has_an_empty_front(front, store):
    front.recall([], {})
    front.write()
    assert front.rows() == []
    assert front.hypervolume == 0
    assert _table(store) == ["id,file,error,parameters,test_error"]
