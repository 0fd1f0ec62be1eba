"""The command `lemonade-tf`.

Exit status: 0 on success, 2 for a wrong use of the command, 1 for everything else that goes
wrong; then one line on the standard error says what happened and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from lemonade_tf.cli.failure import fail
from lemonade_tf.cli.parser import make_parser
from lemonade_tf.errors import LemonadeError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = make_parser().parse_args(arguments)
    try:
        return options.run(options)
    except LemonadeError as error:
        return fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        return fail(
            "stopped by Ctrl-C. What was finished is kept: a search goes on with --resume, other"
            " commands when they are given again."
        )
    except BrokenPipeError:
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return fail(f"{place}{error.strerror or error}; see to it, and give the command again.")
