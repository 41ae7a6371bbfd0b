"""Where a PostgreSQL store is: the URLs that libpq takes, and `?schema=NAME` for us.

The text of a URL stays as it was given, since libpq has its own rules (for example, a `+` is not a blank).
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import psycopg
from psycopg import conninfo

from queuectl.domain.errors import Invalid
from queuectl.store.passfile import Access
from queuectl.typed import NamedTuple

DEFAULT_SCHEMA = "queuectl"
SECRET_OPTIONS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
ADDRESS_FORM = (
    "write it as postgresql://USER@HOST:PORT/DATABASE, with ?schema=NAME for another schema than queuectl; the "
    "characters / @ : ? # in a password as %2F %40 %3A %3F %23"
)


class Address(NamedTuple):
    """Where a store is: as `given` (with any password, for programs), as `shown` to people, and in parts."""

    given: str
    shown: str
    server: str
    schema: str


def parse_address(url: str) -> Address:
    """The address in a URL. Raises `Invalid`, which never repeats a password."""
    kind, _, rest = url.partition("://")
    login, at = _login(rest)
    place, _, query = rest[len(login + at) :].partition("?")
    options = [option for option in query.split("&") if option]
    server = _url(kind, login + at + place, [option for option in options if _key(option) != "schema"])
    if "@" in place or not _is_taken_by_libpq(server):
        raise Invalid("that is not a PostgreSQL address", ADDRESS_FORM)
    schemas = [unquote(option.partition("=")[2]) for option in options if _key(option) == "schema"]
    schema = schemas[-1] if schemas else DEFAULT_SCHEMA
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,47}", schema):
        raise Invalid(f"{schema!r} is not a name for a schema", "up to 48 of A-Z a-z 0-9 _, the first not a digit")
    harmless = [option for option in options if _key(option) not in SECRET_OPTIONS]
    shown = _url(kind, login.partition(":")[0] + at + place, harmless)
    return Address(given=url, shown=shown, server=server, schema=schema)


def access(address: Address) -> Access:
    """How commands reach the store. Secrets other than a password are not handed on."""
    parts = conninfo.conninfo_to_dict(address.server)
    secret = parts.get("password")
    if not secret:
        return Access(address.shown)
    place, _, query = address.shown.partition("?")
    options = [option for option in query.split("&") if _key(option) not in ("", "passfile")]
    return Access(f"{place}{'?' if options else ''}{'&'.join(options)}", str(secret))


def _login(rest: str) -> tuple[str, str]:
    """User with password, and the `@` after them: as in libpq, up to the first `@` if no `/` comes before it."""
    found = re.match(r"([^@/]*)(@)", rest)
    return (found[1], found[2]) if found else ("", "")


def _key(option: str) -> str:
    return unquote(option.partition("=")[0])


def _url(kind: str, place: str, options: list[str]) -> str:
    return f"{kind}://{place}{'?' if options else ''}{'&'.join(options)}"


def _is_taken_by_libpq(server: str) -> bool:
    try:
        conninfo.conninfo_to_dict(server)
    except (ValueError, psycopg.Error):
        return False
    return True


def url_of_words(words: str) -> str:
    """The URL that means the same as a connection string (`host=db dbname=work`), without its secrets."""
    try:
        parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(words).items()}
    except (ValueError, psycopg.Error):
        return "postgresql://USER@HOST:PORT/DATABASE"
    host = parts.pop("host", "")
    if "/" in host or "," in host:
        parts["host"], host = host, ""
    user, port = parts.pop("user", ""), parts.pop("port", "") if host else ""
    place = f"{quote(user, '')}{'@' if user else ''}{host}{':' if port else ''}{port}/{quote(parts.pop('dbname', ''))}"
    options = [f"{name}={quote(value, '/,')}" for name, value in parts.items() if name not in SECRET_OPTIONS]
    return _url("postgresql", place, options)
