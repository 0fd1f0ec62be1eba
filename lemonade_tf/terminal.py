"""Print to any standard output: a terminal of any width, a pipe, a file, in any encoding.

Colors and a live display are for terminals only, and not for those with TERM=dumb or NO_COLOR. A
character that the encoding lacks is written in ASCII instead of ending the program. Numbers are
never cut: a table that is too wide for the terminal becomes a block of lines per row.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from lemonade_tf.errors import printable

_LENIENT = "lemonade_tf.lenient"  # the name of an error handler of encodings
_ASCII = str.maketrans({"µ": "u", "…": "...", "≤": "<="})
_TEXT_WIDTH = 24  # minimum width of a column of text in characters


class _Console(Console):
    """A console whose reader may go away, as in `| head -1`."""

    def on_broken_pipe(self) -> None:
        """Pass on the BrokenPipeError that is being handled, instead of ending the program."""
        raise


def make_console() -> Console:
    """Return a console for standard output."""
    accept_all_characters(sys.stdout)
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")
    if is_terminal and not is_plain:
        return _Console(_environ=_environment())
    return _Console(_environ=_environment(), force_terminal=False, color_system=None)


def _environment() -> dict[str, str]:
    """Return the environment without sizes of 0, which stand for an unknown size.

    Some terminals without a window set them. Rich would print nothing in 0 columns.
    """
    sizes = {name: os.environ.get(name, "") for name in ("COLUMNS", "LINES")}
    unknown = {name for name, size in sizes.items() if not size.strip("0")}
    return {name: value for name, value in os.environ.items() if name not in unknown}


def is_live(console: Console) -> bool:
    """Return whether a console can show a display that changes."""
    return console.is_terminal and not console.is_dumb_terminal


def accept_all_characters(stream: Any) -> None:
    """Make a stream write every character, by an escape sequence if its encoding lacks it."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors=_LENIENT)


def _lenient(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace characters that an encoding lacks; bytes of a file name that are no text stay."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    plain = character.translate(_ASCII)
    return plain.encode("ascii", "backslashreplace").decode(), error.start + 1


codecs.register_error(_LENIENT, _lenient)


def print_line(console: Console, text: str) -> None:
    """Print a line unchanged: brackets in a path or a message are not markup."""
    _print(console, Text(printable(text)))


def _print(console: Console, renderable: RenderableType) -> None:
    console.print(renderable, highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_rows(
    console: Console,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Sequence[str] = ("id",),
    text: str | None = None,
    compact: bool = False,
    optional: Sequence[str] = (),
) -> None:
    """Print a table in the form that fits the width of the console.

    If it is too wide, headers take several lines; then a column of text is left out; then optional
    columns, the last ones first; then each row becomes a block of lines, one per column.

    Args:
        console: Where to print.
        title: The title.
        header: The names of the columns.
        rows: The values, as many per row as there are columns.
        left: The columns that are aligned to the left.
        text: The name of the last column, if it holds text that may take several lines.
        compact: Whether headers take several lines in any case.
        optional: The columns that may be left out.
    """
    _print(console, Text(title, style="italic"))
    numbers = [number for number, name in enumerate(header) if name in optional]
    for count in range(len(numbers) + 1):
        left_out = numbers[len(numbers) - count :]
        kept = [number for number in range(len(header)) if number not in left_out]
        names, cells = [header[n] for n in kept], [[row[n] for n in kept] for row in rows]
        for shape in _shapes(names, has_text=text is not None, compact=compact or count > 0):
            has_text = text is not None and len(shape) == len(names)
            lines = _table_lines(shape, cells, console.width, {*left}, has_text=has_text)
            if lines is not None:
                height = max(name.count("\n") for name in shape) + 1
                for number, line in enumerate(lines):
                    _print(console, Text(line, style="bold" if number < height else ""))
                return
    for number, row in enumerate(rows):
        if number:
            _print(console, "")
        for line in _block(header, row, console.width):
            _print(console, Text(line))


def _shapes(header: Sequence[str], *, has_text: bool, compact: bool) -> list[list[str]]:
    """Return the headers of a table from wide to narrow; a shorter one leaves out the text."""
    tall = [name.replace(" ", "\n").replace("-", "-\n") for name in header]
    if has_text:
        tall[-1] = header[-1]
    shapes = [tall] if compact else [list(header), tall]
    return [*shapes, tall[:-1]] if has_text else shapes


def _table_lines(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    left: set[str],
    *,
    has_text: bool,
) -> list[str] | None:
    """Return the lines of a table; None if it is too wide.

    Args:
        header: The names of the columns, with line breaks.
        rows: The values; those after the last name are left out.
        width: The maximum width.
        left: The columns that are aligned to the left.
        has_text: Whether the last column holds text, which may take several lines.
    """
    columns = [
        [name.split("\n"), *([row[number]] for row in rows)] for number, name in enumerate(header)
    ]
    widths = [max(len(line) for cell in column for line in cell) for column in columns]
    if has_text:
        longest_word = max(len(word) for cell in columns[-1] for word in " ".join(cell).split())
        room = width - sum(widths[:-1]) - 2 * len(widths)
        if room < min(widths[-1], max(longest_word, _TEXT_WIDTH)):
            return None
        columns[-1] = [_wrapped(" ".join(cell), room) for cell in columns[-1]]
    elif sum(widths) + 2 * len(widths) > width:
        return None
    is_left = [name in left for name in header]
    is_left[-1] = is_left[-1] or has_text
    lines = []
    for number, cells in enumerate(zip(*columns, strict=True)):
        height = max(map(len, cells))
        if number == 0:  # the header stands on the values
            cells = tuple([""] * (height - len(cell)) + cell for cell in cells)
        for parts in zip_longest(*cells, fillvalue=""):
            padded = (
                part.ljust(size) if at_left else part.rjust(size)
                for part, size, at_left in zip(parts, widths, is_left, strict=True)
            )
            lines.append(f" {'  '.join(padded)}".rstrip())
    return lines


def _block(header: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """Return a row as lines, one per column; values that do not fit go below their name."""
    label = max(map(len, header)) + 1
    lines = []
    for name, value in zip(header, row, strict=True):
        first, *rest = _wrapped(value, width - label)
        if any(len(line) > width - label for line in (first, *rest)):
            lines += [name, *(f" {line}" for line in _wrapped(value, width - 1))]
        else:
            lines.append(f"{name:{label}}{first}".rstrip())
            lines += [f"{'':{label}}{line}" for line in rest]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """Return text in lines of at most a width where it has spaces; words are never cut."""
    lines = textwrap.wrap(text, max(1, width), break_long_words=False, break_on_hyphens=False)
    return lines or [""]
