import pytest
from runs import make_run, make_run_in, make_small_run

from lemonade_tf.report import write_report
from lemonade_tf.runs import read_run

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(tmp_path):
    return read_run(make_run(tmp_path / "run"))


def plots(run):
    return sorted(path.name for path in (run.store.path / "plots").iterdir())


def test_the_report_is_a_page_and_pictures(run):
    page = write_report(run)
    assert page.name == "report.html"
    text = page.read_text()
    for name in ("pareto_front", "hypervolume"):
        picture = run.store.path / "plots" / f"{name}.png"
        assert picture.read_bytes().startswith(PNG)
        assert f"plots/{name}.png" in text
    assert "15.00 %" in text
    assert "widen_convolution" in text


def test_two_objectives_are_two_pictures(run):
    write_report(run)
    assert plots(run) == ["hypervolume.png", "pareto_front.png"]


def test_three_objectives_also_have_those_of_many(tmp_path):
    run = make_small_run(tmp_path / "run")
    text = write_report(run).read_text()
    assert plots(run) == [
        "hypervolume.png",
        "pairs.png",
        "panels.png",
        "parallel.html",
        "parallel.png",
        "pareto_front.png",
        "pareto_front_multiply_adds.png",
    ]
    for name in plots(run):
        assert f'"plots/{name}"' in text


def test_a_picture_for_each_expensive_objective(tmp_path):
    run = make_run_in(tmp_path / "run", 7)
    write_report(run)
    assert {f"pareto_front_{name}.png" for name in ("latency", "top5_error")} < set(plots(run))


def test_a_run_without_networks_still_has_a_report(tmp_path):
    run = read_run(make_run(tmp_path / "run", history=()))
    assert run.front() == []
    assert write_report(run).exists()


@pytest.mark.parametrize("num_networks", [0, 1])
@pytest.mark.parametrize("num_objectives", [3, 7])
def test_a_run_of_one_network_or_none_in_many_objectives(tmp_path, num_objectives, num_networks):
    run = make_run_in(tmp_path / "run", num_objectives, num_networks)
    assert len(run.front()) == num_networks
    assert write_report(run).exists()


def test_objectives_that_never_change(tmp_path):
    constant = {"error": 0.1, "parameters": 1_000, "peak_memory": 0, "latency": 1e-3}
    run = make_run_in(tmp_path / "run", 7, **constant)
    assert write_report(run).exists()
