"""Compare the hypervolumes and fronts of several runs.

    python experiments/compare.py RUN RUN ... [--picture comparison.png]

The script prints one line per run: networks trained, networks on the front, the lowest validation
error with its test error, and the hypervolume with a reference point common to all runs. It also
plots all fronts in one picture (.png, .svg or .pdf). It takes seconds and leaves the run folders
unchanged.

    python experiments/compare.py RUN RUN ... --at_most parameters=50000 [--equal]

--at_most ignores networks over the limit, as if they had not been trained. --equal truncates each
run to the number of (remaining) networks of the shortest run. Together they compare sampling
strategies that train networks of different sizes (A.2).
"""

from argparse import ArgumentTypeError
from pathlib import Path

from absl import app, flags
from common import run_script

from lemonade_tf.baselines.comparison import (
    compare,
    comparison_figure,
    comparison_table,
    limited,
    truncated,
)
from lemonade_tf.cli.options import limits
from lemonade_tf.drawing import picture_format
from lemonade_tf.errors import LemonadeError
from lemonade_tf.report import write_figure
from lemonade_tf.runs import read_run

PICTURE = flags.DEFINE_string(
    "picture", "comparison.png", "Picture to write: a .png, .svg or .pdf file."
)
AT_MOST = flags.DEFINE_string("at_most", None, "Ignore networks over these limits: NAME=NUMBER,...")
EQUAL = flags.DEFINE_bool("equal", False, "Compare equal numbers of trained networks.")


def main(arguments):
    if len(arguments) < 2:
        raise app.UsageError("no run folders; expected at least one: compare.py RUN RUN ...")
    try:
        picture_format(PICTURE.value)
        runs = [read_run(folder) for folder in arguments[1:]]
        if AT_MOST.value is not None:
            runs = [limited(run, limits(AT_MOST.value)) for run in runs]
        if EQUAL.value:
            runs = truncated(runs)
        print(comparison_table(compare(runs)))
    except (ArgumentTypeError, LemonadeError) as error:
        raise app.UsageError(str(error)) from None
    try:
        write_figure(Path(PICTURE.value), comparison_figure(runs))
    except OSError as error:
        reason = error.strerror or error
        raise app.UsageError(
            f"{PICTURE.value} cannot be written: {reason}; choose another file with --picture."
        ) from None
    print(f"Picture: {PICTURE.value}")


if __name__ == "__main__":
    run_script(main, takes_arguments=True)
