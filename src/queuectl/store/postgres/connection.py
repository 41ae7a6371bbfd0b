"""The line to a PostgreSQL server: its address, opening it again and again, transactions, errors in our words.

Nothing here depends on a session: no session setting, no session lock. So a pooler that gives every transaction
another session (pgbouncer) may stand in between. Only where none does are queries that come again and again prepared.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import conninfo

from queuectl.domain.errors import Conflict, Invalid, QueuectlError, StoreBusy, StoreUnavailable

DEFAULT_SCHEMA = "queuectl"
SECRET_OPTIONS = frozenset({"password", "sslpassword"})
ADDRESS_FORM = (
    "write it as postgresql://USER@HOST:PORT/DATABASE, with ?schema=NAME for another schema than queuectl; the signs "
    "/ @ : ? # in a password as %2F %40 %3A %3F %23"
)

PATIENCE: Mapping[str, Any] = {
    "connect_timeout": 3, "keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
    "tcp_user_timeout": 10_000, "fallback_application_name": "queuectl", "client_encoding": "UTF8",
}  # fmt: skip
"""How we connect unless the address says otherwise: a server that has vanished is noticed in about ten seconds."""
IDLE_S = 1.0
"""After so long without use a connection is tried before it is trusted with a transaction."""
RETRY_FIRST_S, RETRY_LAST_S = 0.1, 2.0
"""Pauses before connecting is tried again, doubling; until then every use fails at once."""

PREPARE_FROM = 5
"""So many transactions on one connection, and uses of a query then, make it worth preparing."""

PLANS = dict.fromkeys(("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "jit"), "off")
"""What we write we find by an index, row by row. Without this a planner that has not seen the latest thousands of jobs
reads the whole table at every claim."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits only so long for the server's answer, if it is told so."""

    answer_within_s: float | None = None
    is_given_up = False
    transactions = 0

    def is_direct(self) -> bool:
        """Whether the server itself is at the other end. A pooler shows another process number than the server."""
        found = self.execute("SELECT pg_backend_pid()").fetchone()
        return found == (self.info.backend_pid,)

    def begins(self) -> None:
        """Another transaction is about to begin. Whoever has had some will have more: from then on the server keeps
        its parsed and planned queries, where all of this connection go to one session."""
        self.transactions += 1
        if self.transactions == PREPARE_FROM and self.is_direct():
            self.prepare_threshold = PREPARE_FROM

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, self.answer_within_s if timeout is None else timeout)
        except psycopg.errors._WaitTimeout:
            if timeout is None:
                self.is_given_up = True
                self.close()  # whatever comes now comes too late
                raise psycopg.OperationalError(f"no answer within {self.answer_within_s:g} seconds") from None
            raise


class Address(NamedTuple):
    """Where a store is: as `given` (with any password, for programs), as `shown` to people, and in parts."""

    given: str
    shown: str
    server: str
    schema: str


def parse_address(url: str) -> Address:
    """The address in a URL. Raises `Invalid`, which never repeats a password."""
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        server = urlunsplit(parts._replace(query=urlencode([each for each in options if each[0] != "schema"])))
        conninfo.conninfo_to_dict(server)
        if "@" in parts.path:
            raise ValueError("a password with a slash in it")
    except (ValueError, psycopg.Error):
        raise Invalid("that is no PostgreSQL address", ADDRESS_FORM) from None
    schema = dict(options).get("schema", DEFAULT_SCHEMA)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,47}", schema):
        raise Invalid(f"{schema!r} is no name for a schema", "up to 48 of A-Z a-z 0-9 _, the first no digit")
    user, at, host = parts.netloc.rpartition("@")
    harmless = urlencode([each for each in options if each[0] not in SECRET_OPTIONS], safe="/")
    shown = urlunsplit(parts._replace(netloc=user.partition(":")[0] + at + host, query=harmless))
    return Address(given=url, shown=shown, server=server, schema=schema)


