"""The base of all errors that this package raises on purpose.

Their message is meant for the user: it names the file, value or option, states what was expected
and what to do. The command prints it as one line; a script catches `LemonadeError` instead of a
list of classes. Any other exception is a bug.
"""

from typing import ClassVar


class LemonadeError(Exception):
    """Something that the user can fix; the message explains how.

    Attributes:
        exit_status: Exit status of the command: 2 for a usage error, else 1.
    """

    exit_status: ClassVar[int] = 1
