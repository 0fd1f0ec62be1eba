"""Compare runs: the hypervolumes of their fronts, and the fronts in one picture.

    python experiments/compare.py RUN RUN ... [--picture comparison.png]

prints a line a run: networks trained, networks on the front, the least validation error with its
test error, and the hypervolume against a reference point common to all. It takes seconds, and
changes nothing in the run folders.
"""

from pathlib import Path

from absl import app, flags

from lemonade_tf.comparison import compare, comparison_figure, comparison_table
from lemonade_tf.report import read_run, write_figure

PICTURE = flags.DEFINE_string("picture", "comparison.png", "The file of the picture.")


def main(arguments):
    if len(arguments) < 2:
        raise app.UsageError("give the folders of the runs to compare.")
    runs = [read_run(folder) for folder in arguments[1:]]
    print(comparison_table(compare(runs)))
    write_figure(Path(PICTURE.value), comparison_figure(runs))
    print(f"Picture: {PICTURE.value}")


if __name__ == "__main__":
    app.run(main)
