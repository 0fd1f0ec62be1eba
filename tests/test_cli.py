import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from io import BytesIO, TextIOWrapper

import numpy as np
import pytest
from graphs import small
from run_folders import proposal
from runs import CONFIG, line, make_run, with_settings

from lemonade_tf import __version__
from lemonade_tf.cli import main
from lemonade_tf.cli.parser import parse
from lemonade_tf.config import SearchConfig
from lemonade_tf.datasets.loading import DATASETS
from lemonade_tf.keras_bridge import save_model
from lemonade_tf.monitoring.callback import SearchState
from lemonade_tf.objectives.builtin import OBJECTIVES
from lemonade_tf.store import RunStore


def run(capsys, *arguments):
    """Run the command in this process; return (exit status, standard output, standard error)."""
    try:
        status = main(list(map(str, arguments)))
    except SystemExit as ended:
        status = ended.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_version_and_help(capsys):
    assert run(capsys, "--version") == (0, f"lemonade-tf {__version__}\n", "")
    status, out, _ = run(capsys, "search", "--help")
    assert status == 0
    for name in SearchConfig.names():
        assert f"--{name}" in out


def python(*arguments):
    """Run Python, as `python ARGUMENTS`, and return what it did."""
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True)


def test_python_m_runs_the_command():
    done = python("-m", "lemonade_tf", "--version")
    assert (done.returncode, done.stdout) == (0, f"lemonade-tf {__version__}\n")


