"""Who is alive on this machine: a supervisor holds a lock on its lock file exactly as long as it lives.

The kernel frees the lock when the process is gone, whatever ended it, and keeps it while the process is only frozen.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def workers_folder(below: Path) -> Path:
    """Where all supervisors of a store's folder have theirs."""
    return below / "workers"


def supervisor_folder(below: Path, worker: str) -> Path:
    """Where a supervisor keeps its lock, socket, journal and slots."""
    return workers_folder(below) / worker


def hold_lock(folder: Path) -> None:
    """Takes this process's lock, for its whole life. Commands do not inherit it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_alive(folder: Path) -> bool:
    """Whether the supervisor of this folder lives. Never makes the file: that would bring a name back to life."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def remove_folder(folder: Path) -> None:
    """Removes a supervisor's folder and what lies in it; somebody else may be doing the same."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
