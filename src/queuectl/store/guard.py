"""Watches over an open store's files: keeps what is in a removed log, and writes into no file that was exchanged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from queuectl.domain.errors import StoreUnavailable
from queuectl.store.connection import translated
from queuectl.store.fileset import BESIDE_GONE, OVERWRITTEN, FileSet
from queuectl.store.port import REOPEN, REPLACED

if TYPE_CHECKING:
    from queuectl.store.connection import sqlite3

MARK_EVERY_S = 10.0
"""How often a worker has a file in use tell itself from its own past."""


class Guard:
    """Of one connection. `now` is the store's clock."""

    def __init__(self, db: sqlite3.Connection, path: str, folder: str, now: Callable[[], float]) -> None:
        self._db, self._path, self._now = db, path, now
        self._files = FileSet(path, folder)
        self._marked: tuple[object, ...] | None = None
        self._marked_at, self._closed = 0.0, False

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
        if what == BESIDE_GONE and self._is_saved():
            return REOPEN
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

    def _is_saved(self) -> bool:
        """Writes into the file what is only in a log that was removed under us, unless there is another log already."""
        if not self._files.keep_newcomers_out():
            return False
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
