"""The front of a running search, and front.csv."""

from itertools import permutations

import pytest
from run_folders import network

from lemonade_tf.objectives import ERROR, PARAMETERS
from lemonade_tf.search.running_front import Front

REFERENCE = {"error": 0.9, "parameters": 10_000}


def _network(id_, error, parameters, test_error=0.25):
    return network(
        id_, objectives={"error": error, "parameters": parameters}, test_error=test_error
    )


SMALL, LARGE = _network("0-0", 0.5, 100), _network("1-3", 0.1, 1000, test_error=None)
BETWEEN, WORSE = _network("1-4", 0.3, 400), _network("1-5", 0.6, 2000)
TWIN = _network("2-0", 0.1, 1000)  # of LARGE


@pytest.fixture
def front(store):
    return Front(store, (ERROR, PARAMETERS), REFERENCE)


def _table(store):
    return (store.path / "front.csv").read_text().splitlines()


def test_networks_that_are_not_dominated_join(front, store):
    assert front.add([LARGE])
    assert front.add([SMALL])
    assert list(front.members) == ["0-0", "1-3"]
    assert front.hypervolume == pytest.approx((0.9 - 0.5) * (4 - 2) + (0.5 - 0.1) * (4 - 3))
    front.write()
    assert _table(store) == [
        "id,file,error,parameters,test_error",
        "0-0,models/0-0.h5,0.5,100,0.25",
        "1-3,models/1-3.h5,0.1,1000,",
    ]


def test_a_dominated_network_changes_nothing(front):
    front.add([SMALL])
    before = front.hypervolume
    assert not front.add([WORSE])
    assert list(front.members) == ["0-0"]
    assert front.hypervolume == before


def test_networks_that_become_dominated_leave(front):
    for record in (WORSE, SMALL, BETWEEN, LARGE):
        assert front.add([record])
    assert [row.id for row in front.rows()] == ["0-0", "1-4", "1-3"]


def test_of_equal_networks_the_oldest_stays_in_any_order_of_completion(store):
    for order in permutations([SMALL, LARGE, BETWEEN, WORSE, TWIN]):
        front = Front(store, (ERROR, PARAMETERS), REFERENCE)
        for record in order:
            front.add([record])
        assert list(front.members) == ["0-0", "1-4", "1-3"]


def test_all_networks_at_once_give_the_same_front(front, store):
    records = [SMALL, LARGE, BETWEEN, WORSE, TWIN]
    recalled = Front(store, (ERROR, PARAMETERS), REFERENCE)
    recalled.add(iter(records))
    for record in records:
        front.add([record])
    assert recalled.rows() == front.rows()
    assert recalled.hypervolume == front.hypervolume > 0


def test_columns_of_extra_data_sets(store):
    columns = ["test_error", "test_error_odd"]
    Front(store, (ERROR, PARAMETERS), REFERENCE, columns).write()
    assert _table(store) == ["id,file,error,parameters,test_error,test_error_odd"]


def test_without_networks_the_front_is_empty(front, store):
    assert not front.add([])
    front.write()
    assert front.rows() == []
    assert front.hypervolume == 0
    assert _table(store) == ["id,file,error,parameters,test_error"]