def test_help_is_complete_without_docstrings(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(capsys, "search", "--help")
    assert python("-OO", "-m", "lemonade_tf", "search", "--help").stdout == out


@pytest.mark.slow
def test_a_search_runs_without_docstrings_and_assertions(tmp_path):
    quick = ("--preset", "quick", "--num_generations", "1", "--workdir", tmp_path / "run")
    done = python("-OO", "-m", "lemonade_tf", "search", *quick)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Pareto front" in done.stdout


def test_windows_is_refused_in_one_line(tmp_path):
    script = (
        "import sys; sys.modules['fcntl'] = None; from lemonade_tf.cli import main;"
        " sys.exit(main(['status', sys.argv[1]]))"
    )
    done = python("-c", script, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "lemonade-tf: lemonade_tf does not support Windows; use Linux, macOS or WSL 2.\n"
    )


INTERRUPTED_IMPORT = """
import sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == "numpy":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
from lemonade_tf.cli import main
sys.exit(main(["search", "--preset", "quick"]))
"""


def test_ctrl_c_while_modules_are_imported_is_one_line():
    done = python("-c", INTERRUPTED_IMPORT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "lemonade-tf: stopped by Ctrl-C; finished work is kept. Continue with"
        " lemonade-tf search --preset quick\n"
    )


def test_help_names_the_choices_and_the_default_of_each_preset(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    _, out, _ = run(capsys, "search", "--help")
    texts = {
        name: " ".join(text.split())
        for name, text in re.findall(r"^  --(\w+)(.*\n(?:    .*\n)?)", out, re.MULTILINE)
    }
    assert set(SearchConfig.names()) <= set(texts)
    presets = "(paper: 100, digits: 10, minute: 4, digits_cells: 8, quick: 2)"
    assert texts["num_generations"].endswith(presets)
    presets = " (paper: yes, digits: no, minute: no, digits_cells: no, quick: no)"
    assert texts["flip"].endswith(presets)
    assert texts["batch_size"].endswith(" (default: 64)")  # all presets agree
    assert texts["objectives"].endswith(" (default: error,parameters)")
    assert all(re.search(rf"\b{o.name}\b", texts["objectives"]) for o in OBJECTIVES)
    assert all(f'"{name}"' in texts["dataset"] for name in DATASETS)
    assert "Defaults to one per CPU core, or, with GPUs," in texts["workers"]
    assert "(default" not in texts["workers"]
    assert texts["space"].startswith("{networks,cells} ")
    assert texts["approximate_start"].startswith("{fitted,inherited,random} ")
    for title in ("data", "budget", "objectives", "training", "resources"):
        assert f"\n{title}:\n" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["find"], "there is no command 'find'; expected one of search"),
        (["serach"], "there is no command 'serach'; did you mean 'search'?"),
        (["--seed", "3"], "--seed stands before the command; expected one of search, status"),
        (["search", "--epoch", "3"], "--epoch 3; did you mean --epochs? (see lemonade-tf search -"),
        (["search", "--generations=3"], "--generations=3; did you mean --num_generations?"),
        (["search", "--num-generation", "3"], "did you mean --num_generations?"),
        (["search", "--no_flp"], "--no_flp; did you mean --no-flip?"),
        (["search", "--xyzzy"], "--xyzzy (see lemonade-tf search --help)"),
        (["retrain", "run", "--worker", "3"], "did you mean --workers? (see lemonade-tf retrain -"),
        (["draw", "run", "0-0", "--out-put", "a.png"], "did you mean --output?"),
        (["search", "--num-generations", "x"], "--num_generations: invalid int value: 'x'"),
        (
            ["search", "--preset", "quik"],
            "'quik' (choose from paper, digits, minute, digits_cells, quick);",
        ),
        (
            ["status", "--workdir", "run"],
            "expected the run folder without an option: lemonade-tf st",
        ),
        (["search", "--space=cell"], "did you mean 'cells'?"),
        (["search", "--epochs", "three"], "--epochs: invalid int value: 'three'"),
        (["search", "--epochs", "0"], "--epochs is 0; expected an integer of at least 1"),
        (["search", "--preset", "big"], "--preset: invalid choice: 'big'"),
        (["search", "--space", "cubes"], "--space: invalid choice: 'cubes' (choose from"),
        (
            ["search", "--filters", "16,x"],
            "--filters: '16,x': expected integers separated by commas",
        ),
        (["search", "--filters", "16,30"], "--filters is (16, 30); expected multiples of 4"),
        (
            ["search", "--objectives", "error,size"],
            "unknown objective 'size'; expected one of error",
        ),
        (
            ["search", "--num_accepted", "500"],
            "--num_accepted is 500; expected at most --num_proposed",
        ),
        (["search", "--dataset", "mnist"], "unknown data set 'mnist'"),
        (["search", "--cutout", "9"], "cutout is 9; expected 0 (no Cutout) or an integer up to 8"),
        (["report"], "RUN"),
        (["draw", "run"], "ID"),
        (["draw", "run", "0-0", "--output", "a.jpg"], "a.jpg has the suffix '.jpg'; expected .png"),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *arguments)
    assert (status, "Run folder" in out) == (2, False)
    assert len(err.splitlines()) == 1
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_dashes_and_underscores_are_the_same_in_the_names_of_options():
    texts = (
        "--num_generations 3 --no-keep_all --data_dir=a-b",
        "--num-generations 3 --no_keep-all",
    )
    texts = (*texts, "--num-generations=3 --no-keep-all --data-dir a-b")
    first, second, third = (vars(parse(["search", *text.split()])) for text in texts)
    assert first == third == {**second, "data_dir": "a-b"}
    assert (first["num_generations"], first["keep_all"]) == (3, False)
    assert vars(parse(["retrain", "run", "--", "--no_id"]))["ids"] == ["--no_id"]


def bad_npz(path, **arrays):
    good = {
        "x_train": np.zeros((40, 8, 8, 1), np.uint8),
        "y_train": np.arange(40) % 4,
    }
    np.savez(path, **{**good, **arrays})
    return path


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_train": np.zeros((40, 64), np.uint8)}, "x_train"),
        ({"y_train": np.zeros(39, int)}, "39"),
        ({"x_train": np.full((40, 8, 8, 1), np.nan, np.float32)}, "x_train"),
        ({"y_train": np.arange(40) - 1}, "y_train"),
    ],
)
def test_invalid_data_is_one_line_and_status_1(capsys, tmp_path, arrays, words):
    path = bad_npz(tmp_path / "bad.npz", **arrays)
    status, _, err = run(capsys, "search", "--dataset", path, "--workdir", tmp_path / "run")
    assert status == 1
    assert len(err.splitlines()) == 1
    assert "bad.npz" in err
    assert words in err
    assert not (tmp_path / "run").exists()


