from dataclasses import replace

import pytest
from runs import CONFIG, HISTORY, line, make_run, make_small_run, with_settings

from lemonade_tf.baselines.comparison import (
    ComparisonError,
    common_reference_point,
    compare,
    comparison_figure,
    comparison_table,
    limited,
    truncated,
)
from lemonade_tf.report import front_figure, write_figure
from lemonade_tf.runs import read_run


@pytest.fixture
def run(tmp_path):
    return read_run(make_run(tmp_path / "first"))


@pytest.fixture
def other(tmp_path):
    history = (
        line("1-0", 0.5, 2_000, parent=None, operators=()),
        line("1-1", None, 7, failure="x"),
    )
    return read_run(make_run(tmp_path / "second", history))


def test_runs_side_by_side(run, other):
    first, second = compare([run, other])
    assert first.name.endswith("first")
    assert (first.num_networks, first.front_size) == (len(HISTORY) - 1, 3)
    assert (first.best_error, first.test_error) == (0.1, 0.11)
    assert first.hypervolume == pytest.approx(run.hypervolumes()[-1], rel=1e-12)
    assert (second.num_networks, second.front_size, second.best_error) == (1, 1, 0.5)
    assert second.hypervolume == pytest.approx(other.hypervolumes()[-1], rel=1e-12)


def test_the_best_network_is_that_of_the_run_where_ties_were_broken(tmp_path):
    sizes, ranks = (1_000, 2_000), (0.26, 0.25)
    history = [
        line(f"0-{i}", 0.25, size, ranked_errors={"error": rank}, test_error=rank)
        for i, (size, rank) in enumerate(zip(sizes, ranks, strict=True))
    ]
    [entry] = compare([read_run(make_run(tmp_path / "ties", history))])
    assert (entry.front_size, entry.best_error, entry.test_error) == (2, 0.25, 0.25)


def test_hypervolumes_refer_to_the_farthest_reference_point(run, tmp_path):
    config = replace(CONFIG, reference_point={"error": 0.8, "parameters": 5_000_000})
    far = read_run(make_run(tmp_path / "far", config=config))
    assert common_reference_point([run, far]) == {"error": 0.9, "parameters": 5_000_000}
    first, second = compare([run, far])
    assert first.hypervolume == second.hypervolume > run.hypervolumes()[-1]


def test_a_run_without_networks_has_no_hypervolume(run, tmp_path):
    empty = read_run(make_run(tmp_path / "empty", history=()))
    _, entry = compare([run, empty])
    assert (entry.num_networks, entry.front_size, entry.hypervolume) == (0, 0, 0.0)
    assert comparison_table([entry]).splitlines()[1].split()[1:] == ["0", "0", "-", "-", "0.0000"]


def test_networks_over_a_limit_are_left_out(run):
    sizes = [line.objectives["parameters"] for line in run.trained]
    limit = sorted(sizes)[2]
    small = limited(run, {"parameters": limit})
    assert [line.objectives["parameters"] for line in small.trained] == [
        size for size in sizes if size <= limit
    ]
    assert len(limited(run, {"parameters": limit, "error": 0.0}).trained) == 0
    [entry] = compare([small])
    assert entry.num_networks == 3
    assert entry.hypervolume == pytest.approx(small.hypervolumes()[-1])
    assert len(run.trained) == len(sizes) > 3  # unchanged


def test_a_limit_on_an_unknown_objective_is_refused(run):
    with pytest.raises(ComparisonError, match="no objective depth, size; known are error"):
        limited(run, {"size": 3, "depth": 2, "error": 1})


def test_runs_are_truncated_to_the_shortest(run, other):
    first, second = truncated([run, other])
    assert first.trained == run.trained[:1]
    assert second.trained == other.trained
    assert [entry.num_networks for entry in compare([first, second])] == [1, 1]


def test_the_table_lines_up(run, other):
    header, *rows = comparison_table(compare([run, other])).splitlines()
    assert [len(row) for row in rows] == [len(header)] * 2
    assert rows[0].split()[1:] == ["6", "3", "10.00", "%", "11.00", "%", "2.0770"]


def test_the_figure_has_one_front_per_run(run, other, tmp_path):
    figure = comparison_figure([run, other])
    write_figure(tmp_path / "comparison.png", figure)
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == [str(run.store.path), str(other.store.path)]


def test_runs_on_different_data_cannot_be_compared(run, tmp_path):
    other = read_run(
        make_run(tmp_path / "o", config=with_settings(CONFIG, dataset="data/flowers.npz"))
    )
    with pytest.raises(ComparisonError, match=r"data set flowers\.npz; expected digits, as in"):
        compare([run, other])


def test_runs_with_different_objectives_cannot_be_compared(run, tmp_path):
    config = with_settings(CONFIG, objectives=["error", "multiply_adds"])
    other = read_run(make_run(tmp_path / "o", config=config))
    with pytest.raises(ComparisonError, match="error, multiply_adds; expected error, param"):
        comparison_figure([run, other])


def _with(folder, **settings):
    return read_run(make_run(folder, config=with_settings(CONFIG, **settings)))


def test_naming_the_default_scale_changes_nothing(run, tmp_path):
    assert len(compare([run, _with(tmp_path / "o", scale={"parameters": "log"})])) == 2


def test_runs_on_different_scales_cannot_be_compared(run, tmp_path):
    other = _with(tmp_path / "o", scale={"parameters": "linear"})
    expected = r"scales error=linear, parameters=linear; expected error=linear, parameters=log"
    with pytest.raises(ComparisonError, match=expected):
        compare([run, other])


def test_inference_times_from_different_tables_cannot_be_compared(tmp_path):
    def timed(folder, seconds, **more):
        table = {"way": "latency", "rows": [seconds]}
        config = replace(
            with_settings(CONFIG, objectives=["error", "latency"]),
            reference_point={"error": 0.9, "latency": 1.0},
            prepared={"latency": table, **more},
        )
        return read_run(make_run(tmp_path / folder, (), config))

    first, same = timed("first", 0.1), timed("same", 0.1, lite_latency={})  # which is a limit's
    assert set(common_reference_point([first, same])) == {"error", "latency"}
    expected = r"first and .*other predict latency from different tables.*_table .*first\.$"
    with pytest.raises(ComparisonError, match=expected):
        compare([first, timed("other", 0.2)])


def test_dollars_in_a_path_are_not_math(tmp_path):
    run = _with(tmp_path / "a $x_$ b", dataset="$x_$.npz")
    figure = comparison_figure([run])
    write_figure(tmp_path / "comparison.svg", figure)
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "Pareto fronts: $x_$.npz"
    write_figure(tmp_path / "front.svg", front_figure(run, run.others[0]))


def test_comparing_no_runs_is_refused():
    with pytest.raises(ComparisonError, match="no runs"):
        compare([])


def test_fronts_in_three_objectives_are_plotted_in_two(tmp_path):
    figure = comparison_figure([make_small_run(tmp_path / "run")])
    (axes,) = figure.axes
    _, front = axes.lines
    assert list(front.get_xdata()) == [1_000, 5_000]
    assert list(front.get_ydata()) == pytest.approx([30, 20])
    assert axes.get_title(loc="left") == "Pareto fronts: digits, in these two objectives alone"
