"""Folders that the commands of a slot get one after the other, each of them empty.

What lies in one is the last command's: it may have made anything there, or have removed the folder itself.
"""

from __future__ import annotations

import os
from pathlib import Path

REMOVED_MAX = 100
"""How many files that a command has left in a folder are removed; more of them stay until the supervisor leaves."""
OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def emptied(handle: int, folder: Path) -> bool:
    """Removes files in an open folder; whether it is empty now, and still the one in its place."""
    try:
        for name in os.listdir(handle)[:REMOVED_MAX]:
            os.unlink(name, dir_fd=handle)
        return not os.listdir(handle) and os.path.samestat(os.lstat(folder), os.fstat(handle))
    except OSError:
        return False


class Fresh:
    """A folder of a slot that is empty whenever it is asked for: the same, or a new one if that cannot be emptied."""

    def __init__(self, home: Path, name: str) -> None:
        self._home = home
        self._name = name
        self._generation = 0

    def folder(self) -> Path:
        """The folder with nothing in it. Raises `OSError` if it cannot be made."""
        folder = self._home / f"{self._name}-{self._generation}"
        if not self._generation or not _is_emptied(folder):
            self._generation += 1
            folder = self._home / f"{self._name}-{self._generation}"
            folder.mkdir(mode=0o700)
        return folder


def _is_emptied(folder: Path) -> bool:
    try:
        handle = os.open(folder, OPENING)
    except OSError:
        return False
    try:
        return emptied(handle, folder)
    finally:
        os.close(handle)
