"""The schema of a PostgreSQL store: makes it, brings it up to date, empties it.

Any number of hosts may start at once: each step runs under a lock that ends with its transaction.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psycopg

from queuectl import ids
from queuectl.domain.errors import StoreUnavailable, no_store
from queuectl.store.identity import home_in_server, is_same
from queuectl.store.postgres import function
from queuectl.store.postgres.address import Address
from queuectl.store.postgres.connection import Line
from queuectl.store.postgres.errors import translated
from queuectl.store.shared import migrations
from queuectl.typed import NamedTuple

HOME_STEP = 6
"""The migration that records where a store is at home."""
DELETED_BYTES_MAX = 1 << 20
"""The rows of a table up to this size are deleted one by one. To truncate it makes new files for it and its indexes."""


class Identity(NamedTuple):
    """Which store this is. `is_copy`: its tables came from another database, for example by a dump."""

    store_id: str
    home: str
    is_copy: bool
    schema: int
    is_behind: bool


def open_schema(line: Line, address: Address, make: bool) -> Identity:
    """The identity of a store. Makes a missing one, or without `make` raises `StoreUnavailable`. An older one stays."""
    with translated(address):
        found = _facts(line, address)
        current = int(found.get("schema", 0))
        if not current and not make:
            raise no_store(address.shown)
        if _is_behind(found):
            return _identity(found, find_home(line, address))
        return bring_up_to_date(line, address, found)


def bring_up_to_date(line: Line, address: Address, found: Mapping[str, str] | None = None) -> Identity:
    """Runs the steps that are missing; `found` is what the store's table of facts says."""

    def oldest_reader(schema: int) -> int | None:
        found = facts.get(f"oldest reader of schema {schema}")
        return int(found) if found else None

    with translated(address):
        facts = _facts(line, address) if found is None else found
        if not facts.get("schema"):
            _make_tables(line, address)
            facts = _facts(line, address)
        current = int(facts.get("schema", 0))
        migrations.migrate(
            "postgres", current, address.shown, oldest_reader, lambda number, sql: _run_step(line, address, number, sql)
        )
        if _is_behind(facts):
            _replace_function(line, address)
            facts = _facts(line, address)
        return _identity(facts, find_home(line, address))


def find_identity(line: Line, address: Address) -> Identity:
    """Finds out which store is there now."""
    with translated(address):
        return _identity(_facts(line, address), find_home(line, address))


def _identity(facts: Mapping[str, str], home: str) -> Identity:
    is_copy = not is_same(facts.get("home"), home)
    return Identity(str(facts.get("store_id")), home, is_copy, int(facts.get("schema", 0)), _is_behind(facts))


def _is_behind(facts: Mapping[str, str]) -> bool:
    """Whether a store, if there is one, lacks a step, or has the SQL function of an older release."""
    current = int(facts.get("schema", 0))
    is_newer = current > max(migrations.numbered("postgres"))
    return migrations.is_behind("postgres", current) or bool(
        current and not is_newer and function.is_due(facts.get(function.FACT))
    )


def find_home(line: Line, address: Address) -> str:
    """Where the store is, see store/identity.py.

    Empty if an administrator revoked the right to read it; that counts as the same place.
    """
    query = (
        "SELECT (SELECT system_identifier FROM pg_control_system()), "
        "(SELECT oid::bigint FROM pg_database WHERE datname = current_database()), to_regclass(%s)::oid::bigint"
    )
    try:
        ((cluster, database, table),) = line.fetch(query, [f'"{address.schema}".workers'])
    except psycopg.errors.InsufficientPrivilege:
        return ""
    return home_in_server(cluster, database, table)


def _facts(line: Line, address: Address) -> dict[str, str]:
    """The store's table of facts; empty if there is none."""
    try:
        return dict(line.fetch(f'SELECT name, value FROM "{address.schema}".meta'))
    except psycopg.errors.UndefinedTable:
        return {}


def _make_tables(line: Line, address: Address) -> None:
    """Makes all of a store at once, unless another host was faster."""
    may_read_home = bool(find_home(line, address))  # an error would end the transaction
    database = line.open().info.dbname
    with _changing(line, address):
        if _known_now(line, address):
            return
        _make_schema(line, address, database)
        for text in (migrations.whole_text("postgres"), function.script()):
            line.execute(text.replace("{schema}", f'"{address.schema}"'))
        steps = {number: migrations.step_text("postgres", number) for number in migrations.numbered("postgres")}
        facts = {f"oldest reader of schema {number}": str(migrations.oldest_reader(steps[number])) for number in steps}
        facts |= {"schema": str(max(steps)), "store_id": ids.random_id(16), function.FACT: function.stamp()}
        _remember(line, address, {**facts, "home": find_home(line, address) if may_read_home else ""})


