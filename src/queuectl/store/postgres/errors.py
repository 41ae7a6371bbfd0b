"""What the server's errors mean: the cause of each, and the message in our words.

Only this module decides it. The cause is the *request* (it will never succeed), the *moment* (the same request may
succeed soon, over the same connection), or the *connection*: then nothing that the driver knows about the session can
be trusted, and the connection is closed. An error that is not listed here is the connection's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import psycopg
from psycopg import conninfo

from queuectl.domain.errors import Conflict, Invalid, QueuectlError, StoreBusy, StoreUnavailable
from queuectl.store.postgres.address import SECRET_OPTIONS, Address
from queuectl.store.values import MOVED, Moved
from queuectl.typed import NamedTuple


class Whose(Enum):
    """The cause of an error."""

    REQUEST = "request"
    MOMENT = "moment"
    CONNECTION = "connection"


class Meaning(NamedTuple):
    """What an error means. `what` follows "the store URL"; `{why}` in it is the server's own message, and `{schema}` in
    the hint the store's schema."""

    whose: Whose
    kind: type[QueuectlError]
    what: str
    hint: str


REQUEST, MOMENT, CONNECTION = Whose.REQUEST, Whose.MOMENT, Whose.CONNECTION
GONE = "is not a queuectl store any more: {why}"
MADE_AGAIN = (
    "make it again with: queuectl init; if that finds it, restore the database, or remove what is left: "
    'DROP SCHEMA "{schema}" CASCADE'
)
"""`init` looks for the schema alone."""
READ_ONLY = Meaning(
    CONNECTION, StoreUnavailable, "is read-only: {why}", "if it is a standby, connect to the primary server"
)

BY_STATE: dict[str, Meaning] = {
    "0A000": READ_ONLY,
    "22": Meaning(
        REQUEST, Invalid, "cannot hold a value: {why}", "text must be UTF-8 without NUL, numbers fit into 64 bits"
    ),
    "23": Meaning(REQUEST, Conflict, "refused the change: {why}", ""),
    "25006": READ_ONLY,
    "25P": Meaning(CONNECTION, StoreBusy, "broke off what took too long: {why}", "try again"),
    "28": Meaning(
        CONNECTION, StoreUnavailable, "refused the login: {why}", "check user and password, e.g. in ~/.pgpass"
    ),
    "28HBA": Meaning(
        CONNECTION,
        StoreUnavailable,
        "refused the login: {why}",
        "allow it in the server's pg_hba.conf, or connect with TLS (?sslmode=require)",
    ),
    "28ROL": Meaning(
        CONNECTION,
        StoreUnavailable,
        "refused the login: {why}",
        "name another user in the address, or make the role: createuser NAME",
    ),
    "28LOG": Meaning(
        CONNECTION,
        StoreUnavailable,
        "refused the login: {why}",
        "name another user in the address, or allow it: ALTER ROLE … LOGIN",
    ),
    "3D000": Meaning(CONNECTION, StoreUnavailable, "cannot be used: {why}", "make the database first: createdb NAME"),
    "3F000": Meaning(REQUEST, StoreUnavailable, GONE, MADE_AGAIN),
    "40": Meaning(MOMENT, StoreBusy, "was busy with another session", "try again"),
    "42501": Meaning(
        REQUEST, StoreUnavailable, "does not let this role work: {why}", "GRANT it what is missing, or use another role"
    ),
    "42P01": Meaning(REQUEST, StoreUnavailable, GONE, MADE_AGAIN),
    "53100": Meaning(CONNECTION, StoreUnavailable, "cannot grow: the disk is full", "free some space on the server"),
    "53300": Meaning(
        CONNECTION,
        StoreUnavailable,
        "has no free connection: {why}",
        "raise max_connections, or put pgbouncer in between",
    ),
    "53300LIMIT": Meaning(
        CONNECTION,
        StoreUnavailable,
        "has no free connection: {why}",
        "raise its CONNECTION LIMIT by ALTER DATABASE or ALTER ROLE, or put pgbouncer in between",
    ),
    "55P03": Meaning(
        MOMENT, StoreBusy, "is locked by another session", "try again; see who: SELECT * FROM pg_stat_activity"
    ),
    "57014": Meaning(MOMENT, StoreBusy, "took too long: {why}", "try again"),
    "57P": Meaning(CONNECTION, StoreUnavailable, "is shutting down or starting", "wait until it is there again"),
    "57P05": Meaning(CONNECTION, StoreUnavailable, "closed an idle session", "try again"),
    "TLS": Meaning(
        CONNECTION,
        StoreUnavailable,
        "cannot be reached with TLS as asked: {why}",
        "check sslmode and the certificates, on the server and in the address",
    ),
}
"""By the beginning of the server's error code; the longest match counts."""

