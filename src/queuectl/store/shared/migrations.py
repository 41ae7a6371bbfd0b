"""Brings a store's schema up to what this version knows, one recorded transaction for each step.

Migrations only add, so that any two releases of one major version work on one store. Each says which is the oldest
schema whose code can work with it (`-- oldest reader: N`), and the store remembers that: older code opens what newer
code has migrated, and refuses a schema that does not say so. A command that only reads migrates nothing: it reads
stand-ins for what the missing steps would add. The first transaction runs the steps.

From `FIRST_SHARED` on there is one series for both databases, in `sql/`, written as PostgreSQL writes it; `WORDS` has
what SQLite spells otherwise. The earlier ones are in `sql/sqlite` and `sql/postgres`. docs/decisions/0106 shows one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

from queuectl import program
from queuectl.domain.errors import StoreUnavailable

SQL_FOLDER = f"{program.PACKAGE}/store/sql"

FIRST_SHARED = 9

WORDS: Mapping[str, Mapping[str, str]] = {
    "sqlite": {
        "{schema}.": "",
        "{number}": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "{ordered text}": "TEXT",
        "{bytes}": "BLOB",
        "--sqlite: ": "",
    },
    "postgres": {
        "{number}": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "{ordered text}": 'text COLLATE "C"',
        "{bytes}": "bytea",
        "--postgres: ": "",
    },
}
"""What a shared migration says, and what each database reads.

Both know text, integer (32 bits), bigint, boolean and double precision, which is the type of times. A line that begins
with `--postgres: ` or `--sqlite: ` is for that database alone.
"""

_WEB = {
    "{schema}.tokens": "(SELECT '' AS id, '' AS digest, '' AS name, '' AS role, 0.0 AS created_at, '' AS created_by, "
    "0.0 AS used_at WHERE 1 = 0) AS tokens",
    "{schema}.events": "(SELECT id, at, job, kind, who, NULL AS detail FROM {schema}.events) AS events",
}
_HOME = {
    "{schema}.workers": "(SELECT id, name, epoch, host, machine, pid, dispatcher, slots, queues, tag, version, "
    "started_at, stop, NULL AS home FROM {schema}.workers) AS workers"
}
_GATES = {
    "owner, locks, units, start_by,": "owner, NULL, NULL, NULL,",
    "jobs.owner, jobs.locks, jobs.units, jobs.start_by,": "jobs.owner, NULL, NULL, NULL,",
    "home, schema, not_queues, waits, limits FROM": "home, NULL, NULL, NULL, NULL FROM",
}
STAND_INS: Mapping[str, Mapping[int, Mapping[str, str]]] = {
    "sqlite": {2: _WEB, 4: {"INDEXED BY jobs_retries": ""}, 5: _HOME, 9: _GATES},
    "postgres": {2: _WEB, 6: _HOME, 9: _GATES},
}
"""For each step before `FIRST_SHARED` that adds something to read: what statements say instead while it is missing."""


@cache
def sql_text(path: str) -> str:
    """A file of the folder `sql`."""
    return program.read(f"{SQL_FOLDER}/{path}").decode()


@cache
def numbered(dialect: str) -> dict[int, str]:
    """The paths of a database's migrations by their number, in their order."""
    names = [*(f"{dialect}/{name}" for name in program.names(f"{SQL_FOLDER}/{dialect}")), *program.names(SQL_FOLDER)]
    steps = {name.rpartition("/")[2].partition("_")[0]: name for name in names if name.endswith(".sql")}
    return {int(number): steps[number] for number in sorted(steps) if number.isdigit()}


def newest() -> int:
    """The newest schema that this release knows."""
    return max(numbered("sqlite"))


def step_text(dialect: str, number: int) -> str:
    """A migration as the database reads it; of PostgreSQL's, the name of the schema is left open as `{schema}`."""
    text = sql_text(numbered(dialect)[number])
    for said, word in WORDS[dialect].items():
        text = text.replace(said, word)
    return text


