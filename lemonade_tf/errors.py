"""The base of all errors that this package raises on purpose.

Their message is meant for the user: it names the file, value or option, states what was expected
and what to do. The command prints it as one line; a script catches `LemonadeError` instead of a
list of classes. Any other exception is a bug.
"""

from typing import ClassVar

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
