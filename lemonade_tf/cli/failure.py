"""How the command reports an error."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from lemonade_tf.errors import PROGRAM, printable


def fail(message: str, status: int = 1) -> int:
    """Print a message as one line on standard error and return the exit status."""
    print(f"{PROGRAM}: {printable(' '.join(message.split()))}", file=sys.stderr)
    return status


@contextmanager
def without_messages() -> Iterator[None]:
    """Discard what libraries print on standard error, such as TensorFlow when it is loaded."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as discarded:
        kept = os.dup(2)
        os.dup2(discarded.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
