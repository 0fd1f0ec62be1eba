"""Run the experiments as absl programs that report users' mistakes, and Ctrl-C, in one line.

Bad settings end a script with status 2, other errors that the user can fix with 1.
"""

import sys
from pathlib import Path

from absl import app, flags

from lemonade_tf import LemonadeError


def run_script(main, *, takes_arguments=False):
    """Run a script.

    Args:
        main: Called with the command's arguments without flags, as by `app.run`.
        takes_arguments: Whether it has arguments besides flags.
    """

    def parse(command):
        try:
            return flags.FLAGS(command)
        except flags.Error as error:
            _end(f"{error} (see --help)", 2)

    def reporting(arguments):
        if arguments[1:] and not takes_arguments:
            _end(f"unexpected argument {arguments[1]!r}; expected flags only (see --help).", 2)
        try:
            main(arguments)
        except app.UsageError as error:
            _end(error, 2)
        except LemonadeError as error:
            _end(error, error.exit_status)
        except KeyboardInterrupt:  # the second Ctrl-C, if a search is running
            _end("stopped by Ctrl-C.", 1)
        except OSError as error:
            if error.filename is None:
                raise
            _end(f"{error.filename}: {error.strerror or error}.", 1)

    app.run(reporting, flags_parser=parse)


def _end(message, status):
    print(f"{Path(sys.argv[0]).name}: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(status)
