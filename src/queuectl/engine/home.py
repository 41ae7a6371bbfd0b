"""A running supervisor's folder, by which others see and reach it. Whoever removes it under the supervisor (`rm -r`,
`git clean`) ends nothing: the folder is made again, with a lock that is held and a socket that listens."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from queuectl.engine.journal import Journal
from queuectl.engine.protocol import JOURNAL_NAME, listen
from queuectl.engine.roster import Roster
from queuectl.store.liveness import LOCK_NAME, hold_lock

LOOK_EVERY_S = 1.0


class Home:
    """The folder with this process's lock in it. The store's folder is made again too, but nothing above that."""

    def __init__(self, below: Path, folder: Path) -> None:
        self._below = below
        self.folder = folder
        self.look_at = 0.0
        self._lock = hold_lock(folder)

    def is_lost(self, now: float) -> bool:
        """Whether the lock is not where others look for it. Looks once a second."""
        if now < self.look_at:
            return False
        self.look_at = now + LOOK_EVERY_S
        try:
            found = os.stat(self.folder / LOCK_NAME)
        except OSError:
            return True
        return not os.path.samestat(found, os.fstat(self._lock))

    def make_again(self, journal: Journal, roster: Roster) -> socket.socket:
        """Makes the folder with a new socket, the journal, the roster and, last, the lock. Raises `OSError` where that
        cannot be now; then the folder is still lost."""
        shutil.rmtree(self.folder, ignore_errors=True)  # what stands in its place is a copy
        for folder in (self._below, self.folder.parent, self.folder):
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
        journal.move(self.folder / JOURNAL_NAME)
        roster.move(self.folder)
        listener = listen(self.folder)
        lock = hold_lock(self.folder)
        os.close(self._lock)
        self._lock = lock
        return listener
