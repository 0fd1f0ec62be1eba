"""Run benchmarks as programs that report users' mistakes in one line."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from lemonade_tf import LemonadeError


class Parser(argparse.ArgumentParser):
    """A parser that reports a usage error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def positive(kind):
    """Return a function that reads an option which is a number above 0."""

    def read(text):
        if not (value := kind(text)) > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    read.__name__ = kind.__name__  # in the message for texts that are no number
    return read


def run_benchmark(main):
    """Run a benchmark; errors that the user can fix end it with one line."""
    try:
        main()
    except LemonadeError as error:
        _end(error, error.exit_status)
    except OSError as error:
        if error.filename is None:
            raise
        _end(f"{error.filename}: {error.strerror or error}.", 1)


def _end(message, status):
    line = " ".join(str(message).split())
    print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
    sys.exit(status)