def _run_step(line: Line, address: Address, number: int, text: str) -> None:
    home = find_home(line, address) if number == HOME_STEP else ""  # an error would end the transaction
    with _changing(line, address):
        if _known_now(line, address) >= number:  # another host was faster
            return
        line.execute(text.replace("{schema}", f'"{address.schema}"'))
        facts = {"schema": str(number), f"oldest reader of schema {number}": str(migrations.oldest_reader(text))}
        if number == HOME_STEP:
            facts["home"] = home
        _remember(line, address, facts)


def _replace_function(line: Line, address: Address) -> None:
    """Brings the SQL function `enqueue` up to date, if this role may; otherwise its owner will."""
    schema = f'"{address.schema}"'
    may = (
        "SELECT pg_has_role(proowner, 'USAGE') AND has_schema_privilege(pronamespace, 'CREATE') FROM pg_proc "
        "WHERE oid = to_regprocedure(%s)"
    )
    if line.fetch(may, [f"{schema}.enqueue(jsonb)"]) != [(True,)]:
        return
    with _changing(line, address):
        found = line.fetch(f"SELECT value FROM {schema}.meta WHERE name = %s", [function.FACT])
        if function.is_due(found[0][0] if found else None):  # no other host was faster
            line.execute(function.script().replace("{schema}", schema))
            _remember(line, address, {function.FACT: function.stamp()})


@contextmanager
def _changing(line: Line, address: Address) -> Iterator[None]:
    """A transaction in which nobody else changes the schema."""
    info = line.open().info
    role, database = info.user, info.dbname
    try:
        with line.transaction({}, pipelined=False):
            line.execute("SELECT pg_advisory_xact_lock(%s, %s)", (zlib.crc32(b"queuectl") >> 1, _key(address)))
            yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise _may_not(address, role, database, error) from None


def _remember(line: Line, address: Address, facts: Mapping[str, str]) -> None:
    meta = f'"{address.schema}".meta'
    line.execute(f"DELETE FROM {meta} WHERE name = ANY (%s)", [[*facts]])
    line.execute(f"INSERT INTO {meta} SELECT * FROM unnest(%s::text[], %s::text[])", [[*facts], [*facts.values()]])


def _known_now(line: Line, address: Address) -> int:
    """The schema's number. A missing table causes no error, which would end the transaction."""
    table = f'"{address.schema}".meta'
    ((there,),) = line.fetch("SELECT to_regclass(%s)", (table,))
    found = line.fetch(f"SELECT value FROM {table} WHERE name = 'schema'") if there else []
    return int(found[0][0]) if found else 0


def _make_schema(line: Line, address: Address, database: str) -> None:
    ((encoding,),) = line.fetch("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise StoreUnavailable(
            f"the database {database} has the encoding {encoding}, and queuectl needs UTF8",
            "make it with: createdb -E UTF8 -T template0 NAME",
        )
    there = line.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (address.schema,)).fetchone()
    if there is None:
        line.execute(f'CREATE SCHEMA "{address.schema}"')


def _key(address: Address) -> int:
    return zlib.crc32(address.schema.encode()) >> 1


def _may_not(address: Address, role: str, database: str, error: psycopg.Error) -> StoreUnavailable:
    return StoreUnavailable(
        f"the role {role} may not make the tables of the store {address.shown}: {error.diag.message_primary}",
        f'as the owner of the database {database} run: CREATE SCHEMA IF NOT EXISTS "{address.schema}"; '
        f'GRANT USAGE, CREATE ON SCHEMA "{address.schema}" TO "{role}";',
    )


def empty(line: Line, address: Address) -> None:
    """Removes everything from a store and gives it a new identity."""
    home = find_home(line, address)
    with translated(address), line.transaction({}, pipelined=False):
        clear(line, address, home)


def clear(line: Line, address: Address, home: str) -> None:
    """The same within the caller's transaction, also for a store of an older release."""
    schema = f'"{address.schema}"'
    known = [f"{schema}.{table}" for table in migrations.tables("postgres") if table != "meta"]
    found = line.fetch("SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL", [known])
    tables = [name for (name,) in found]
    line.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
    line.execute(f"DROP FUNCTION IF EXISTS {schema}.moved CASCADE")
    sizes = line.fetch("SELECT pg_total_relation_size(of) FROM unnest(%s::regclass[]) AS of", [tables])
    large = [table for table, (size,) in zip(tables, sizes, strict=True) if size > DELETED_BYTES_MAX]
    if large:
        line.execute(f"TRUNCATE {', '.join(large)}")
    line.execute("; ".join(f"DELETE FROM {table}" for table in tables if table not in large))
    line.execute(f"DELETE FROM {schema}.meta WHERE name = 'moved to'")
    _remember(line, address, {"store_id": ids.random_id(16), "home": home})
