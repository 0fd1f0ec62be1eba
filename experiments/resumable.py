"""Results of scripts in files: an interrupted command is rerun to continue."""

import json
import os

from absl import app


def finished(file, run):
    """Return the results of a file, which is written whole if it is missing.

    Args:
        file: A path that ends in ".jsonl".
        run: Returns the results, a list of mappings.
    """
    if not file.exists():
        lines = "".join(json.dumps(each) + "\n" for each in run())
        unfinished = file.with_suffix(".part")
        unfinished.write_text(lines)
        unfinished.rename(file)
    return [json.loads(line) for line in file.read_text().splitlines()]


def check_settings(workdir, settings):
    """Write the settings to OUT/settings.json, or check that those of an earlier run are equal.

    Args:
        workdir: The folder for the results.
        settings: A mapping, as JSON.

    Raises:
        UsageError: If they differ, as results would not be comparable.
    """
    file = workdir / "settings.json"
    if not file.exists():
        unfinished = file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(settings, indent=1) + "\n")
        unfinished.rename(file)
    earlier = json.loads(file.read_text())
    if earlier != settings:
        names = (name for name in earlier | settings if earlier.get(name) != settings.get(name))
        raise app.UsageError(
            f"{workdir} has results with other settings ({', '.join(sorted(names))}); choose"
            " another --workdir, or the settings of settings.json there."
        )
