"""A finished search that comes with the package: `lemonade-tf demo`.

It is the result of `lemonade-tf search` with seed 0: its lists and the networks of its front.
"""

from __future__ import annotations

import io
import zipfile
from importlib.resources import files
from pathlib import Path

from lemonade_tf.store import CONFIG, RunStore, StoreError, explained, make_new_folder
from lemonade_tf.store.atomic import make_folder, write_atomic


def unpack_demo(workdir: Path) -> Path:
    """Write the run folder of the example, unless it is there already; return its path.

    Raises:
        StoreError: If the folder holds anything else, or cannot be written.
    """
    packed = io.BytesIO(files("lemonade_tf.report").joinpath("demo.zip").read_bytes())
    archive = zipfile.ZipFile(packed)
    if RunStore.holds_run(workdir):
        if (workdir / CONFIG).read_bytes() == archive.read(CONFIG):
            return workdir
        raise StoreError(f"{workdir} holds another run; choose another --workdir.")
    if not make_new_folder(workdir) and any(workdir.iterdir()):
        raise StoreError(f"{workdir} is not empty; choose another --workdir.")
    # config.json is the last: without it, there is no run.
    for name in sorted(archive.namelist(), key=lambda name: name == CONFIG):
        path = workdir / name
        with explained(path):
            make_folder(path.parent)
            write_atomic(path, archive.read(name))
    return workdir
