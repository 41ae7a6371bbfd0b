"""Brings a store's schema up to what this version knows, one recorded transaction a step.

Migrations only add, so that any two releases of one major version work on one store. A newer schema than
this version knows is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from queuectl.domain.errors import StoreUnavailable

SQL_FOLDER = Path(__file__).with_name("sql")


def numbered(dialect: str) -> dict[int, Path]:
    """The migration files of a dialect by their number."""
    return {int(path.name[:4]): path for path in sorted((SQL_FOLDER / dialect).glob("[0-9]*.sql"))}


def pending(current: int, newest: int, url: str) -> range:
    """The numbers of the steps to be made. Raises `StoreUnavailable` for a schema from the future."""
    if current > newest:
        raise StoreUnavailable(
            f"the store {url} has schema {current}, newer than this queuectl knows ({newest})",
            "upgrade queuectl on this machine",
        )
    return range(current + 1, newest + 1)


def migrate(dialect: str, current: int, url: str, run_step: Callable[[int, str], None]) -> None:
    """Runs every missing step in its order. `run_step(number, sql)` makes one, in its own transaction."""
    files = numbered(dialect)
    for number in pending(current, max(files), url):
        run_step(number, files[number].read_text())
