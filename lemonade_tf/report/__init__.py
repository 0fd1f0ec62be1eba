"""The report of a run: figures and tables, from its folder alone."""

from lemonade_tf.report.axes import format_axis
from lemonade_tf.report.figure import new_figure, write_figure
from lemonade_tf.report.front_plot import front_figure, shown_generations
from lemonade_tf.report.front_table import print_table, table_rows
from lemonade_tf.report.hypervolume import hypervolume_figure
from lemonade_tf.report.page import write_page, write_report
from lemonade_tf.report.pairs import pairs_figure
from lemonade_tf.report.panels import panels_figure
from lemonade_tf.report.parallel import parallel_figure
from lemonade_tf.report.scales import plot_values
from lemonade_tf.report.staircase import staircase

__all__ = [
    # The whole report.
    "write_report",
    "write_page",
    # Figures and tables.
    "front_figure",
    "hypervolume_figure",
    "pairs_figure",
    "panels_figure",
    "parallel_figure",
    "print_table",
    "table_rows",
    # Parts of figures.
    "format_axis",
    "new_figure",
    "plot_values",
    "shown_generations",
    "staircase",
    "write_figure",
]
