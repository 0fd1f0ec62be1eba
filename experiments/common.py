"""Run the experiments as absl programs that report users' mistakes, and Ctrl-C, in one line."""

import sys
from pathlib import Path

from absl import app

from lemonade_tf import LemonadeError


def run_script(main):
    """Run a script; a `LemonadeError` or Ctrl-C ends it with one line and the exit status."""

    def reporting(arguments):
        try:
            main(arguments)
        except LemonadeError as error:
            print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
            sys.exit(error.exit_status)
        except KeyboardInterrupt:  # the second Ctrl-C, if a search is running
            print(f"{Path(sys.argv[0]).name}: stopped by Ctrl-C.", file=sys.stderr)
            sys.exit(1)

    app.run(reporting)
