"""A running supervisor's folder, by which others see and reach it. Whoever removes it under the supervisor (`rm -r`,
`git clean`) ends nothing: the folder is made again, with a lock that is held and a socket that listens."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from queuectl.engine.channel import listen
from queuectl.engine.protocol import JOURNAL_NAME, SOCKET_NAME
from queuectl.engine.stamp import FolderStamp
from queuectl.engine.supervise.journal import Journal
from queuectl.engine.supervise.roster import ROSTER_NAME, Roster
from queuectl.store.liveness import LOCK_NAME, hold_lock
from queuectl.store.passfile import PASSFILE_NAME

LOOK_EVERY_S = 1.0


class Home:
    """The folder with this process's lock in it. The store's folder is made again too, but nothing above that."""

    def __init__(self, below: Path, folder: Path) -> None:
        self._below = below
        self.folder = folder
        self.look_at = 0.0
        self._stamp = FolderStamp(str(folder))
        self._lock = hold_lock(folder)
        self._made = os.stat(folder)
        self._secret = _content(folder / PASSFILE_NAME)
        secrets = () if self._secret is None else (PASSFILE_NAME,)
        self._signs = [f"{folder}/{name}" for name in (LOCK_NAME, SOCKET_NAME, JOURNAL_NAME, ROSTER_NAME, *secrets)]
        """What others look for, the lock first."""

    def is_lost(self, now: float) -> bool:
        """Whether something is not where others look for it. Looks once a second."""
        if now < self.look_at:
            return False
        self.look_at = now + LOOK_EVERY_S
        if self._stamp.is_unchanged() or not self.is_gone():
            return False
        self._stamp.forget()
        return True

    def is_gone(self) -> bool:
        """Whether something is not where others look for it, seen at this moment."""
        try:
            lock, *_ = map(os.stat, self._signs)
        except OSError:
            return True
        return not os.path.samestat(lock, os.fstat(self._lock))

    def make_again(self, journal: Journal, roster: Roster) -> socket.socket:
        """Makes the folder with what commands need to reach a server, the journal, the roster, a new socket and, last,
        the lock. What is left of it, such as long output, stays. Raises `OSError` where that cannot be now; then the
        folder is still lost."""
        if not self._is_ours():
            from shutil import rmtree  # supervisors load little, and few ever need this

            rmtree(self.folder, ignore_errors=True)  # what stands in its place is a copy
        for folder in (self._below, self.folder.parent, self.folder):
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
        if self._secret is not None:
            handle = os.open(self.folder / PASSFILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(handle, "wb") as writing:
                writing.write(self._secret)
        journal.move(self.folder / JOURNAL_NAME)
        roster.move(self.folder)
        (self.folder / SOCKET_NAME).unlink(missing_ok=True)
        listener = listen(self.folder)
        lock = hold_lock(self.folder)
        os.close(self._lock)
        self._lock = lock
        self._made = os.stat(self.folder)
        return listener

    def _is_ours(self) -> bool:
        try:
            return os.path.samestat(os.stat(self.folder), self._made)
        except OSError:
            return False


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
