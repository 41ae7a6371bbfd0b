"""Watches an open store's files: saves the content of a removed log, never writes to a replaced file, and notices other
content in the same file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from queuectl.domain.errors import StoreUnavailable
from queuectl.store.sqlite.connection import translated
from queuectl.store.sqlite.fileset import BESIDE_GONE, OVERWRITTEN, FileSet
from queuectl.store.values import REOPEN, REPLACED
from queuectl.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from queuectl.store.sqlite.connection import sqlite3

OTHERS_LEAVE_WITHIN_S = 2.5
"""Other workers look once a second and leave. A process with only a reading connection may stay."""
MARK_EVERY_S = 10.0
"""How often a worker marks a file in use, so that it differs from older copies of itself."""

MARK = """
INSERT INTO meta VALUES ('marked at', CAST(?1 AS TEXT))
ON CONFLICT (name) DO UPDATE SET value = CAST(max(?1, CAST(value AS REAL) + 0.001) AS TEXT)
"""
"""A mark is later than all before it, even if the clock was set back."""


class Content(NamedTuple):
    """What tells the content of a store from an older one: its identity, and figures that only grow."""

    store_id: str
    figures: Mapping[str, float]

    def follows(self, before: Content) -> bool:
        """Whether it can have come of the earlier content by what workers and commands write."""
        grown = all(self.figures.get(name, 0.0) >= figure for name, figure in before.figures.items())
        return grown and self.store_id == before.store_id


class Guard:
    """Watches the files of one connection. `now` is the store's clock."""

    def __init__(self, db: sqlite3.Connection, path: str, folder: str, now: Callable[[], float]) -> None:
        self._db, self._path, self._now = db, path, now
        self._files = FileSet(path, folder)
        self._marked: tuple[object, ...] | None = None
        self._content = Content("", {})
        self._others_wrote = self._has_to_look = False
        self._compared: int | None = None
        self._marked_at, self._closed = 0.0, False
        self._saves_since: float | None = None

    def begin(self) -> None:
        """From now on `replaced` also reads the files. Raises `StoreUnavailable`."""
        self._files.guard()
        self._mark()

    def others_wrote(self) -> None:
        """Others have committed, and may have restarted the log: soon, `look` has to be called."""
        self._others_wrote = self._has_to_look = self._marked is not None

    def look(self) -> None:
        """Looks at the files, if others have committed since the last look."""
        if self._has_to_look:
            self._has_to_look = False
            self._files.look()

    def replaced(self) -> str:
        """See `Store.replaced`."""
        what = self._files.changed()
        if what == BESIDE_GONE and not self._files.has_successor():
            return self._save_in_turn()
        with suppress(StoreUnavailable):  # the next call tries again
            if not what and self._is_other_content():
                return REPLACED
            if not what and self._may_differ() and self._now() - self._marked_at > MARK_EVERY_S:
                self._mark_again()
        return REPLACED if what else ""

    def close(self) -> None:
        """Closes the connection.

        SQLite then copies the log into the file if nobody else has it open. This prevents that if the file or the log
        was replaced.
        """
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
        """Saves a removed log: of several processes that use it, the first to notice does so once the others left."""
        if not self._files.keep_newcomers_out():
            return REPLACED if self._files.has_successor() else REOPEN
        now = time.monotonic()
        self._saves_since = now if self._saves_since is None else self._saves_since
        if self._files.is_shared() and now - self._saves_since < OTHERS_LEAVE_WITHIN_S:
            return ""
        return REOPEN if self._is_saved() else REPLACED

    def _is_saved(self) -> bool:
        """Copies the removed log into the file. Returns whether all of it is there now."""
        with suppress(StoreUnavailable), translated(self._path):
            busy, frames, copied = self._db.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            return not busy and bool(frames == copied)
        return False

    def _is_other_content(self) -> bool:
        """Whether a backup was written into the file, as SQLite's `.restore` does."""
        if self._marked is None:
            return False
        with translated(self._path):
            version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._compared:
            return False
        content = self._read_content()
        if not content.follows(self._content):
            return True
        self._content, self._compared = content, version
        return False

    def _read_content(self) -> Content:
        with translated(self._path):
            rows = self._db.execute(
                "SELECT name, value FROM meta WHERE name IN ('store_id', 'marked at') "
                "UNION ALL SELECT name, seq FROM sqlite_sequence"
            )
            found = dict(rows)
        return Content(str(found.pop("store_id", "")), {name: float(value) for name, value in found.items()})

    def _may_differ(self) -> bool:
        """Whether anything was written since the last mark, be it another process's mark."""
        return self._marked is not None and (self._others_wrote or self._db.total_changes != self._marked[0])

    def _mark_again(self) -> None:
        if self._marked != self._written():
            self._mark()
        self._others_wrote = False

    def _mark(self) -> None:
        """Writes a mark that older copies of the file lack, so that such a copy in its place is noticed."""
        with translated(self._path):
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                if self._is_other_content():  # a mark would make it ours
                    return
                self._db.execute(MARK, (self._now(),))
                content = self._read_content()
            self._content = content  # not before the commit: on a full disk there is no mark
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._files.changed()  # remembers the file as it is now
        self._marked, self._marked_at = self._written(), self._now()

    def _written(self) -> tuple[object, ...]:
        """A value that changes with what we write and what others add, but not with their marks."""
        with translated(self._path):
            added = self._db.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name").fetchall()
        return self._db.total_changes, *added
