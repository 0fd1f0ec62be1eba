"""The ids of networks."""

import pytest

from lemonade_tf.store.network_ids import is_network_id, network_id, parse_network_id


def test_an_id_is_parsed_into_what_it_was_made_from():
    assert network_id(12, 7) == "12-7"
    assert parse_network_id("12-7") == (12, 7)


def test_ids_are_ordered_by_generation_and_attempt_as_numbers():
    ids = ["10-0", "2-11", "2-3", "0-1"]
    assert sorted(ids, key=parse_network_id) == ["0-1", "2-3", "2-11", "10-0"]


@pytest.mark.parametrize("text", ["", "12", "12-", "-7", "12-7-1", "12-7.odd", "a-7", "12-7\n"])
def test_other_texts_are_no_ids(text):
    assert not is_network_id(text)
    with pytest.raises(ValueError, match="expected GENERATION-ATTEMPT"):
        parse_network_id(text)
