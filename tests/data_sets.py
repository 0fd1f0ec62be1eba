"""Two small data sets of 8 x 8 pixels, for searches with several."""

import numpy as np

from lemonade_tf.datasets.loading import load_dataset


def write_data_sets(folder):
    """Write some digits, and whether they are odd in the inverted images; return both paths."""
    data = load_dataset("digits")
    images, labels = data.x_train[:200], data.y_train[:200]
    tests, test_labels = data.x_test[:60], data.y_test[:60]
    np.savez(folder / "tens.npz", x_train=images, y_train=labels, x_test=tests, y_test=test_labels)
    inverted, odd = 255 - images[:150], labels[:150] % 2
    np.savez(
        folder / "odd.npz",
        x_train=inverted,
        y_train=odd,
        x_test=255 - tests[:50],
        y_test=test_labels[:50] % 2,
    )
    return str(folder / "tens.npz"), str(folder / "odd.npz")
