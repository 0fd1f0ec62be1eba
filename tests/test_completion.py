"""What a real bash completes with the script of `lemonade-tf completion bash`."""

import shutil
import subprocess

import pytest

from lemonade_tf.cli import main
from lemonade_tf.cli.commands import COMMANDS
from lemonade_tf.config import SearchConfig

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")

COMPLETE = """
source /dev/stdin
while IFS= read -r line <&3; do
    read -ra COMP_WORDS <<< "$line"
    [[ $line != *' ' ]] || COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _lemonade_tf
    echo "${COMPREPLY[*]}"
done 3<lines
complete -p lemonade-tf
"""


@pytest.fixture
def complete(tmp_path, capsys):
    """Return what is completed for each of some lines; = stands alone, as bash splits words."""

    def complete(*lines):
        assert main(["completion", "bash"]) == 0
        (tmp_path / "lines").write_text("".join(f"{line}\n" for line in lines))
        done = subprocess.run(
            ["bash", "--norc", "-u", "-c", COMPLETE],
            input=capsys.readouterr().out,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        *found, registered = done.stdout.splitlines()
        assert (registered, done.stderr) == ("complete -o default -F _lemonade_tf lemonade-tf", "")
        return [each.split() for each in found]

    return complete


def test_commands_options_values_and_networks_are_completed(complete, tmp_path):
    (tmp_path / "my_run" / "models").mkdir(parents=True)
    for name in ("0-1", "2-10"):
        (tmp_path / "my_run" / "models" / f"{name}.h5").touch()
    commands, *found, options = complete(
        "lemonade-tf ",
        "lemonade-tf se",
        "lemonade-tf search --num_g",
        "lemonade-tf search --seed 3 --no-fl",
        "lemonade-tf search --preset ",
        "lemonade-tf search --preset = ",
        "lemonade-tf search --preset = qu",
        "lemonade-tf export my_run ",
        "lemonade-tf export my_run 2-10 --format t",
        "lemonade-tf export my_run 2-10 --board = nano",
        "lemonade-tf retrain my_run 0-1 2",
        "lemonade-tf completion ",
        # Files, for which bash has its own completion.
        "lemonade-tf report my",
        "lemonade-tf export my_run 0-1 --output ",
        "lemonade-tf export gone ",
        "lemonade-tf search --workdir ",
        "lemonade-tf nothing --",
        "lemonade-tf search --",
    )
    assert set(commands) == set(COMMANDS)
    assert found == [
        ["search"],
        ["--num_generations"],
        ["--no-flip"],
        ["paper", "digits", "minute", "digits_cells", "quick"],
        ["paper", "digits", "minute", "digits_cells", "quick"],
        ["quick"],
        ["0-1", "2-10"],
        ["tflite"],
        ["nano33"],
        ["2-10"],
        ["bash", "zsh"],
        *[[]] * 5,
    ]
    assert {f"--{name}" for name in SearchConfig.names()} <= set(options)


def test_zsh_runs_the_script_of_bash(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert main(["completion", "zsh"]) == 0
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert ("bashcompinit" in first, rest) == (True, script)
    with pytest.raises(SystemExit, match="2"):
        main(["completion", "fish"])
