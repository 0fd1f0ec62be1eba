"""What a command that cannot do what it was asked for says, and its exit status."""

from __future__ import annotations

import sys

PROGRAM = "lemonade-tf"


def fail(message: str, status: int = 1) -> int:
    """Print a message as one line on the standard error, and return the exit status."""
    print(f"{PROGRAM}: {' '.join(message.split())}", file=sys.stderr)
    return status


def user_errors() -> tuple[type[Exception], ...]:
    """Return the errors whose message is meant for the user; imported when one is caught."""
    from lemonade_tf.datasets.loading import DatasetError
    from lemonade_tf.drawing import DrawingError
    from lemonade_tf.executors import WorkerSetupError
    from lemonade_tf.keras_bridge import FileError
    from lemonade_tf.objectives import ObjectiveError
    from lemonade_tf.retraining.folder import RetrainError
    from lemonade_tf.search import SearchError
    from lemonade_tf.store import StoreError

    return (
        DatasetError,
        DrawingError,
        FileError,
        ObjectiveError,
        StoreError,
        SearchError,
        RetrainError,
        WorkerSetupError,
    )
