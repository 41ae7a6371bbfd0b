"""Makes git ignore a store's files: `git clean -fd` removes files that are neither tracked nor ignored.

Otherwise a repository that ignores `*.db` would keep the file and lose the `-wal`, with the jobs in it.
"""

from __future__ import annotations

import os
import re

IGNORE, IGNORE_ALL = ".gitignore", b"*\n"
"""The file by which a folder hides all it has from git."""
SPECIAL = re.compile(r"([\\*?\[ ])")
"""Characters with a meaning in a pattern of git."""


def exclude(path: str, folder: str) -> str | None:
    """Adds all names of the store at `path` to the list of the repository around it, which is not committed.

    Returns the list's path; None where there is no repository of this user's, or the folder hides itself. Raises
    `OSError` where the list cannot be written.
    """
    root = os.path.dirname(path)
    if _ignores_all(root):
        return None
    while not os.path.lexists(os.path.join(root, ".git")):
        if root == (root := os.path.dirname(root)):
            return None
    common = _common_folder(root)
    if common is None or "\n" in path or os.stat(common).st_uid != os.geteuid():
        return None
    below = SPECIAL.sub(r"\\\1", os.path.relpath(path, root))
    beside = SPECIAL.sub(r"\\\1", os.path.relpath(folder, root))
    listed = os.path.join(common, "info", "exclude")
    _append(listed, [f"/{below}", f"/{below}-wal", f"/{below}-shm", f"/{beside}/"])
    return listed


def _ignores_all(folder: str) -> bool:
    try:
        with open(os.path.join(folder, IGNORE), "rb") as file:
            return file.read(len(IGNORE_ALL) + 1) == IGNORE_ALL
    except FileNotFoundError:
        return False


def _common_folder(root: str) -> str | None:
    """Where the repository keeps what all its work trees share. In a work tree or submodule `.git` is a file."""
    place = os.path.join(root, ".git")
    if os.path.isdir(place):
        return place
    with open(place, encoding="utf-8", errors="surrogateescape") as file:
        kind, _, place = file.read().strip().partition("gitdir: ")
    place = os.path.join(root, place)
    if kind or not os.path.isdir(place):
        return None
    try:
        with open(os.path.join(place, "commondir"), encoding="utf-8", errors="surrogateescape") as file:
            return os.path.normpath(os.path.join(place, file.read().strip()))
    except FileNotFoundError:
        return place


def _append(listed: str, lines: list[str]) -> None:
    """Adds what is missing. Never follows a link: it could lead to any file of this user's."""
    os.makedirs(os.path.dirname(listed), exist_ok=True)
    handle = os.open(listed, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(handle, "r+", encoding="utf-8", errors="surrogateescape") as file:
        there = file.read()
        missing = [line for line in lines if line not in there.split("\n")]
        if missing:
            file.write("".join(["" if not there or there.endswith("\n") else "\n", *(f"{line}\n" for line in missing)]))
