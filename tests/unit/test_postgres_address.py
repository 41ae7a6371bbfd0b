"""Addresses of PostgreSQL stores are what libpq takes, and no password is ever repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg import conninfo
from psycopg.errors import UndefinedTable

from queuectl.domain.errors import Invalid, StoreUnavailable
from queuectl.places import is_server
from queuectl.store.postgres.address import access, parse_address, url_of_words
from queuectl.store.postgres.errors import translated

SECRET = "correct-horse"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("postgresql:///work", {"dbname": "work"}),
        ("postgresql:///work?host=/run/pg", {"dbname": "work", "host": "/run/pg"}),
        ("postgresql://%2Frun%2Fpg/work", {"dbname": "work", "host": "/run/pg"}),
        ("postgresql://?service=work", {"service": "work"}),
        ("postgres://me@db:1/work?options=-c%20jit%3Doff", {
            "user": "me", "host": "db", "port": "1", "dbname": "work", "options": "-c jit=off"}),
        ("postgresql://a,b/work?target_session_attrs=read-write", {
            "host": "a,b", "port": ",", "dbname": "work", "target_session_attrs": "read-write"}),
        ("postgresql://[::1]:5/work", {"host": "::1", "port": "5", "dbname": "work"}),
        ("postgresql:///work?user=me@server", {"user": "me@server", "dbname": "work"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("schema", ["", "schema=mine"])
def test_an_address_means_what_libpq_takes_it_for(url: str, meant: dict[str, str], schema: str) -> None:
    url += ("&" if "?" in url else "?") + schema if schema else ""
    address = parse_address(url)
    assert conninfo.conninfo_to_dict(address.server) == meant
    assert address.schema == ("mine" if schema else "queuectl")
    assert address.shown == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{SECRET}@db/work", "postgresql://me@db/work"),
        (f"postgresql://me:{SECRET}?x#y@db/work", "postgresql://me@db/work"),
        (f"postgresql:///work?password={SECRET}&schema=a", "postgresql:///work?schema=a"),
        (f"postgresql:///work?user=me&passwor%64={SECRET}", "postgresql:///work?user=me"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert parse_address(url).shown == shown


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:correct@{SECRET}@db/work", f"postgresql://me:{SECRET}/x@db/work", f"postgresql://me:{SECRET}@[db",
        f"postgresql://me:{SECRET}@db/work?nonsense=1",
    ],
)  # fmt: skip
def test_what_libpq_would_misread_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Invalid, match="not a PostgreSQL address") as refused:
        parse_address(url)
    assert "correct" not in str(refused.value)
    assert SECRET not in refused.value.hint


@pytest.mark.parametrize(
    ("words", "url"),
    [
        ("host=db dbname=work", "postgresql://db/work"),
        (f"host=db port=1 user='a b' password={SECRET} dbname=work", "postgresql://a%20b@db:1/work"),
        ("dbname=work host=/run/pg port=5433", "postgresql:///work?port=5433&host=/run/pg"),
        ("service=work", "postgresql:///?service=work"),
        ("dbname=work options='-c jit=off'", "postgresql:///work?options=-c%20jit%3Doff"),
        ("host='", "postgresql://USER@HOST:PORT/DATABASE"),
    ],
)
def test_a_connection_string_is_refused_with_the_url_that_means_the_same(words: str, url: str) -> None:
    with pytest.raises(Invalid, match="connection string") as refused:
        is_server(words)
    assert refused.value.hint == f"write it as: {url}"
    if "HOST" not in url:
        meant = {name: value for name, value in conninfo.conninfo_to_dict(words).items() if name != "password"}
        assert conninfo.conninfo_to_dict(url_of_words(words)) == meant


@pytest.mark.parametrize(
    ("given", "told", "line"),
    [
        ("postgresql://u:p%3A%5Cq@h/d?schema=s", "postgresql://u@h/d?schema=s&passfile={}", r"*:*:*:*:p\:\\q"),
        ("postgresql://u@h,i/d?password=x&passfile=/old", "postgresql://u@h,i/d?passfile={}", "*:*:*:*:x"),
        ("postgresql://u@h/d?passfile=/own&sslpassword=x", "postgresql://u@h/d?passfile=/own", None),
        ("postgresql:///d", "postgresql:///d", None),
    ],
)
def test_commands_get_an_address_with_the_password_in_a_file(
    given: str, told: str, line: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "a b"
    address = access(parse_address(given)).by_way_of(file)
    assert address == told.format(str(file).replace(" ", "%20"))
    assert file.exists() is (line is not None)
    if line is not None:
        assert file.read_text() == f"{line}\n"
        assert file.stat().st_mode & 0o777 == 0o600
        assert conninfo.conninfo_to_dict(parse_address(address).server)["passfile"] == str(file)


def test_a_store_without_its_tables_is_not_only_to_be_made_again() -> None:
    """`init` finds a schema that has lost some of its tables, and leaves it as it is."""
    address = parse_address("postgresql:///work?schema=q")
    with pytest.raises(StoreUnavailable, match="not a queuectl store any more") as refused, translated(address):
        raise UndefinedTable('relation "q.jobs" does not exist')
    assert refused.value.hint.endswith(
        'if that finds it, restore the database, or remove what is left: DROP SCHEMA "q" CASCADE'
    )
