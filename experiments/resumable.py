"""Results of scripts in files: an interrupted command is rerun to continue."""

import fcntl
import json
import os

from absl import app

from lemonade_tf import LemonadeError


def finished(file, run):
    """Return the results of a file, which is written whole if it is missing.

    Args:
        file: Its path.
        run: Returns the results, a list of mappings.

    Raises:
        LemonadeError: If another process is making them.
    """
    if not file.exists():
        unfinished = file.with_suffix(".part")
        with unfinished.open("a") as output:
            try:
                fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends
            except BlockingIOError:
                raise LemonadeError(
                    f"{file} is being made by another process; expected processes that share a"
                    " folder to have different seeds."
                ) from None
            if not file.exists():  # by a process that ended since
                lines = "".join(json.dumps(each) + "\n" for each in run())
                output.truncate(0)
                output.write(lines)
                output.flush()
                unfinished.rename(file)
    return [json.loads(line) for line in file.read_text().splitlines()]


def check_settings(workdir, settings):
    """Write the settings to OUT/settings.json, or check that those of an earlier run are equal.

    Args:
        workdir: The folder for the results.
        settings: A mapping, as JSON.

    Raises:
        UsageError: If they differ or are unknown, as results would not be comparable.
    """
    settings = json.loads(json.dumps(settings))  # tuples as lists
    file = workdir / "settings.json"
    if not file.exists() and any(workdir.glob("*.jsonl")):
        raise app.UsageError(
            f"{workdir} has results but no settings.json, so their settings are unknown; choose"
            " another --workdir."
        )
    unfinished = file.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(settings, indent=1) + "\n")
    try:
        os.link(unfinished, file)
    except FileExistsError:
        pass  # of an earlier run, or of another process just now
    finally:
        unfinished.unlink()
    earlier = json.loads(file.read_text())
    if earlier != settings:
        names = (name for name in earlier | settings if earlier.get(name) != settings.get(name))
        raise app.UsageError(
            f"{workdir} was started with other settings ({', '.join(sorted(names))}); choose"
            " another --workdir, or the settings of settings.json there."
        )
