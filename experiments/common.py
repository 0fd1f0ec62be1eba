"""What experiments share: absl programs that report users' mistakes in one line; final training.

Bad settings end a script with status 2, other errors that the user can fix, and Ctrl-C, with 1.
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


def train_and_print(workdir, graphs, settings):
    """Train networks from scratch, print how it goes, and return the rows of retrained.csv.

    Args:
        workdir: The folder for the trained networks.
        graphs: Returns the networks by id for a data set.
        settings: Those of `TransferConfig` side by side.
    """
    from lemonade_tf.retraining import TransferConfig, train_graphs

    result = train_graphs(
        workdir,
        graphs,
        TransferConfig.from_flat(settings),
        on_stage=lambda stage: print(stage, flush=True),
        on_network_end=lambda record: print(_outcome(record), flush=True),
    )
    return result.rows


def _outcome(record):
    if record.failure is not None:
        return f"{record.id} failed: {record.failure}"
    return f"{record.id}: test error {100 * record.test_error:.2f} %, {record.seconds:,.0f} s"


def _end(message, status):
    print(f"{Path(sys.argv[0]).name}: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(status)
