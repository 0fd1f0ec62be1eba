"""A run as pictures and tables, from its folder alone."""

from lemonade_tf.report.figure import new_figure, write_figure
from lemonade_tf.report.front_plot import front_figure, shown_generations, stair
from lemonade_tf.report.front_table import print_table, table_rows
from lemonade_tf.report.hypervolume import hypervolume_figure
from lemonade_tf.report.page import write_report
from lemonade_tf.report.pairs import pairs_figure
from lemonade_tf.report.panels import panels_figure
from lemonade_tf.report.parallel import parallel_figure
from lemonade_tf.report.scales import drawn, dress

__all__ = [
    "front_figure",
    "hypervolume_figure",
    "pairs_figure",
    "panels_figure",
    "parallel_figure",
    "shown_generations",
    "stair",
    "new_figure",
    "drawn",
    "dress",
    "write_figure",
    "table_rows",
    "print_table",
    "write_report",
]
