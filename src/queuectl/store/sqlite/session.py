"""What a SQLite store is built on: transactions, queries, specs, steps of the schema."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from queuectl import ids
from queuectl.clock import Clock, SystemClock
from queuectl.store import identity
from queuectl.store.shared import migrations, rows
from queuectl.store.shared.session import Session
from queuectl.store.sqlite.connection import (
    begin_log,
    connect,
    connect_in_memory,
    folder_of,
    has_log,
    sqlite3,
    sync_file,
    translated,
)
from queuectl.store.sqlite.guard import Guard
from queuectl.store.values import Grip, Heard, Superseded, WorkerRow
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.jobs import spec_to_text

if TYPE_CHECKING:
    from pathlib import Path

    from queuectl.domain.job import Job, Spec


@cache
def _queries() -> dict[str, str]:
    fields = WorkerRow._fields
    names = {
        "job_columns": rows.JOB_COLUMNS, "life": ", ".join(f"{name} = ?" for name in rows.LIFE),
        "edited": ", ".join(f"{name} = ?" for name in rows.EDITED),
        "worker_columns": ", ".join(fields), "worker_marks": ", ".join(f":{name}" for name in fields),
        "born": ", ".join(rows.BORN), "born_marks": ", ".join("?" * len(rows.BORN)),
    }  # fmt: skip
    return dict(rows.named_queries(migrations.sql_text("sqlite/queries.sql"), **names))


class SqliteSession(Session):
    """A connection to one file. Only one transaction writes to the file at a time.

    Without `_has_log` the file is a backup that has only been read; the first transaction gives it a log.
    """

    _dialect = rows.SQLITE
    others_share = 2.0

    def __init__(self, path: str | Path, clock: Clock | None, busy_timeout_s: float, make: bool) -> None:
        self.url = self.address = os.path.abspath(path)
        self.path = os.path.realpath(path)  # all names of one file must have the same locks
        self._clock = clock or SystemClock()
        self._sql = _queries()
        self._depth, self._synced, self._may_sync = 0, True, True
        self._schema, self._behind, self._stand_ins = 0, False, {}
        self._counted: Counter[tuple[str, str]] = Counter()
        self._turned: dict[int, Job] = {}
        self._newly_listed = set[int]()
        self._failing = set[str]()
        self._specs: dict[int, Spec] = {}
        self._db = connect(self.path, busy_timeout_s) if make else connect_in_memory()
        try:
            self._has_log = has_log(self._db)
            self._look_at_schema()
            if not self._behind:
                self._migrate()
            self._watch_files()
            self._may_sync = ("durability", "normal") not in self._select("SELECT name, value FROM config")
            self._version = self._data_version()
        except BaseException:
            self._db.close()
            raise

    def _watch_files(self) -> None:
        self._guard = Guard(self._db, self.path, folder_of(self.path), self.now)

    def close(self) -> None:
        self._guard.close()

    def bring_up_to_date(self) -> None:
        if not self._has_log:
            with translated(self.path):
                begin_log(self._db)
                self._version = self._data_version()  # the first read makes the log
            self._watch_files()
            self._has_log = True
        super().bring_up_to_date()

    def changed(self) -> Heard | None:
        version = self._data_version()
        changed, self._version = version != self._version, version
        if changed:
            self._guard.others_wrote()
        else:
            self._guard.look()  # not before what others wrote is acted on
        return Heard() if changed else None

    def has_changed(self) -> bool:
        return self._data_version() != self._version

    def _data_version(self) -> int:
        try:
            version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            with translated(self.path):  # only now: entering it costs as much as the query, which is asked all the time
                raise
        return version

    def now(self) -> float:
        return self._clock.now()

    def of_here(self, at: float) -> float:
        return at

    def _home(self) -> str:
        return identity.home_of_file(self.path, folder_of(self.path))

    # --- transactions -----------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[None]:
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self.bring_up_to_date()
        with translated(self.path):
            try:
                self._set_synced(synced)
                self._db.execute("BEGIN IMMEDIATE")
                self._depth, self._cancelled = 1, ()
                yield
                self._settle_ends()
                self._write_counts()
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._depth = 0
                self._newly_listed.clear()
                self._failing.clear()

    def _try_write(self) -> None:
        with translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")  # takes the write lock
            self._db.execute("ROLLBACK")

    def sync(self) -> None:
        if self._may_sync:
            with translated(self.path):
                sync_file(f"{self.path}-wal")

    def _set_synced(self, wanted: bool) -> None:
        wanted = wanted and self._may_sync
        if wanted is not self._synced:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if wanted else 'NORMAL'}")
            self._synced = wanted

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # a full disk has already rolled back
            self._db.execute("ROLLBACK")
        self._specs.clear()
        self._counted.clear()
        self._turned.clear()

    def _write_counts(self) -> None:
        """Once a transaction, not once a job: all jobs of a queue share one row."""
        if self._counted:
            changes = [(*key, change) for key, change in self._counted.items() if change]
            self._db.executemany(self._sql["count"], changes)
            self._counted.clear()

    def _announce(self, jobs: int | None = None) -> None:
        pass  # others watch the log, which shows every commit

    def _check(self, grip: Grip) -> None:
        if not self.send("holds_worker", worker=grip.worker, epoch=grip.epoch).fetchall():
            raise Superseded(f"worker {grip.worker} is driven by another process now")

    # --- queries ----------------------------------------------------------------------------

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        with translated(self.path):
            inside: bool = self._db.in_transaction
            if inside:
                yield
                return
            try:
                self._db.execute("BEGIN")
                yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _select(self, text: str, values: Any = ()) -> list[Any]:
        if self._stand_ins:
            text = self._as_of(text)
        with translated(self.path):
            return self._db.execute(text.replace("{schema}.", ""), values).fetchall()

    def _execute(self, text: str, values: Sequence[object] = ()) -> None:
        self._select(text, values)

    def read(self, query: str, **parameters: Any) -> list[Any]:
        return self._select(self._sql[query], parameters)

    def send(self, query: str, **parameters: Any) -> sqlite3.Cursor:
        return self._db.execute(self._sql[query], parameters)

    def _send_rows(self, query: str, values: Sequence[tuple[object, ...]]) -> sqlite3.Cursor:
        return self._db.executemany(self._sql[query], values)

    # --- jobs and specs ---------------------------------------------------------------------

    def _write(self, changed: Sequence[tuple[Job, Job]], now: float) -> None:
        """The caller has seen under the lock that each job's holder and lease are still the same."""
        lives = [rows.life_of(after, before.state, before.worker, now) for before, after in changed]
        written = self._send_rows("write_job", lives).rowcount
        assert written == len(changed), f"{len(changed)} jobs to be written, but {written} found"

    def _keep_specs(self, specs: Iterable[Spec]) -> dict[Spec, int]:
        numbers = {}
        for spec in specs:
            body = spec_to_text(spec)
            found = self._db.execute("SELECT id FROM specs WHERE body = ?", (body,)).fetchone()
            if found is None:
                found = self._db.execute("INSERT INTO specs (body) VALUES (?) RETURNING id", (body,)).fetchone()
            numbers[spec] = int(found[0])
        return numbers

    def _forget_specs(self, spec_ids: set[int]) -> None:
        """Removes those specs that no job needs any more."""
        self._send_rows("forget_spec", [(spec_id,) for spec_id in spec_ids])
        for spec_id in spec_ids:
            self._specs.pop(spec_id, None)

    # --- the schema -------------------------------------------------------------------------

    def schema_version(self) -> int:
        with translated(self.path):
            return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _look_at_schema(self) -> None:
        current = self.schema_version()
        if current != self._schema:
            self._schema, self._behind = current, migrations.is_behind("sqlite", current)
            self._stand_ins = migrations.stand_ins("sqlite", current) if self._behind else {}

    def _migrate(self) -> None:
        if not self.schema_version():
            self._make_schema()
        migrations.migrate("sqlite", self.schema_version(), self.url, self._oldest_reader, self._run_step)

    def _oldest_reader(self, schema: int) -> int | None:
        found = self._select("SELECT value FROM meta WHERE name = ?", (f"oldest reader of schema {schema}",))
        return int(found[0][0]) if found else None

    def _make_schema(self) -> None:
        """All steps at once, unless another process was faster."""
        with self.transaction():
            if self.schema_version():
                return
            for statement in _statements(migrations.whole_text("sqlite")):
                self._db.execute(statement)
            self._db.execute("INSERT INTO meta VALUES ('store_id', ?)", (ids.random_id(16),))
            for number in migrations.numbered("sqlite"):
                self._remember_step(number, migrations.step_text("sqlite", number))

    def _run_step(self, number: int, sql: str) -> None:
        with self.transaction():
            if self.schema_version() >= number:  # another process was faster
                return
            for statement in _statements(sql):
                self._db.execute(statement)
            self._remember_step(number, sql)

    def _remember_step(self, number: int, sql: str) -> None:
        reader = max(migrations.oldest_reader(sql), self._oldest_reader(self.schema_version()) or 0)
        self._db.execute("INSERT INTO meta VALUES (?, ?)", (f"oldest reader of schema {number}", str(reader)))
        self._db.execute(f"PRAGMA user_version = {number}")


def _statements(sql: str) -> Iterator[str]:
    """The single statements of a script, so that they can run inside one transaction."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