def test_a_missing_file_is_one_line_and_status_1(capsys, tmp_path):
    status, _, err = run(capsys, "search", "--dataset", tmp_path / "no.npz")
    assert status == 1
    assert err.startswith("lemonade-tf: ")
    assert "no.npz" in err


def test_a_search_refuses_a_folder_that_holds_a_run(capsys, tmp_path):
    folder = make_run(tmp_path / "run")
    before = (folder / "history.jsonl").read_bytes()
    status, _, err = run(capsys, "search", "--workdir", folder)
    assert status == 1
    assert "choose another --workdir" in err
    assert (folder / "history.jsonl").read_bytes() == before


def test_a_folder_that_cannot_be_created_is_one_line(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = run(capsys, "search", "--workdir", tmp_path / "file" / "run")
    assert status == 1
    assert len(err.splitlines()) == 1
    assert str(tmp_path / "file") in err


def test_a_report_requires_a_run(capsys, tmp_path):
    status, _, err = run(capsys, "report", tmp_path)
    assert status == 1
    assert str(tmp_path) in err
    assert len(err.splitlines()) == 1


def test_a_report_prints_the_front_and_how_to_load_a_network(capsys, tmp_path):
    folder = make_run(tmp_path / "run")
    status, out, err = run(capsys, "report", folder)
    assert (status, err) == (0, "")
    assert "15.00 %" in out
    assert "load_model" in out
    assert str(folder) in out
    assert (folder / "plots" / "pareto_front.png").exists()


def test_the_network_with_the_least_error_is_recommended(capsys, tmp_path):
    """Not the largest one, which is on the front for another objective; ties go to the smallest."""
    history = [
        line(id_, error, 1, objectives={"error": error, "parameters": p, "multiply_adds": m})
        for id_, error, p, m in (
            ("0-0", 0.30, 1_000, 9_000),
            ("0-1", 0.20, 6_000, 8_000),
            ("0-2", 0.20, 5_000, 9_500),
            ("0-3", 0.25, 90_000, 1_000),
        )
    ]
    config = with_settings(CONFIG, objectives=["error", "multiply_adds", "parameters"])
    reference = {**CONFIG.reference_point, "multiply_adds": 1e6}
    folder = make_run(tmp_path / "run", history, replace(config, reference_point=reference))
    status, out, _ = run(capsys, "report", folder)
    assert status == 0
    assert f"keras.models.load_model('{folder}/models/0-2.h5')" in out
    assert "This is 0-2, the network with the lowest validation error." in out
    assert '"best":"0-2"' in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("columns", "encoding"), [("30", "ascii"), ("40", "latin-1"), ("1000", "utf-8")]
)
def test_everything_is_printed_in_narrow_terminals_and_every_encoding(
    capsys, tmp_path, monkeypatch, columns, encoding
):
    config = with_settings(CONFIG, num_accepted=2, dataset="\u65e5.npz")
    folder = make_run(tmp_path / "b\xfccher \u65e5", config=config)
    RunStore.open(folder).proposals.append(map(proposal, ("1-0", "1-3", "2-1", "2-0")))
    (folder / "models" / "0-1.h5").touch()
    monkeypatch.setenv("COLUMNS", columns)
    for arguments in (["report"], ["status"], ["pin", "0-1"]):
        stream = TextIOWrapper(BytesIO(), encoding=encoding, write_through=True)
        monkeypatch.setattr(sys, "stdout", stream)
        assert main([arguments[0], str(folder), *arguments[1:]]) == 0
        text = stream.buffer.getvalue().decode(encoding)
        assert not {"\x1b", "\u2026", "\r"} & set(text)
        if arguments == ["report"]:
            for value in ("2-1", "50,000", "15.00 %", "11.00 %"):
                assert value in text
    assert capsys.readouterr().err == ""


