"""How the command reports an error."""

from __future__ import annotations

import sys

from lemonade_tf.errors import PROGRAM, printable


def fail(message: str, status: int = 1) -> int:
    """Print a message as one line on standard error and return the exit status."""
    print(f"{PROGRAM}: {printable(' '.join(message.split()))}", file=sys.stderr)
    return status
