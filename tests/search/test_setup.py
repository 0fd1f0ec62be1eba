"""What a search begins with: the folder it takes, and what is in it first."""

from functools import partial
from multiprocessing.pool import ThreadPool

import pytest

from lemonade_tf.config import make_config
from lemonade_tf.datasets.loading import load_dataset
from lemonade_tf.search import setup as module
from lemonade_tf.search.setup import begin
from lemonade_tf.store import RunStore, StoreError

DIGITS = load_dataset("digits")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_searches_that_begin_together_take_folders_of_their_own(here):
    with ThreadPool(4) as pool:
        setups = pool.map(partial(begin, dataset=DIGITS), [make_config("quick")] * 4)
    assert sorted(s.store.path.name for s in setups) == [f"digits-{n}" for n in range(1, 5)]
    for each in setups:
        assert RunStore.open(each.store.path).is_locked()


def test_a_folder_that_came_into_being_while_objectives_were_prepared(here, monkeypatch):
    def prepare(*_):
        (here / "runs" / "digits-1").mkdir(parents=True)

    monkeypatch.setattr(module, "prepared_objectives", prepare)
    assert begin(make_config("quick"), DIGITS).store.path.name == "digits-2"


def test_a_folder_that_was_given_is_taken_or_refused(here):
    config = make_config("quick", workdir="mine")
    begin(config, DIGITS).store.release()
    with pytest.raises(StoreError, match="mine already holds a run"):
        begin(config, DIGITS)
    assert [path.name for path in here.iterdir()] == ["mine"]