WORDS: tuple[tuple[str, str], ...] = (
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects", "28HBA"),
    (r'role ".*" does not exist', "28ROL"),
    (r"is not permitted to log in", "28LOG"),
    (r"authentication failed|no password supplied|password is required|authentication method", "28"),
    (r'database ".*" does not exist', "3D000"),
    (r"too many connections for (database|role)", "53300LIMIT"),
    (r"too many clients|too many connections|remaining connection slots|no more connections|max_client_conn", "53300"),
    (r"the database system is|shutting down|terminating connection", "57P"),
    (r"\bSSL\b|\bTLS\b|certificate", "TLS"),
)
"""Codes for messages that come without one: libpq does not pass on the code of a refused login."""


def state_of(error: psycopg.Error) -> str:
    """The error's code; empty if it has none and its words are not known."""
    if error.sqlstate is not None:
        return error.sqlstate
    text = str(error)
    return next((state for words, state in WORDS if re.search(words, text)), "")


def meaning_of(error: psycopg.Error) -> Meaning | None:
    """What an error means; None if it is not expected."""
    state = state_of(error)
    return next((BY_STATE[state[:end]] for end in range(len(state), 0, -1) if state[:end] in BY_STATE), None)


def whose(error: psycopg.Error) -> Whose:
    """The cause of an error."""
    meaning = meaning_of(error)
    return meaning.whose if meaning and error.sqlstate is not None else CONNECTION


def passes_with_connection(error: psycopg.Error) -> bool:
    """Whether the same query is likely to succeed over another connection at once."""
    return error.sqlstate is None or error.sqlstate.startswith(("08", "0A", "25P", "26", "57P"))


def is_definite(error: psycopg.Error) -> bool:
    """Whether the server itself says that the transaction failed. If it ends the session, it may have committed."""
    return error.sqlstate is not None and error.diag.severity_nonlocalized == "ERROR"


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Converts the driver's errors to ours."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error, address) from None  # the driver's own words may hold the password
    except (UnicodeEncodeError, OverflowError) as error:
        raise Invalid(
            f"the store cannot hold a value: {error}", "text must be UTF-8, numbers fit into 64 bits"
        ) from error


def _translate(error: psycopg.Error, address: Address) -> QueuectlError:
    why = _first_line(error, address)
    if why.startswith(MOVED):
        return Moved(address.shown, why.removeprefix(MOVED))
    if meaning := meaning_of(error):
        hint = meaning.hint.format(schema=address.schema)
        return meaning.kind(f"the store {address.shown} {meaning.what.format(why=why)}", hint)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailable(f"cannot reach the store {address.shown}: {why}", _hint(str(error)))
    if isinstance(error, psycopg.DataError):
        return Invalid(f"the store cannot hold a value: {why}", "text must be UTF-8 without NUL")
    return StoreUnavailable(f"the store {address.shown} failed: {why}", "run: queuectl doctor")


UNREACHED: tuple[tuple[str, str], ...] = (
    ("server_login_retry", "pgbouncer asks the server again only after its server_login_retry (15 s); set it to 1"),
    ("FATAL:", "the server answered; its own words say why"),
    ("resolve host|translate host", "check the host in the address"),
    ("connection is bad: (?!connection to server)|channel binding|not in hot standby|is read-only",
     "check the address and what it asks of the connection"),
)  # fmt: skip
"""Hints by what the driver says where no connection comes about."""


def _hint(text: str) -> str:
    return next((hint for words, hint in UNREACHED if re.search(words, text)), "is the server running?")


PREFACE = re.compile(r'^(connection failed: )?(connection to server (at|on socket) ".*?(?<!:) failed: )?(FATAL:  )?')


def _first_line(error: psycopg.Error, address: Address) -> str:
    text = error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__
    text = PREFACE.sub("", text)
    for name, secret in conninfo.conninfo_to_dict(address.server).items():
        if name in SECRET_OPTIONS:
            text = text.replace(str(secret), "***")
    return text
