"""A PostgreSQL store as rows (see store/shared/archive.py)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256

import psycopg
from psycopg.sql import Literal

from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.connection import Line
from queuectl.store.postgres.errors import translated
from queuectl.store.postgres.schema import clear, find_home
from queuectl.store.shared import migrations
from queuectl.store.shared.archive import RECOUNT, SHUT_OUT, TABLES, Row, normal
from queuectl.store.shared.limits import GATES_SCHEMA
from queuectl.store.shared.settings import MOVED_TO
from queuectl.store.values import MOVED

AT_ONCE = 2000
PATIENT = {"idle_in_transaction_session_timeout": "0"}
"""How long this store waits depends on the other one."""
NUMBERED = {"specs": "id", "jobs": "seq", "events": "id", "settlements": "id", "run_ends": "id"}
REFUSE = """
CREATE FUNCTION {schema}.moved() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION USING MESSAGE = {why}; END $$
"""
REFUSE_AT = (
    "CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE ON {schema}.{table} EXECUTE FUNCTION {schema}.moved()"
)


class PostgresArchive:
    """An `Archive` of the store in a schema, which is there."""

    def __init__(self, url: str) -> None:
        self._address = parse_address(url)
        self._schema = f'"{self._address.schema}"'
        self._line = Line(self._address)
        self._db = self._line.open()
        self._is_filled = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        tables = ", ".join(f"{self._schema}.{table}" for table in (*TABLES, "counts", "uses", "workers"))
        with translated(self._address), self._line.transaction(PATIENT, pipelined=False):
            self._run(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")
            yield

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """One transaction, which begins by removing everything. The store is another one from its end on."""
        with translated(self._address):
            home = find_home(self._line, self._address)
            with self._line.transaction(PATIENT, pipelined=False):
                clear(self._line, self._address, home)
                yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with translated(self._address):
            self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                for name, value in PATIENT.items():
                    self._run(f"SET LOCAL {name} = {value}")
                yield
            finally:
                if not self._db.closed:
                    self._run("ROLLBACK")

    def _run(self, text: str, *values: object) -> psycopg.Cursor[Row]:
        return self._db.execute(text.encode(), values or None)

    def _number(self, text: str) -> int:
        found = self._run(text).fetchone()
        assert found is not None
        return int(found[0])

    def count(self, table: str) -> int:
        return self._number(f"SELECT count(*) FROM {self._schema}.{table}")

    def running(self) -> int:
        return self._number(f"SELECT count(*) FROM {self._schema}.jobs WHERE state = 'processing'")

    def rows(self, table: str) -> Iterator[Row]:
        with translated(self._address), self._db.cursor(name="archive") as cursor:  # not by the other store
            cursor.itersize = AT_ONCE
            columns = ", ".join("coalesce(ready, true)" if each == "ready" else each for each in TABLES[table])
            cursor.execute(f"SELECT {columns} FROM {self._schema}.{table}".encode())
            yield from map(normal, cursor)

    def fill(self, table: str, rows: Iterable[Row]) -> None:
        columns = TABLES[table]
        if table == "specs":
            columns = (*columns, "digest")
            rows = ((number, body, sha256(body.encode()).digest()) for number, body in rows)
        text = f"COPY {self._schema}.{table} ({', '.join(columns)}) FROM STDIN"
        with self._db.cursor() as cursor, cursor.copy(text.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def finish(self) -> None:
        self._run(RECOUNT.format(counts=f"{self._schema}.counts", jobs=f"{self._schema}.jobs"))
        names = {table: f"{self._schema}.{table}" for table in ("meta", "queues", "locks", "schedules", "jobs")}
        self._run(SHUT_OUT.format(**names, schema=GATES_SCHEMA))
        self._run(f"INSERT INTO {self._schema}.uses SELECT spec, count(*) FROM {self._schema}.jobs GROUP BY spec")
        for table, column in NUMBERED.items():
            newest = f"(SELECT max({column}) FROM {self._schema}.{table})"
            place = f"pg_get_serial_sequence('{self._schema}.{table}', '{column}')"
            # Never back: a transaction that fails takes its rows along, but not what it has set here.
            self._run(f"SELECT setval({place}, greatest({newest}, nextval({place})))")
        self._is_filled = True

    def move_to(self, place: str) -> None:
        self._run(f"INSERT INTO {self._schema}.meta VALUES (%s, %s)", MOVED_TO, place)
        self._run(REFUSE.format(schema=self._schema, why=Literal(MOVED + place).as_string(self._db)))
        for table in migrations.tables("postgres"):
            if table != "meta":
                self._run(REFUSE_AT.format(schema=self._schema, table=table))

    def close(self) -> None:
        """Has the server look through what was filled: until it does so by itself, looks would read whole tables."""
        if self._is_filled:
            tables = ", ".join(f"{self._schema}.{table}" for table in TABLES)
            with suppress(psycopg.Error):  # the copy is whole; without this it is only slow at first
                self._run(f"VACUUM (ANALYZE) {tables}")
        self._line.close()
