"""A new store, whose tables are made at once, is what all steps make one after the other; and so is an emptied one."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from queuectl.store.postgres import function, schema
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.shared import migrations
from queuectl.store.sqlite.connection import connect_in_memory, sqlite3
from queuectl.store.sqlite.session import _statements
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import a_job
from tests.server import drop_schema, new_schema

FACTS = "SELECT name, value FROM {schema}.meta WHERE name NOT IN ('store_id', 'home', 'schema') ORDER BY name"
IN_SERVER = (
    "SELECT table_name, ordinal_position, column_name, data_type, column_default, is_nullable, collation_name, "
    "is_identity FROM information_schema.columns WHERE table_schema = 'SCHEMA' ORDER BY 1, 2",
    "SELECT relname, relkind, reloptions, relreplident FROM pg_class WHERE relnamespace = 'SCHEMA'::regnamespace "
    "AND relname NOT LIKE 'pg_toast%' ORDER BY 1",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'SCHEMA' ORDER BY 1",
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'SCHEMA'::regnamespace "
    "ORDER BY 1, 2",
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN "
    "(SELECT oid FROM pg_class WHERE relnamespace = 'SCHEMA'::regnamespace) ORDER BY 1",
    "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'SCHEMA'::regnamespace ORDER BY 1",
    "SELECT relname, attname, attstorage FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
    "WHERE attnum > 0 AND relkind = 'r' AND relnamespace = 'SCHEMA'::regnamespace ORDER BY 1, attnum",
)


def in_file(db: sqlite3.Connection) -> list[object]:
    """All that is in a file's schema. A table's own text may differ in blanks and comments."""
    found: list[object] = []
    for kind, name, table, sql in db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall():
        if kind == "table":
            made = re.sub(r"\s", "", re.sub("--.*", "", sql))
            rest = db.execute(f"PRAGMA table_xinfo({name})").fetchall(), db.execute(f"PRAGMA foreign_key_list({name})")
            found.append((kind, name, "AUTOINCREMENT" in made, made.endswith("WITHOUTROWID"), rest[0], [*rest[1]]))
        else:
            found.append((kind, name, table, sql, db.execute(f"PRAGMA index_xinfo({name})").fetchall()))
    return found


def test_a_new_file_has_what_all_steps_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connect_in_memory()) as db, closing(SqliteStore(tmp_path / "new.db")) as store:
        for number in migrations.numbered("sqlite"):
            for statement in _statements(migrations.step_text("sqlite", number)):
                db.execute(statement)
        assert in_file(store._db) == in_file(db)
        facts = store._select(FACTS)
    monkeypatch.setattr(SqliteStore, "_make_schema", lambda store: None)
    with closing(SqliteStore(tmp_path / "stepped.db")) as store:
        assert store._select(FACTS) == facts
        assert store.schema_version() == migrations.newest()


def test_new_tables_in_a_server_are_what_all_steps_make(postgres_url: str, tmp_path: Path) -> None:
    address, stepped = parse_address(postgres_url), new_schema(postgres_url.partition("?")[0])
    other = parse_address(stepped).schema
    try:
        with closing(PostgresStore(postgres_url, tmp_path)) as store, psycopg.connect(address.server) as db:
            scripts = [migrations.step_text("postgres", number) for number in migrations.numbered("postgres")]
            db.execute(f'CREATE SCHEMA "{other}"'.encode())
            for script in [*scripts, function.script()]:
                db.execute(script.replace("{schema}", f'"{other}"').encode())
            for query in IN_SERVER:
                new, old = (
                    [str(row).replace(name, "SCHEMA") for row in db.execute(query.replace("SCHEMA", name).encode())]
                    for name in (address.schema, other)
                )
                assert new == old
                assert new
            facts = dict(store._select(FACTS))
            readers = [migrations.oldest_reader(script) for script in scripts]
            steps = zip(migrations.numbered("postgres"), readers, strict=True)
            wanted = {f"oldest reader of schema {number}": str(reader) for number, reader in steps}
            assert facts == {**wanted, function.FACT: function.stamp()}
            assert store._select("SELECT value FROM {schema}.meta WHERE name = 'home'") == [(store._home(),)]
            assert store._home()
    finally:
        drop_schema(stepped)


@pytest.mark.parametrize("deleted_max", [0, schema.DELETED_BYTES_MAX])
def test_nothing_is_left_in_tables_however_large(
    emptied_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted_max: int
) -> None:
    monkeypatch.setattr(schema, "DELETED_BYTES_MAX", deleted_max)
    with closing(PostgresStore(emptied_url, tmp_path)) as store:
        store.insert([a_job("a"), a_job("b", depends_on=("a",))])
        before = store._select("SELECT value FROM {schema}.meta WHERE name = 'store_id'")
        store.reset()
        for table in migrations.tables("postgres"):
            assert table == "meta" or not store._select(f"SELECT 1 FROM {{schema}}.{table}"), table
        assert store._select("SELECT value FROM {schema}.meta WHERE name = 'store_id'") != before