class ClosedOutput(TextIOWrapper):
    """The standard output of `| head -1` after its first line."""

    def __init__(self):
        super().__init__(BytesIO(), encoding="utf-8")

    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("arguments", [["report"], ["pin", "0-1"]])
def test_a_closed_output_ends_a_command_without_a_word(capsys, tmp_path, monkeypatch, arguments):
    folder = make_run(tmp_path / "run")
    (folder / "models" / "0-1.h5").touch()
    monkeypatch.setattr(sys, "stdout", ClosedOutput())
    assert main([arguments[0], str(folder), *arguments[1:]]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", ["search --help", "--version"])
def test_a_pipe_that_is_closed_before_the_help_is_written_is_no_error(arguments):
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "lemonade_tf", *arguments.split()]
    done = subprocess.run(program, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode in (0, 1), done.stderr) == (True, "")


def run_with_a_network(tmp_path):
    """Return a run folder with the file of one network."""
    folder = make_run(tmp_path / "run")
    save_model(small(), folder / "models" / "0-0.h5", {"id": "0-0"})
    return folder


def test_draw_writes_a_png_and_an_svg_and_prints_their_paths(capsys, tmp_path):
    folder = run_with_a_network(tmp_path)
    status, out, err = run(capsys, "draw", folder, "0-0")
    assert (status, err) == (0, "")
    paths = [folder / "plots" / f"0-0.{suffix}" for suffix in ("png", "svg")]
    assert out.splitlines() == list(map(str, paths))
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in paths[1].read_text()
    assert sorted((folder / "plots").iterdir()) == paths


def test_draw_writes_one_file(capsys, tmp_path):
    folder, path = run_with_a_network(tmp_path), tmp_path / "a.pdf"
    assert run(capsys, "draw", folder, "0-0", "--output", path) == (0, f"{path}\n", "")
    assert path.read_bytes().startswith(b"%PDF")
    assert not (folder / "plots").exists()


def test_errors_of_draw_are_one_line(capsys, tmp_path):
    folder = run_with_a_network(tmp_path)
    (folder / "models" / "0-1.h5").write_text("half")
    for arguments, words in (
        ([folder, "9-9"], "network '9-9' is not in"),
        ([folder, "../../x"], "known are 0-0, 0-1."),
        ([folder, "0-1"], "cannot be read as an HDF5 file"),
        ([tmp_path, "0-0"], "holds no run"),
        ([folder, "0-0", "--output", tmp_path / "no" / "a.svg"], "cannot be written: No such file"),
    ):
        status, out, err = run(capsys, "draw", *arguments)
        assert (status, out) == (1, "")
        assert len(err.splitlines()) == 1
        assert words in err


def test_draw_loads_neither_keras_nor_tensorflow(tmp_path):
    folder = run_with_a_network(tmp_path)
    program = (
        "import sys; from lemonade_tf.cli import main; main(sys.argv[1:]);"
        " sys.exit(str(sorted({'keras', 'tensorflow', 'jax', 'matplotlib.pyplot'}"
        " & set(sys.modules))))"
    )
    arguments = [sys.executable, "-c", program, "draw", str(folder), "0-0"]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.stderr == "[]\n"


