"""Output to terminals of any width, pipes and files, in any encoding."""

import io
import sys

import pytest
from rich.console import Console

from lemonade_tf.errors import resume_command
from lemonade_tf.monitoring.progress import ProgressDisplay
from lemonade_tf.terminal import accept_all_characters, make_console, print_line, print_rows

HEADER = ["id", "parameters", "validation error", "made by"]
ROWS = [
    ["9-54", "674", "7.41 %", "prune_filters"],
    ["10-83", "1,203,728", "6.40 %", "2 x prune_filters, separate_convolution"],
]


class Stream(io.TextIOWrapper):
    """A standard output that may be a terminal."""

    def __init__(self, encoding, is_terminal=False, errors="strict"):
        super().__init__(io.BytesIO(), encoding=encoding, errors=errors, write_through=True)
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal

    def written(self):
        return self.buffer.getvalue()


@pytest.mark.parametrize("width", [10, 20, 30, 40, 60, 80, 200])
def test_values_are_whole_at_every_width(width):
    console = Console(file=io.StringIO(), width=width)
    print_rows(console, "Pareto front", HEADER, ROWS, text="made by")
    text = console.file.getvalue()
    for row in ROWS:
        for value in row[:3]:
            assert value in text
    assert "…" not in text
    if width >= 30:
        assert max(map(len, text.splitlines())) <= width


def test_a_narrow_table_has_a_block_per_row():
    console = Console(file=io.StringIO(), width=30)
    print_rows(console, "Pareto front", HEADER, ROWS[1:], text="made by")
    assert console.file.getvalue().splitlines() == [
        "Pareto front",
        "id               10-83",
        "parameters       1,203,728",
        "validation error 6.40 %",
        "made by",
        " 2 x prune_filters,",
        " separate_convolution",
    ]


@pytest.mark.parametrize(
    ("width", "expected"), [(32, "id error interval note"), (18, "id error note"), (9, "")]
)
def test_optional_columns_are_left_out_of_a_narrow_table(width, expected):
    console = Console(file=io.StringIO(), width=width)
    header, row = ["id", "error", "interval", "note"], ["1-2", "5 %", "3 to 9 %", "knee"]
    print_rows(console, "Front", header, [row], text="note", optional=("interval",))
    shown = console.file.getvalue().splitlines()[1:]
    assert len(shown) == (2 if expected else 8)  # a name or a value per line
    if expected:
        assert shown[0].split() == expected.split()


@pytest.mark.parametrize(
    ("encoding", "errors", "expected"),
    [
        ("ascii", "strict", b"1.20 us b\\xfccher...\n"),
        ("ascii", "surrogateescape", b"1.20 us b\\xfccher...\n"),
        ("latin-1", "strict", b"1.20 \xb5s b\xfccher...\n"),
        ("utf-8", "strict", "1.20 µs bücher…\n".encode()),
    ],
)
def test_every_encoding_can_be_written(monkeypatch, encoding, errors, expected):
    stream = Stream(encoding, errors=errors)
    monkeypatch.setattr(sys, "stdout", stream)
    print_line(make_console(), "1.20 µs bücher…")
    assert stream.written() == expected


def test_bytes_of_a_file_name_that_are_no_text_are_written_unchanged():
    stream = Stream("utf-8")
    accept_all_characters(stream)
    stream.write("b\udcfccher")
    assert stream.written() == b"b\xfccher"


@pytest.mark.parametrize(
    ("is_terminal", "environment", "is_plain"),
    [
        (True, {"TERM": "xterm-256color"}, False),
        (True, {"TERM": "dumb"}, True),
        (True, {"TERM": "xterm-256color", "NO_COLOR": "1"}, True),
        (False, {"TERM": "xterm-256color"}, True),
        (False, {"TERM": "xterm-256color", "FORCE_COLOR": "1"}, True),
    ],
)
def test_control_characters_are_for_terminals_that_want_them(
    monkeypatch, is_terminal, environment, is_plain
):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Stream("utf-8", is_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    display = ProgressDisplay()
    print_rows(display.console, "Pareto front", HEADER, ROWS)
    assert (b"\x1b" not in stream.written()) is is_plain


def test_what_looks_like_markup_or_a_control_character_is_printed_as_text():
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    print_line(console, "[bold]runs[/] :smile: \x1b[31m")
    assert console.file.getvalue() == "[bold]runs[/] :smile: ?[31m\n"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("runs/digits-1", "runs/digits-1"),
        ("my run", "'my run'"),
        ("it's", "'it'\"'\"'s'"),
        ("-x", "./-x"),
        ("a  b", "$'a\\040\\040b'"),
        ("a\nb'", "$'a\\012b\\047'"),
    ],
)
def test_the_command_to_resume_survives_the_shell(path, word):
    assert resume_command(path) == f"lemonade-tf search --workdir {word} --resume"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_size_of_zero_is_an_unknown_size(monkeypatch, is_terminal):
    monkeypatch.setattr(sys, "stdout", Stream("utf-8", is_terminal))
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, "0")
    console = make_console()
    assert min(console.size) > 0
    print_line(console, "Pareto front")
    assert b"Pareto front" in sys.stdout.written()
    monkeypatch.setenv("COLUMNS", "30")
    assert make_console().width == 30


def test_the_command_to_resume_can_be_written_in_every_encoding(monkeypatch):
    assert "bücher" in resume_command("bücher")
    monkeypatch.setattr(sys, "stderr", Stream("ascii"))
    assert "$'b\\303\\274cher'" in resume_command("bücher")
