"""Watches over an open store's files: keeps what is in a removed log, and writes into no file that was exchanged."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from queuectl.domain.errors import StoreUnavailable
from queuectl.store.port import REOPEN, REPLACED
from queuectl.store.sqlite.connection import translated
from queuectl.store.sqlite.fileset import BESIDE_GONE, OVERWRITTEN, FileSet

if TYPE_CHECKING:
    from queuectl.store.sqlite.connection import sqlite3

OTHERS_LEAVE_WITHIN_S = 2.5
"""Other workers look once a second. Whoever has only a reading connection open stays."""
MARK_EVERY_S = 10.0
"""How often a worker has a file in use tell itself from its own past."""


class Guard:
    """Of one connection. `now` is the store's clock."""

    def __init__(self, db: sqlite3.Connection, path: str, folder: str, now: Callable[[], float]) -> None:
        self._db, self._path, self._now = db, path, now
        self._files = FileSet(path, folder)
        self._marked: tuple[object, ...] | None = None
        self._marked_at, self._closed = 0.0, False
        self._saves_since: float | None = None

    def begin(self) -> None:
        """From now on `replaced` also looks into the files. Raises `StoreUnavailable`."""
        self._files.guard()
        self._mark()

    def look(self) -> None:
        """Is called soon after others' commits, which may have begun the log anew."""
        if self._marked:
            self._files.look()

    def replaced(self) -> str:
        """See `Store.replaced`."""
        what = self._files.changed()
        if what == BESIDE_GONE and not self._files.has_successor():
            return self._save_in_turn()
        if not what and self._marked and self._now() - self._marked_at > MARK_EVERY_S:
            with suppress(StoreUnavailable):  # the next call tries again
                self._mark_again()
        return REPLACED if what else ""

    def close(self) -> None:
        """Closes the connection. SQLite then writes the log into the file, where nobody else has it open: not so where
        the file or the log is another one by now."""
        if self._closed:
            return
        self._closed = True
        what = self._files.changed()
        if what == OVERWRITTEN or (what == BESIDE_GONE and not self._files.keep_newcomers_out()):
            with self._files.held_open():
                self._db.close()
            return
        self._db.close()
        if what == BESIDE_GONE:
            self._files.let_newcomers_in()

    def _save_in_turn(self) -> str:
        """Of several who go on in a removed log, the first to see it saves the log, once the others have left."""
        if not self._files.keep_newcomers_out():
            return REPLACED if self._files.has_successor() else REOPEN
        now = time.monotonic()
        self._saves_since = now if self._saves_since is None else self._saves_since
        if self._files.is_shared() and now - self._saves_since < OTHERS_LEAVE_WITHIN_S:
            return ""
        return REOPEN if self._is_saved() else REPLACED

    def _is_saved(self) -> bool:
        """Whether what is only in the removed log is in the file now."""
        with suppress(StoreUnavailable), translated(self._path):
            busy, frames, copied = self._db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            return not busy and bool(frames == copied)
        return False

    def _mark_again(self) -> None:
        if self._marked != self._written():
            self._mark()

    def _mark(self) -> None:
        """Has the file tell itself from what it was a while ago: only so is an old copy in its place noticed."""
        with translated(self._path):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('marked at', ?)", (repr(self._now()),))
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._files.changed()  # looks at what the file is now
        self._marked, self._marked_at = self._written(), self._now()

    def _written(self) -> tuple[object, ...]:
        """Changes with what we write and with what others add, but not with their marks."""
        with translated(self._path):
            added = self._db.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name").fetchall()
        return self._db.total_changes, *added
