"""Where this program's own files are, and how it starts itself: from a folder, or from one file (a zip archive)."""

from __future__ import annotations

import os
import sys

import queuectl
from queuectl.typed import Any

PACKAGE = os.path.dirname(queuectl.__file__)
HOME = os.path.dirname(PACKAGE)
"""What `sys.path` needs: a folder, or the archive."""
IS_ARCHIVE = os.path.isfile(HOME)
FILE = HOME if IS_ARCHIVE else queuectl.__file__
"""What is missing if the program has been removed."""
INDEX = "INDEX"
"""In an archive, a file with the paths of all others but modules. Written by archive/build.py."""


def command() -> list[str]:
    """The words that run `queuectl` as a process: never a module that lies in the current folder."""
    return [sys.executable, HOME] if IS_ARCHIVE else [sys.executable, "-P", "-m", "queuectl"]


def part(module: str) -> str:
    """Python for `-c` that calls `main` of one of our modules, where nothing of ours is on the path."""
    begin = f"import sys; sys.path.insert(0, {HOME!r}); "
    return f"{begin}{'import queuectl_start; ' if IS_ARCHIVE else ''}from queuectl.{module} import main; main()"


def read(path: str) -> bytes:
    """A file of the package, by its path in it or its whole path. Raises `OSError`."""
    spec: Any = queuectl.__spec__
    loader = spec.loader
    content: bytes = loader.get_data(os.path.join(PACKAGE, path))
    return content


def names(folder: str) -> list[str]:
    """The files directly in a folder of the package."""
    if not IS_ARCHIVE:
        return os.listdir(os.path.join(PACKAGE, folder))
    inside = folder.removeprefix(f"{PACKAGE}/")
    paths = [path.rpartition("/") for path in read(INDEX).decode().splitlines()]
    return [name for below, _, name in paths if below == inside]


def changed_at(path: str) -> int:
    """When a file of the package has changed, in nanoseconds; an archive is never changed while it is in use."""
    return 0 if IS_ARCHIVE else os.stat(os.path.join(PACKAGE, path)).st_mtime_ns
