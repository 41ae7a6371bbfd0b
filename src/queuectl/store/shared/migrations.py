"""Brings a store's schema up to what this version knows, one recorded transaction a step.

Migrations only add, so that any two releases of one major version work on one store. Each says which is the oldest
schema whose code can work with it (`-- oldest reader: N`), and the store remembers that: older code opens what newer
code has migrated, and a schema that says nothing of it is refused.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cache

from queuectl.domain.errors import StoreUnavailable

SQL_FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "sql")


@cache
def sql_text(dialect: str, name: str) -> str:
    """A file of a dialect's folder."""
    with open(os.path.join(SQL_FOLDER, dialect, name), encoding="utf-8") as file:
        return file.read()


@cache
def numbered(dialect: str) -> dict[int, str]:
    """The names of a dialect's migration files by their number."""
    return {int(name[:4]): name for name in sorted(os.listdir(os.path.join(SQL_FOLDER, dialect))) if name[:4].isdigit()}


def oldest_reader(sql: str) -> int:
    """The oldest schema whose code can work with the one that this step makes."""
    found = re.search(r"^-- oldest reader: (\d+)$", sql, re.MULTILINE)
    assert found, "a migration says who can read what it makes"
    return int(found[1])


def migrate(
    dialect: str, current: int, url: str, reader_of: Callable[[int], int | None], run_step: Callable[[int, str], None]
) -> None:
    """Runs every missing step in its order. Raises `StoreUnavailable` for a schema that this version cannot work with.

    `run_step(number, sql)` makes one step in its own transaction; `reader_of(schema)` is the oldest reader that the
    store remembers for a schema.
    """
    files = numbered(dialect)
    newest = max(files)
    if current > newest and (reader_of(current) or current) > newest:
        raise StoreUnavailable(
            f"the store {url} has schema {current}, newer than this queuectl knows ({newest})",
            "upgrade queuectl on this machine",
        )
    for number in range(current + 1, newest + 1):
        run_step(number, sql_text(dialect, files[number]))
