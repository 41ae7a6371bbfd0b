"""This source as releases to come, each put in the place of the one before, as an upgrade does."""

from __future__ import annotations

import shutil
from pathlib import Path

import queuectl


def install(folder: Path, version: str) -> Path:
    """Puts it where a program with this folder in its PYTHONPATH finds it, at one stroke: what is imported meanwhile is
    of one of both. Returns the folder."""
    package, source = folder / "queuectl", Path(queuectl.__file__).parent
    coming, going = folder / "coming", folder / "going"
    shutil.copytree(source, coming, ignore=shutil.ignore_patterns("static", "templates"))
    named = (source / "__init__.py").read_text().replace(queuectl.__version__, version)
    (coming / "__init__.py").write_text(named)
    if package.exists():
        package.rename(going)
    coming.rename(package)
    shutil.rmtree(going, ignore_errors=True)
    return folder
