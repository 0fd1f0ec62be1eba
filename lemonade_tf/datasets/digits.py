"""The handwritten digits of scikit-learn: no download, and a search takes minutes."""

from __future__ import annotations

import numpy as np

from lemonade_tf.datasets.dataset import Dataset
from lemonade_tf.datasets.dataset_error import DatasetError
from lemonade_tf.datasets.splits import hold_out


def load_digits_dataset() -> Dataset:
    """Load 1,200 training, 297 validation and 300 test images of 8 x 8 pixels, 10 classes.

    Pixels are rescaled from 0 to 16 to 0 to 255.

    Raises:
        DatasetError: If scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DatasetError(
            "the data set 'digits' comes with scikit-learn, which is not installed. Run"
            " `pip install scikit-learn`."
        ) from error
    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    labels = labels.astype(np.int32)
    rest, test = hold_out(labels, 300)
    train, validation = (rest[part] for part in hold_out(labels[rest], 297))
    return Dataset(
        name="digits",
        x_train=images[train],
        y_train=labels[train],
        x_validation=images[validation],
        y_validation=labels[validation],
        x_test=images[test],
        y_test=labels[test],
        num_classes=10,
    )
