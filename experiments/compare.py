"""Compare runs: the hypervolumes of their fronts, and the fronts in one picture.

    python experiments/compare.py RUN RUN ... [--picture comparison.png]

prints a line a run: networks trained, networks on the front, the least validation error with its
test error, and the hypervolume against a reference point common to all. It takes seconds, and
changes nothing in the run folders. The picture is a .png, .svg or .pdf.

    python experiments/compare.py RUN RUN ... --at_most parameters=50000 [--equal]

leaves out networks with more than that, as if they had not been trained; --equal compares the runs
when each had trained as many (of these) as the shortest. So sampling strategies are told apart that
train networks of different sizes (A.2).
"""

from argparse import ArgumentTypeError
from pathlib import Path

from absl import app, flags

from lemonade_tf.baselines.comparison import (
    ComparisonError,
    compare,
    comparison_figure,
    comparison_table,
    equally_long,
    within,
)
from lemonade_tf.cli.options import limits
from lemonade_tf.drawing import DrawingError, picture_format
from lemonade_tf.report import write_figure
from lemonade_tf.runs import read_run
from lemonade_tf.store import StoreError

PICTURE = flags.DEFINE_string("picture", "comparison.png", "The file of the picture.")
AT_MOST = flags.DEFINE_string("at_most", None, "Limits on objectives: NAME=NUMBER,...")
EQUAL = flags.DEFINE_bool("equal", False, "Compare equal numbers of networks.")


def main(arguments):
    if len(arguments) < 2:
        raise app.UsageError("give the folders of the runs to compare.")
    try:
        picture_format(PICTURE.value)
        runs = [read_run(folder) for folder in arguments[1:]]
        if AT_MOST.value is not None:
            runs = [within(run, limits(AT_MOST.value)) for run in runs]
        if EQUAL.value:
            runs = equally_long(runs)
        print(comparison_table(compare(runs)))
    except (ArgumentTypeError, ComparisonError, DrawingError, StoreError) as error:
        raise app.UsageError(str(error)) from None
    try:
        write_figure(Path(PICTURE.value), comparison_figure(runs))
    except OSError as error:
        reason = error.strerror or error
        raise app.UsageError(
            f"{PICTURE.value} cannot be written: {reason}; choose another file by --picture."
        ) from None
    print(f"Picture: {PICTURE.value}")


if __name__ == "__main__":
    app.run(main)
