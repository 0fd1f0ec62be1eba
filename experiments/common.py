"""Run the experiments as absl programs that report users' mistakes in one line."""

import sys
from pathlib import Path

from absl import app

from lemonade_tf import LemonadeError


def run_script(main):
    """Run a script; a `LemonadeError` ends it with one line and the exit status of the error."""

    def reporting(arguments):
        try:
            main(arguments)
        except LemonadeError as error:
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
            sys.exit(error.exit_status)

    app.run(reporting)