def command(*arguments, **options):
    """Start the command in another process."""
    program = "from lemonade_tf.cli import main; raise SystemExit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for_history(folder, process, seconds=60):
    """Wait until a network is recorded."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "history.jsonl").exists() and (folder / "history.jsonl").stat().st_size:
            return
        time.sleep(0.05)
    raise AssertionError(f"no network was trained in {seconds} s: {process.communicate()}")


def test_ctrl_c_is_one_line_and_keeps_finished_work(capsys, tmp_path):
    folder = tmp_path / "run"
    process = command("search", "--preset", "digits", "--workdir", folder, start_new_session=True)
    wait_for_history(folder, process)
    os.killpg(process.pid, signal.SIGINT)  # the whole group, like a terminal
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert len(err.splitlines()) == 1
    assert "Ctrl-C" in err
    status, out, _ = run(capsys, "report", folder)
    assert status == 0
    assert "Pareto front" in out


def test_a_full_disk_is_one_line_and_keeps_finished_work(capsys, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    folder = tmp_path / "run"
    process = command("search", "--preset", "quick", "--workdir", folder, preexec_fn=limit)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    status, _, err = run(capsys, "report", folder)
    assert (status, err) == (0, "")


def test_the_first_ctrl_c_ends_cleanly_and_resume_continues(capsys, tmp_path):
    folder = tmp_path / "run"
    process = command("search", "--preset", "quick", "--workdir", folder, start_new_session=True)
    wait_for_history(folder, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err == (
        "lemonade-tf: stopped by Ctrl-C; resume with lemonade-tf search"
        f" --workdir {folder} --resume\n"
    )
    assert "Stopping after the running networks" in out
    before = (folder / "history.jsonl").read_bytes()
    status, out, err = run(capsys, "status", folder)
    assert (status, err) == (0, "")
    assert "not running; resume with" in out
    status, out, err = run(capsys, "search", "--resume", "--workdir", folder, "--seed", "1")
    assert status == 2
    assert "--seed was 0, now 1" in err
    ended = command("search", "--resume", "--workdir", folder, "--num_generations", "0")
    out, err = ended.communicate(timeout=120)
    assert (ended.returncode, err) == (0, "")
    assert "Resumed: " in out
    assert (folder / "history.jsonl").read_bytes().startswith(before)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "x" * 5000],
        ["search", "--preset", "quick", "--workdir", "y" * 5000],
        ["search", "--dataset", f"{'z' * 5000}.npz"],
    ],
)
def test_an_error_of_the_operating_system_is_one_line(capsys, monkeypatch, tmp_path, arguments):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(capsys, *arguments)
    assert status == 1
    assert len(err.splitlines()) == 1
    assert "File name too long" in err


def test_pin_records_networks_and_refuses_unknown_ones(capsys, tmp_path):
    folder = make_run(tmp_path / "run")
    (folder / "models" / "1-0.h5").touch()
    status, out, err = run(capsys, "pin", folder, "1-0")
    assert (status, err) == (0, "")
    assert out.startswith("Pinned 1-0: its file is kept when it leaves the front.\n")
    assert (folder / "pinned.txt").read_text() == "1-0\n"
    for id_, words in (
        ("7-7", "network '7-7' is not in"),
        ("2-0", "network 2-0 was trained, but its file is gone: the files of networks that leave"),
        ("1-3", "network 1-3 has no file, because its training failed: diverged"),
    ):
        for command in ("pin", "draw"):
            status, out, err = run(capsys, command, folder, id_)
            assert (status, out) == (1, "")
            assert words in err
            assert len(err.splitlines()) == 1


@pytest.mark.parametrize("has_folder", [True, False])
def test_a_second_ctrl_c_prints_the_folder_and_the_command(
    capsys, tmp_path, monkeypatch, has_folder
):
    import lemonade_tf.search

    def interrupted(callbacks, **settings):
        if has_folder:
            state = SearchState(SearchConfig(), tmp_path / "my run", num_expected=4)
            callbacks[0].on_search_begin(state)
        raise KeyboardInterrupt

    monkeypatch.setattr(lemonade_tf.search, "search", interrupted)
    status, _, err = run(capsys, "search", "--workdir", tmp_path / "my run")
    assert status == 1
    command = f"Resume with lemonade-tf search --workdir '{tmp_path}/my run' --resume\n"
    assert err.endswith(
        command if has_folder else "before there was a run folder; rerun the command.\n"
    )


def test_resume_requires_a_folder(capsys):
    status, _, err = run(capsys, "search", "--resume")
    assert status == 2
    assert "--resume needs --workdir" in err
