"""The command `lemonade-tf`.

Exit status: 0 on success, 2 for a usage error, 1 for any other error. An error is one line on
standard error that states what happened and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence

from lemonade_tf.cli.commands import COMMANDS
from lemonade_tf.cli.failure import fail
from lemonade_tf.cli.parser import make_parser
from lemonade_tf.errors import LemonadeError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = make_parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except LemonadeError as error:
        return fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        return fail(
            "stopped by Ctrl-C. Finished work is kept: continue a search with --resume, and other"
            " commands by running them again."
        )
    except BrokenPipeError:
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return fail(f"{place}{error.strerror or error}; fix this and rerun the command.")
