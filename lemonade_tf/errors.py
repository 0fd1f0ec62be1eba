"""The base of all errors that this package raises on purpose.

Their message is meant for the user: it names the file, value or option, states what was expected
and what to do. The command prints it as one line; a script catches `LemonadeError` instead of a
list of classes. Any other exception is a bug.
"""

import difflib
import shlex
import sys
from collections.abc import Iterable
from typing import ClassVar

PROGRAM = "lemonade-tf"
_MAX_QUOTED = 300  # characters


class LemonadeError(Exception):
    """Something that the user can fix; the message explains how.

    Attributes:
        exit_status: Exit status of the command: 2 for a usage error, else 1.
    """

    exit_status: ClassVar[int] = 1


def quoted(error: object) -> str:
    """Return text from elsewhere, such as another error's, to be part of a message.

    It may contain anything: it becomes one line, not too long, of printable characters.
    """
    line = " ".join(str(error).split()) or type(error).__name__
    return printable(line if len(line) <= _MAX_QUOTED else f"{line[:_MAX_QUOTED]}...")


def printable(line: str) -> str:
    """Return a line without characters that control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in line)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'NEAR'?" for a mistyped word, or nothing if no known word is near."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1)
    if not near and len(word) > 2:  # a part of a name, such as "generations"
        near = [name for name in known if word in name]
    return f"; did you mean {near[0]!r}?" if len(near) == 1 else ""


def shell_command(*words: object) -> str:
    """Return a command that can be pasted into a shell, whatever a path in it contains."""
    return " ".join(map(_shell_word, map(str, words)))


def resume_command(workdir: object) -> str:
    """Return the command that resumes the search in a folder."""
    return shell_command(PROGRAM, "search", "--workdir", as_path(workdir), "--resume")


def as_path(path: object) -> str:
    """Return a path that a command does not take for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _shell_word(word: str) -> str:
    """Quote a word for the shell so that it survives being printed within one line."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    try:
        word.encode(encoding)
    except UnicodeEncodeError:
        is_safe = False
    else:
        is_safe = word.isprintable() and "  " not in word
    if is_safe:
        return shlex.quote(word)
    # Escaped bytes, which bash and zsh read: $'b\303\274cher'.
    return "$'" + "".join(map(_shell_byte, word.encode("utf-8", "surrogateescape"))) + "'"


def _shell_byte(byte: int) -> str:
    character = chr(byte)
    is_plain = byte < 128 and character.isprintable() and character not in "'\\ "
    # Always three octal digits: a hexadecimal escape would include a digit that follows.
    return character if is_plain else f"\\{byte:03o}"
