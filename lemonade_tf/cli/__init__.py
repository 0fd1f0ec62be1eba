"""The command `lemonade-tf`.

Exit status: 0 on success, 2 for a usage error, 1 for any other error. An error is one line on
standard error that states what happened and what to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from lemonade_tf.cli.failure import fail
from lemonade_tf.errors import PROGRAM, LemonadeError, shell_command
from lemonade_tf.terminal import accept_all_characters

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        accept_all_characters(stream)
    try:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # at exit, Python would report an error in its own way
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):  # as in `| head -1`
            return 1
        return fail(f"standard output: {error.strerror or error}; fix this and rerun the command.")


def _run(arguments: Sequence[str]) -> int:
    """Parse the arguments, run the command, and report an error in one line."""
    try:
        # They take seconds to import, in which Ctrl-C should be reported as well.
        from lemonade_tf.cli.commands import COMMANDS
        from lemonade_tf.cli.parser import parse

        options = parse(arguments)
        return COMMANDS[options.command](options)
    except LemonadeError as error:
        is_usage = error.exit_status == 2
        see = f" (see {PROGRAM} {arguments[0]} --help)" if is_usage else ""
        return fail(f"{error}{see}", error.exit_status)
    except KeyboardInterrupt:
        rerun = shell_command(PROGRAM, *arguments)
        return fail(f"stopped by Ctrl-C; finished work is kept. Continue with {rerun}")
    except BrokenPipeError:
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return fail(f"{place}{error.strerror or error}; fix this and rerun the command.")
    except UnicodeEncodeError as error:
        return fail(
            f"{error.object[error.start : error.end]!r} cannot be written in {error.encoding}, the"
            " encoding of this locale; set the environment variable PYTHONUTF8=1."
        )


def _discard_output() -> None:
    """Discard what is left to be written to standard output."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
