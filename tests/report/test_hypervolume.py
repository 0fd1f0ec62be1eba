"""The hypervolume against the number of trained networks."""

from runs import make_run, make_run_in

from lemonade_tf.report import hypervolume_figure
from lemonade_tf.runs import read_run


def test_the_title_has_the_reference_point(tmp_path):
    (axes,) = hypervolume_figure(read_run(make_run(tmp_path / "run"))).axes
    assert axes.get_title(loc="left") == "Reference point: error 0.9, parameters 500,000"


def test_a_long_reference_point_is_wrapped(tmp_path):
    (axes,) = hypervolume_figure(make_run_in(tmp_path / "run", 7)).axes
    title = axes.get_title(loc="left").splitlines()
    assert len(title) == 2
    assert title[1].endswith("top5_error 1,000,000,000")
    assert list(axes.lines[0].get_xdata()) == list(range(1, 61))
