"""Batches of proposals, and generations."""

from lemonade_tf.evolution import Batch, Evaluation, Generation, Individual, Proposal


def test_a_generation_is_complete_when_all_accepted_children_are_evaluated():
    accepted, rejected = (
        Individual(1, attempt, "0-0", (), (3,), {"parameters": 7}) for attempt in range(2)
    )
    proposals = (Proposal(accepted, "accepted"), Proposal(rejected, "rejected"))
    batch = Batch(1, 2, proposals)
    assert batch.accepted == (accepted,)
    assert not Generation(batch, (), (), ()).is_complete
    assert Generation(batch, (Evaluation("1-0", failure="killed"),), (), ()).is_complete
