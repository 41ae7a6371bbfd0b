"""This source as releases to come, each put in the place of the one before, as an upgrade does."""

from __future__ import annotations

import shutil
from pathlib import Path

import queuectl


def install(folder: Path, version: str) -> Path:
    """Puts it where a program with this folder in its PYTHONPATH finds it. Returns the folder."""
    package, source = folder / "queuectl", Path(queuectl.__file__).parent
    shutil.rmtree(package, ignore_errors=True)  # a worker of it may compile a module meanwhile
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("static", "templates"), dirs_exist_ok=True)
    named = (source / "__init__.py").read_text().replace(queuectl.__version__, version)
    (package / "__init__.py").write_text(named)
    return folder
