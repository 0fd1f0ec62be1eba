"""What the tests of run folders share."""

CONFIG = {"space": "networks", "objectives": ["error", "parameters"], "seed": 3}


def files_in(folder):
    """The files in a folder and below it, sorted."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
