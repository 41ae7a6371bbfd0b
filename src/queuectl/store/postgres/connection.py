"""The line to a PostgreSQL server: opens it as often as needed, and runs transactions.

After an unexpected error (see errors.py) the connection is closed. Nothing relies on a session that others may have
used before: the settings that our queries rely on are set for each connection, or, behind a pooler that gives every
transaction another session (pgbouncer), in each transaction. Frequent queries are prepared only without a pooler.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import psycopg
from psycopg import conninfo

from queuectl.domain.errors import StoreUnavailable
from queuectl.store.postgres.address import Address
from queuectl.store.postgres.errors import Whose, is_definite, passes_with_connection, translated, whose
from queuectl.typed import Any

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # what matters comes as an error; stderr is ours

PATIENCE: Mapping[str, Any] = {
    "connect_timeout": 3, "keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000, "fallback_application_name": "queuectl", "client_encoding": "UTF8",
}  # fmt: skip
"""How we connect unless the address says otherwise. A vanished server is noticed in about ten seconds."""
IDLE_S = 1.0
"""A connection unused for longer is tested before a transaction."""
RETRY_FIRST_S, RETRY_LAST_S = 0.1, 2.0
"""The first and the longest pause between attempts to connect; it doubles. Meanwhile every use fails at once."""

PREPARE_FROM = 5
"""A query is prepared after this many uses on one connection."""

RELIED_ON: Mapping[str, str] = {
    "DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "array_nulls": "on", "bytea_output": "hex",
    "default_transaction_isolation": "read committed", "default_transaction_read_only": "off",
    "extra_float_digits": "1", "idle_in_transaction_session_timeout": "5min", "lock_timeout": "0",
    "search_path": "pg_catalog", "standard_conforming_strings": "on", "statement_timeout": "0",
    "transform_null_equals": "off",
}  # fmt: skip
"""Settings that our queries rely on, whatever server, database and role say. Time limits are the client's."""
RELIED_ON_SINCE: Mapping[str, tuple[int, str]] = {
    "idle_session_timeout": (140000, "0"), "transaction_timeout": (170000, "0"),
}  # fmt: skip
"""The same, from the given version of the server on."""
ABANDONED: Mapping[str, str] = {
    "tcp_user_timeout": "5s", "tcp_keepalives_idle": "3", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "3"
}  # fmt: skip
"""How soon the server notices that the client's machine vanished, or that a suspended client reads no more.

Otherwise the locks of a host that was cut off would last for hours, and nobody could take over its jobs.
"""
DURABLE = """set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
THEN 'on' ELSE current_setting('synchronous_commit') END, true)"""
"""A server may ask for more than `on`, but not for less."""
SETTLE = """SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)
WHERE pg_backend_pid() = %s"""
"""Changes nothing behind a pooler, which shows another process number than the server."""

AT_ONCE = "50ms"
"""How long a query waits for locks that is not to wait: a commit that has begun may be over by then."""
READING = "BEGIN ISOLATION LEVEL READ COMMITTED"
WRITING = f"{READING} READ WRITE"


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits at most `answer_within_s` for the server's answer."""

    answer_within_s: float | None = None
    is_given_up = False
    is_direct = False
    """Whether the server itself is at the other end, not a pooler."""
    pid = 0

    def settle(self) -> None:
        """Makes the settings that queries rely on, if the session is ours alone."""
        self.pid = self.info.backend_pid
        wanted = self.relied_on()
        self.is_direct = bool(self.execute(SETTLE, (list(wanted), list(wanted.values()), self.pid)).fetchall())
        if self.is_direct:
            self.prepare_threshold = PREPARE_FROM

    def relied_on(self) -> dict[str, str]:
        """`RELIED_ON` for this server's version."""
        version = self.info.server_version
        newer = {name: value for name, (since, value) in RELIED_ON_SINCE.items() if version >= since}
        return {**RELIED_ON, **newer}

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.answer_within_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            if timeout is None:
                self.is_given_up = True
                self.close()  # a later answer would be too late
                raise psycopg.OperationalError(f"no answer within {self.answer_within_s:g} seconds") from None
            raise


