"""Drawing as many images of each class."""

import numpy as np

from lemonade_tf.training.class_balance import balanced_order


def test_classes_are_drawn_equally_often_and_images_of_a_class_too():
    labels = np.repeat([0, 1, 2], [70, 25, 6])
    order = balanced_order(labels, rng=np.random.default_rng(0))
    assert len(order) == 101
    assert sorted(np.bincount(labels[order])) == [33, 34, 34]
    counts = np.bincount(order, minlength=101)
    for label, (least, most) in enumerate([(0, 1), (1, 2), (5, 6)]):
        of_class = counts[labels == label]
        assert (of_class.min(), of_class.max()) == (least, most)
    again = balanced_order(labels, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(order, again)
    assert len(set(np.flatnonzero(np.diff(labels[order])))) > 30  # in random order
