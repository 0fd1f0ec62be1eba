"""The command `completion`: print a script that completes commands and options in a shell.

The script is static, so completing starts no Python. zsh runs the one for bash through its
`bashcompinit`.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lemonade_tf.cli.options import choice
from lemonade_tf.errors import PROGRAM
from lemonade_tf.objectives.boards import BOARDS

_SHELLS = ("bash", "zsh")
_NAMES = {"board": BOARDS}  # besides files, by the option
_ZSH = "autoload -Uz compinit bashcompinit && compinit && bashcompinit\n"
_SCRIPT = """\
_lemonade_tf() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}}
    local command=${{COMP_WORDS[1]}} words=
    COMPREPLY=()
    if [[ $current == = ]]; then current=; fi  # --preset= is two words
    if [[ $previous == = ]]; then previous=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    if ((COMP_CWORD == 1)); then
        words={commands}
    elif [[ $current == -* ]]; then
        case $command in
{options}
        esac
    else
        case "$command $previous" in
{values}
        {networks})
            if ((COMP_CWORD > 2)) && [[ $previous != -* ]]; then
                words=$(cd "${{COMP_WORDS[2]}}/models" 2>/dev/null && printf '%s\\n' *.h5)
                words=${{words//.h5/}}
            fi ;;
        esac
    fi
    if [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi
}}
complete -o default -F _lemonade_tf {program}
"""


def add_completion(commands: Any) -> None:
    """Add the parser of the command to the others, which it completes."""
    parser = commands.add_parser(
        "completion",
        help="print a script for completion in a shell",
        description=(
            "Print a script that completes commands, options and their values in bash or zsh."
            " Write it to a file that your shell reads, such as"
            f" ~/.local/share/bash-completion/completions/{PROGRAM}."
        ),
        allow_abbrev=False,
    )
    parser.add_argument("shell", **choice(_SHELLS), help="the shell")
    parser.set_defaults(command="completion", parsers=commands.choices)


def run_completion(options: argparse.Namespace) -> int:
    """Print the script for a shell."""
    print((_ZSH if options.shell == "zsh" else "") + _script(options.parsers), end="")
    return 0


def _script(parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    actions = {name: parser._actions for name, parser in parsers.items()}
    options = {
        name: [o for action in each for o in action.option_strings if o.startswith("--")]
        for name, each in actions.items()
    }
    takes_network = [name for name, each in actions.items() if any(a.metavar == "ID" for a in each)]
    values = (case for name, each in actions.items() for a in each for case in _cases(name, a))
    return _SCRIPT.format(
        program=PROGRAM,
        commands=_quoted(parsers),
        options="\n".join(f"        {name}) words={_quoted(o)} ;;" for name, o in options.items()),
        values="\n".join(values),
        networks=" | ".join(f"'{name} '*" for name in takes_network),
    )


def _cases(command: str, action: argparse.Action) -> Iterator[str]:
    """Yield the line for the values of an option or argument that has a few possible ones."""
    shown = action.metavar if isinstance(action.metavar, str) else ""
    words = shown[1:-1].split(",") if shown.startswith("{") else _NAMES.get(action.dest)
    if words:
        for previous in action.option_strings or [command]:
            yield f"        '{command} {previous}') words={_quoted(words)} ;;"


def _quoted(words: Iterable[str]) -> str:
    return shlex.quote(" ".join(words))