@cache
def whole_text(dialect: str) -> str:
    """All migrations as one script, for a new store: columns that later ones add stand in their table's statement.

    Most of what the steps would cost goes into adding columns, for SQLite then reads the whole schema again.
    """
    script = "\n".join(step_text(dialect, number) for number in numbered(dialect))
    for table, column in re.findall(_ADDED_ALONE, script):
        made = re.search(rf"^CREATE TABLE {re.escape(table)} \(\n.*?\n(?=\)| +PRIMARY KEY \()", script, re.M | re.S)
        assert made, f"no migration makes {table}"
        has_keys = not script.startswith(")", made.end())
        column = f"    {column},\n" if has_keys else f"    , {column}\n"
        script = f"{script[: made.end()]}{column}{script[made.end() :]}"
    return re.sub(_ADDED_ALONE, "--", script)


def tables(dialect: str) -> list[str]:
    """All tables that migrations make."""
    made = re.compile(r"^CREATE TABLE (?:\{schema\}\.)?(\w+)", re.MULTILINE)
    return [table for number in numbered(dialect) for table in made.findall(step_text(dialect, number))]


def oldest_reader(sql: str) -> int:
    """The oldest schema whose code can work with the one that this step makes."""
    found = re.search(r"^-- oldest reader: (\d+)$", sql, re.MULTILINE)
    assert found, "a migration says who can read what it makes"
    return int(found[1])


def is_behind(dialect: str, current: int) -> bool:
    """Whether a store lacks a step. One without any schema does not count."""
    return 0 < current < max(numbered(dialect))


# Compiled where they are used: at each start of a command that would take longer than all else in this module.
_TABLE = r"(?ms)^CREATE TABLE \{schema\}\.(\w+) \(\n(.*?)^\)"
_COLUMN = r"(?m)^ +([a-z]\w*) +(double precision|\{[a-z ]+\}|[a-z]+)(?:.* DEFAULT ([^\s,]+))?"
_ADDED = r"(?m)^ALTER TABLE \{schema\}\.(\w+) ADD COLUMN( .*?);"
_ADDED_ALONE = r"(?m)^ALTER TABLE (\S+) ADD COLUMN ([^;]*);"
_PLAIN = {**WORDS["postgres"], "{number}": "bigint", "{ordered text}": "text"}


def stand_ins(dialect: str, current: int) -> dict[str, str]:
    """What statements that read a store with this schema say in the place of what they would.

    For a shared step it follows from its text: a missing column is its default or null, a missing table is empty. All
    columns that a table lacks are in one query: SQLite nests only so deep.
    """
    added: dict[str, list[str]] = {}
    found = {of: text for number, texts in STAND_INS[dialect].items() if current < number for of, text in texts.items()}
    for number, name in numbered(dialect).items():
        if number <= current or number < FIRST_SHARED:
            continue
        text = sql_text(name)
        for table, columns in re.findall(_TABLE, text):
            found[f"{{schema}}.{table}"] = f"(SELECT {_absent(columns)} WHERE 1 = 0) AS {table}"
        for table, column in re.findall(_ADDED, text):
            added.setdefault(table, []).append(_absent(column))
    for table, columns in added.items():
        name = f"{{schema}}.{table}"
        found[name] = f"(SELECT *, {', '.join(columns)} FROM {found.get(name, name)}) AS {table}"
    if "jobs" in added:
        found["INDEXED BY jobs_retries"] = ""
    return found


def _absent(columns: str) -> str:
    """What a query selects for columns that are not there."""
    return ", ".join(
        f"CAST({default or 'NULL'} AS {_PLAIN.get(kind, kind)}) AS {name}"
        for name, kind, default in re.findall(_COLUMN, columns)
    )


def migrate(
    dialect: str, current: int, url: str, reader_of: Callable[[int], int | None], run_step: Callable[[int, str], None]
) -> None:
    """Runs every missing step in its order. Raises `StoreUnavailable` for a schema that this version cannot work with.

    `run_step(number, sql)` makes one step in its own transaction; `reader_of(schema)` is the oldest reader that the
    store remembers for a schema.
    """
    steps = numbered(dialect)
    newest = max(steps)
    if current > newest and (reader_of(current) or current) > newest:
        raise StoreUnavailable(
            f"the store {url} has schema {current}, newer than this queuectl knows ({newest})",
            "upgrade queuectl on this machine",
        )
    for number in steps:
        if number > current:
            run_step(number, step_text(dialect, number))