class Line:
    """A connection that is opened when it is needed, and again when it broke. For one thread."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._db: Connection | None = None
        self._refusal: StoreUnavailable | None = None
        self._retry_at = 0.0
        self._retry_s = RETRY_FIRST_S
        self.answer_within_s: float | None = None
        self.in_doubt = False
        """Whether the last transaction failed while it was being committed: nobody knows whether it was."""
        self._inside = False
        self._used_at = 0.0

    def open(self) -> Connection:
        """The connection. Raises `StoreUnavailable`: after a failure at once, until it is time to try again."""
        if self._db is not None and not self._db.closed:
            return self._db
        if self._refusal is not None and time.monotonic() < self._retry_at:
            raise StoreUnavailable(self._refusal.message, self._refusal.hint)
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
        """The connection, which has just answered or is new. One that idles may be dead without our knowing."""
        db = self.open()
        if time.monotonic() - self._used_at > IDLE_S:
            try:
                db.execute("SELECT 1")
            except psycopg.OperationalError:
                db.close()
                db = self.open()
        return db

    def _connect(self) -> Connection:
        options = {**PATIENCE, **conninfo.conninfo_to_dict(self._address.server)}
        return Connection.connect(**options, autocommit=True, prepare_threshold=None)

    def execute(self, query: str, parameters: Any = None) -> psycopg.Cursor[tuple[Any, ...]]:
        """Runs a query, or in a transaction sends it; what it finds is waited for when it is fetched."""
        db = self.open()
        db.answer_within_s = self.answer_within_s
        self._used_at = time.monotonic()
        return db.execute(query.encode(), parameters)

    def copy_in(self, query: str, pieces: Iterable[str]) -> None:
        """Streams the text that a COPY reads. Not where queries are pipelined."""
        db = self.open()
        db.answer_within_s = None  # the server answers once it has all, however long that takes
        with db.cursor() as cursor, cursor.copy(query.encode()) as copying:
            for piece in pieces:
                copying.write(piece)

    def fetch(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a query. Outside a transaction, over a new connection where the old one turns out to be dead."""
        db = self.open()
        try:
            return self.execute(query, parameters).fetchall()
        except psycopg.OperationalError as error:
            if self._inside or db.is_given_up or not _is_lost(error):
                raise
            db.close()
            return self.execute(query, parameters).fetchall()

    @contextmanager
    def transaction(self, settings: Mapping[str, str], pipelined: bool = True) -> Iterator[None]:
        """One atomic step, in which queries travel without waiting for each other's answers, if it is `pipelined`."""
        db = self._open_afresh()
        db.begins()
        self.in_doubt, self._inside = False, True
        try:
            with db.pipeline() if pipelined else nullcontext():
                self.execute("BEGIN")
                chosen = {**PLANS, **settings}
                marks = ", ".join(["set_config(%s, %s, true)"] * len(chosen))
                self.execute(f"SELECT {marks}", [word for each in chosen.items() for word in each])
                yield
                self.in_doubt = True
                self.execute("COMMIT")
            self.in_doubt = False
        except BaseException:
            self._roll_back(db)
            raise
        finally:
            self._inside = False

    def _roll_back(self, db: Connection) -> None:
        if db.closed or db.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            return
        try:
            db.execute("ROLLBACK")
        except psycopg.Error:
            db.close()  # the server rolls back what it no longer hears of

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


def _is_lost(error: psycopg.Error) -> bool:
    """Whether an error is the end of its connection."""
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """The driver's errors as the error tree's. Nothing of the transaction has happened then, unless its COMMIT had
    been sent: then nobody knows."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error, address) from None  # the driver's own words may hold the password
    except (UnicodeEncodeError, OverflowError) as error:
        raise Invalid(
            f"the store cannot hold a value: {error}", "text must be UTF-8, numbers fit into 64 bits"
        ) from error


BY_STATE: tuple[tuple[str, type[QueuectlError], str, str], ...] = (
    ("55P03", StoreBusy, "is locked by another session", "try again; see who: SELECT * FROM pg_stat_activity"),
    ("40", StoreBusy, "was busy with another session", "try again"),
    ("57014", StoreBusy, "took too long", "try again"),
    ("57P", StoreUnavailable, "is shutting down or starting", "wait until it is there again"),
    ("22", Invalid, "cannot hold a value: {why}", "text must be UTF-8 without NUL, numbers fit into 64 bits"),
    ("23", Conflict, "refused the change: {why}", ""),
    ("28", StoreUnavailable, "refused the login: {why}", "check user and password, e.g. in ~/.pgpass"),
    ("3D000", StoreUnavailable, "cannot be used: {why}", "make the database first: createdb NAME"),
    ("3F000", StoreUnavailable, "is no queuectl store any more: {why}", "make it anew with: queuectl init"),
    ("42P01", StoreUnavailable, "is no queuectl store any more: {why}", "make it anew with: queuectl init"),
    ("42501", StoreUnavailable, "does not let this role work: {why}", "GRANT it what is missing, or use another role"),
    ("25006", StoreUnavailable, "is read-only, perhaps a standby", "connect to the primary server"),
    ("53100", StoreUnavailable, "cannot grow: the disk is full", "free some space on the server"),
    ("53300", StoreUnavailable, "has no free connection", "raise max_connections, or put pgbouncer in between"),
)
"""What the server's error codes mean (by their beginnings), and what would put it right."""


def _translate(error: psycopg.Error, address: Address) -> QueuectlError:
    why = _first_line(error, address)
    state = error.sqlstate or ""
    for beginning, kind, what, hint in BY_STATE:
        if state.startswith(beginning):
            return kind(f"the store {address.shown} {what.format(why=why)}", hint)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        answered = "FATAL:" in why  # a refused connection has no code, only the server's words
        hint = "it answered; a missing database is made by: createdb NAME" if answered else "is the server running?"
        return StoreUnavailable(f"cannot reach the store {address.shown}: {why}", hint)
    if isinstance(error, psycopg.DataError):
        return Invalid(f"the store cannot hold a value: {why}", "text must be UTF-8 without NUL")
    return StoreUnavailable(f"the store {address.shown} failed: {why}", "run: queuectl doctor")


def _first_line(error: psycopg.Error, address: Address) -> str:
    text = error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__
    text = re.sub(r'^connection failed: |^connection to server (at|on socket) ".*?(?<!:) failed: ', "", text)
    secrets = {value for name, value in conninfo.conninfo_to_dict(address.server).items() if name in SECRET_OPTIONS}
    for secret in secrets:
        text = text.replace(str(secret), "***")
    return text
