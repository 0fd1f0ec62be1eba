"""What experiments share: absl programs that report users' mistakes in one line; final training.

Bad settings end a script with status 2, other errors that the user can fix, and Ctrl-C, with 1.
"""

import sys
from pathlib import Path

import numpy as np
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


def chosen_numbers(name, chosen, count):
    """Return what a flag chooses of 1 to `count`, counted from 0.

    Args:
        name: The flag.
        chosen: Its value, a list of texts.
        count: How many there are.

    Raises:
        UsageError: If it is empty, or has anything else.
    """
    names = [str(number) for number in range(1, count + 1)]
    if not chosen or not set(chosen) <= set(names):
        expected = ",".join(names)
        raise app.UsageError(f"--{name} is {','.join(chosen)!r}; expected some of {expected}.")
    return [number for number, each in enumerate(names) if each in chosen]


def train_network(dataset, settings, output, seed, operators=(), **start):
    """Train a network in this process, and return its result.

    Args:
        dataset: The images.
        settings: The training settings.
        output: The file to write.
        seed: Random seed of new weights and of the training.
        operators: Those that make it from its parent.
        **start: What it starts from, as for `ChildTask`: architecture, parent_file.

    Raises:
        LemonadeError: If it fails.
    """
    from lemonade_tf.workers.child import train_child
    from lemonade_tf.workers.tasks import ChildTask

    task = ChildTask(
        id=Path(output).stem,
        operators=operators,
        output=str(output),
        weights_seed=np.random.SeedSequence([seed, 0]),
        training_seed=np.random.SeedSequence([seed, 1]),
        **start,
    )
    result = train_child(task, dataset, settings)
    if result.failure is not None:
        raise LemonadeError(f"{task.id}, seed {seed}: {result.failure}")
    return result


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
