"""How many files may be open: in a supervisor as many as its slots need, in commands as many as their user allows."""

from __future__ import annotations

import resource
import sys

FILES_A_SLOT = 4
"""A pipe has two ends, a file takes what it held, and a folder what the command tells of itself."""

FILES_OWN = 16
"""How many files a supervisor has open for itself: streams, locks, sockets, journal."""

FILES_BESIDE = 32
"""How many files a supervisor may have to open in addition to those: slots leave that many free."""

_users = resource.getrlimit(resource.RLIMIT_NOFILE)
_raised: tuple[int, int] | None = None


def needed(slots: int) -> int:
    """The number of files that a supervisor with this number of slots may have open."""
    return FILES_OWN + FILES_A_SLOT * slots + FILES_BESIDE


def open_files_max() -> int:
    """How many files this process may have open."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def could_open_max() -> int:
    """How many files this process may allow itself to open."""
    return _number(_users[1])


def _number(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def allow(files: int) -> None:
    """Raises this process's limit of open files to at least `files`."""
    global _raised
    if open_files_max() < files <= could_open_max():
        _raised = files, _users[1]
        restore()


def lower() -> None:
    """Processes started from now on get their user's limit."""
    if _raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, _users)


def restore() -> None:
    """Takes `lower` back."""
    if _raised:
        resource.setrlimit(resource.RLIMIT_NOFILE, _raised)
