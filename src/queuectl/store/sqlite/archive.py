"""An SQLite store as rows (see store/shared/archive.py)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

from queuectl.domain.errors import StoreBusy
from queuectl.store.shared import migrations
from queuectl.store.shared.archive import RECOUNT, SHUT_OUT, TABLES, Row, normal
from queuectl.store.shared.limits import GATES_SCHEMA
from queuectl.store.shared.settings import MOVED_TO
from queuectl.store.sqlite.connection import connect, translated
from queuectl.store.values import MOVED

PATIENCE_S = 10.0
RETRY_EVERY_S = 0.05
REFUSE = "CREATE TRIGGER moved_{act}_{table} BEFORE {act} ON {table} BEGIN SELECT RAISE(ABORT, '{why}'); END"


class SqliteArchive:
    """An `Archive` of the store in a file, which is there."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._db = connect(path, PATIENCE_S)

    def locked(self) -> AbstractContextManager[None]:
        return self._transaction("BEGIN IMMEDIATE")

    def snapshot(self) -> AbstractContextManager[None]:
        return self._transaction("BEGIN")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        with translated(self._path):
            self._db.execute(begin)
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def count(self, table: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def running(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM jobs WHERE state = 'processing'").fetchone()[0])

    def rows(self, table: str) -> Iterator[Row]:
        columns = ", ".join("min(ready, 1)" if each == "ready" else each for each in TABLES[table])
        with translated(self._path):  # not by the other store, into whose transaction they go
            yield from map(normal, self._db.execute(f"SELECT {columns} FROM {table}"))

    def fill(self, table: str, rows: Iterable[Row]) -> None:
        columns = TABLES[table]
        marks = ", ".join("?" * len(columns))
        self._db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def finish(self) -> None:
        self._db.execute(RECOUNT.format(counts="counts", jobs="jobs"))
        names = {table: table for table in ("meta", "queues", "locks", "schedules", "jobs")}
        self._db.execute(SHUT_OUT.format(**names, schema=GATES_SCHEMA))

    def move_to(self, place: str) -> None:
        self._db.execute("INSERT INTO meta VALUES (?, ?)", (MOVED_TO, place))
        why = (MOVED + place).replace("'", "''")
        for table in migrations.tables("sqlite"):
            for act in ("INSERT", "UPDATE", "DELETE"):
                if table != "meta":
                    self._db.execute(REFUSE.format(act=act, table=table, why=why))

    def come_back(self) -> None:
        """Takes back `move_to`, in a copy of the file."""
        with self.locked():
            triggers = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'moved%'")
            for (name,) in triggers.fetchall():
                self._db.execute(f"DROP TRIGGER {name}")
            self._db.execute("DELETE FROM meta WHERE name = ?", (MOVED_TO,))

    def become_one_file(self) -> None:
        """Ends the write-ahead log, so that the file alone has everything."""
        with translated(self._path):
            self._db.execute("PRAGMA journal_mode = DELETE")

    def copy_log(self) -> None:
        """Copies the write-ahead log into the file. Raises `StoreBusy` while somebody reads what it had before."""
        until = time.monotonic() + PATIENCE_S
        with translated(self._path):
            while True:
                _, frames, copied = self._db.execute("PRAGMA wal_checkpoint").fetchone()
                if frames == copied:
                    return
                if time.monotonic() > until:
                    from shlex import quote

                    raise StoreBusy(
                        f"the store {self._path} is being read by another process",
                        f"try again; see who has it open with: fuser {quote(self._path)}",
                    )
                time.sleep(RETRY_EVERY_S)

    def close(self) -> None:
        self._db.close()