class Line:
    """A connection that is opened when needed, and again after it broke. For one thread."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._db: Connection | None = None
        self._refusal: StoreUnavailable | None = None
        self._retry_at = 0.0
        self._retry_s = RETRY_FIRST_S
        self.answer_within_s: float | None = None
        self.in_doubt = False
        """Whether the last transaction failed while it was being committed: nobody knows whether it was."""
        self._unanswered = 0
        self.opened = 0
        """How many connections there have been."""
        self._inside = False
        self._used_at = 0.0

    def open(self) -> Connection:
        """The connection. Raises `StoreUnavailable`, after a failure at once until it is time to try again."""
        if self._db is not None and not self._db.closed:
            return self._db
        if self._refusal is not None and time.monotonic() < self._retry_at:
            raise type(self._refusal)(self._refusal.message, self._refusal.hint)
        try:
            with translated(self._address):
                self._db = self._connect()
        except StoreUnavailable as refusal:
            self._refusal = refusal
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, RETRY_LAST_S)
            raise
        self._refusal, self._retry_s = None, RETRY_FIRST_S
        return self._db

    def _open_afresh(self) -> Connection:
        """The connection, tested if it has been idle: it may have died unnoticed."""
        db = self.open()
        if time.monotonic() - self._used_at > IDLE_S:
            try:
                db.execute("SELECT 1")
            except psycopg.Error:
                db.close()
                db = self.open()
        return db

    def _connect(self) -> Connection:
        options = {**PATIENCE, **conninfo.conninfo_to_dict(self._address.server)}
        db = Connection.connect(**options, autocommit=True, prepare_threshold=None)
        try:
            db.answer_within_s = self.answer_within_s
            db.settle()
        except BaseException:
            db.close()
            raise
        self.opened += 1
        self._used_at = time.monotonic()
        return db

    def _refuse_to_pile_up(self, db: Connection) -> None:
        """Raises while our last commit still waits for a standby: another one would only wait too."""
        waits = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'"
        if db.execute(waits, (self._unanswered,)).fetchone():
            raise StoreUnavailable(
                f"the store {self._address.shown} waits for a synchronous standby before it commits",
                "start the standby, or take it out of synchronous_standby_names",
            )
        self._unanswered = 0

    def execute(self, query: str, parameters: Any = None) -> psycopg.Cursor[tuple[Any, ...]]:
        """Runs a query. In a pipelined transaction, only fetching waits for the result."""
        db = self.open()
        db.answer_within_s = self.answer_within_s
        self._used_at = time.monotonic()
        return db.execute(query.encode(), parameters)

    def copy_in(self, query: str, pieces: Iterable[str]) -> None:
        """Streams text to a COPY. Not in a pipelined transaction."""
        db = self.open()
        db.answer_within_s = None  # the server answers only after the last piece
        with db.cursor() as cursor, cursor.copy(query.encode()) as copying:
            for piece in pieces:
                copying.write(piece)

    def fetch(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a query. Outside a transaction, a dead connection is replaced by a new one."""
        if self._inside:
            return self.execute(query, parameters).fetchall()
        db = self.open()
        try:
            return self._fetched(db, query, parameters)
        except psycopg.Error as error:
            if db.is_given_up or not passes_with_connection(error):
                raise
            return self._fetched(self.open(), query, parameters)

    def fetch_at_once(self, query: str, parameters: Any, usual: str) -> list[tuple[Any, ...]] | None:
        """All rows of a query inside a transaction; None if it has waited for another session for `AT_ONCE`: then it
        has done nothing. `usual`: the transaction's `lock_timeout`."""
        patience = "SELECT set_config('lock_timeout', %s, true)"
        self.execute("SAVEPOINT at_once")
        self.execute(patience, [AT_ONCE])
        try:
            with self.open().pipeline():
                found = self.execute(query, parameters).fetchall()
        except psycopg.errors.LockNotAvailable:
            self.execute("ROLLBACK TO SAVEPOINT at_once")
            return None
        self.execute(patience, [usual])
        self.execute("RELEASE SAVEPOINT at_once")
        return found

    def _fetched(self, db: Connection, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        if not db.is_direct:
            with self._begun(db, READING, {}):
                found = self.execute(query, parameters)
            return found.fetchall()
        try:
            return self.execute(query, parameters).fetchall()
        except psycopg.Error as error:
            if whose(error) is Whose.CONNECTION:
                db.close()
            raise

    def commit_one(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a statement that writes and is a whole transaction. If the connection is dead it runs again over
        a new one, so repeating it must do no harm."""
        db = self.open()
        if self._unanswered:
            self._refuse_to_pile_up(db)
        if not db.is_direct:
            with self.transaction({}):
                found = self.execute(query, parameters)
            return found.fetchall()
        try:
            return self.fetch(query, parameters)
        except psycopg.Error as error:
            if not is_definite(error):
                self._unanswered = (self._db or db).pid
            raise

    @contextmanager
    def transaction(self, settings: Mapping[str, str], pipelined: bool = True) -> Iterator[None]:
        """One transaction, with these `settings`. If `pipelined`, queries do not wait for each other's answers."""
        self.in_doubt = False
        db = self._open_afresh()
        if self._unanswered:
            self._refuse_to_pile_up(db)
        with self._begun(db, WRITING, settings, pipelined):
            yield

    @contextmanager
    def _begun(self, db: Connection, how: str, settings: Mapping[str, str], pipelined: bool = True) -> Iterator[None]:
        """A transaction. After an error the connection is as good as new, or closed."""
        committing, self._inside = False, True
        try:
            with db.pipeline() if pipelined else nullcontext():
                self.execute("BEGIN" if db.is_direct else how)
                self._set({**({} if db.is_direct else db.relied_on()), **settings})
                yield
                committing = True
                self.execute("COMMIT")
        except psycopg.Error as error:
            if committing and how == WRITING and not is_definite(error):
                self.in_doubt, self._unanswered = True, db.pid
            # Refused at BEGIN or COMMIT itself: then the driver cannot tell which of the queries behind were prepared.
            if whose(error) is Whose.CONNECTION or _is_idle(db):
                db.close()
            self._roll_back(db)
            raise
        except BaseException:
            self._roll_back(db)
            raise
        finally:
            self._inside = False

    def _set(self, settings: Mapping[str, str]) -> None:
        """Sets these for this transaction, and a durable commit unless they say otherwise."""
        calls = ["set_config(%s, %s, true)"] * len(settings)
        if "synchronous_commit" not in settings:
            calls.append(DURABLE)
        self.execute("SELECT " + ", ".join(calls), [word for each in settings.items() for word in each])

    def _roll_back(self, db: Connection) -> None:
        """Rolls back by the driver's own method, which also forgets prepared queries."""
        if db.closed or _is_idle(db):
            return
        try:
            db.rollback()
        except psycopg.Error:
            db.close()  # the server rolls back when the connection ends

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


def _is_idle(db: Connection) -> bool:
    return not db.closed and db.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
