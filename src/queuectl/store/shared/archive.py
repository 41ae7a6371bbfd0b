"""A whole store as rows, for copying into another store of any kind: its tables, their columns and a checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from queuectl.domain.errors import OperationFailed
from queuectl.domain.job import Attempt
from queuectl.store.shared.limits import QUEUE
from queuectl.store.shared.rows import JOB_COLUMNS, OUTPUT_COLUMNS
from queuectl.store.shared.schedules import FIRE, KEPT
from queuectl.typed import Any, NamedTuple, Protocol

TABLES: Mapping[str, Sequence[str]] = {
    "specs": ("id", "body"),
    "jobs": (*JOB_COLUMNS.split(", "), "ready", "due_at", "tells"),
    "attempts": ("job", *Attempt._fields),
    "outputs": ("job", "number", *OUTPUT_COLUMNS.split(", ")),
    "events": ("id", "at", "job", "kind", "who", "detail"),
    "config": ("name", "value"),
    "queues": tuple(QUEUE.split(", ")),
    "starts": ("queue", "at", "job", "lease"),
    "locks": ("name", "units", "env"),
    "edges": ("child", "ref", "parent", "batch", "wants", "verdict", "why"),
    "settlements": ("id", "job", "batch", "meant"),
    "schedules": KEPT,
    "run_ends": ("id", "schedule", "job", "at", "ended_at", "well", "why"),
    "fires": FIRE,
    "unique_keys": ("key", "job", "before"),
    "batches": ("name", "at_most", "max_fails", "lost"),
}  # fmt: skip
"""What is copied, in this order. Counts are computed again, as are the lines in which jobs wait for locks: `rows` gives
parked jobs as claimable, and the first claim parks them. Workers and tokens belong to their store."""

RECOUNT = "INSERT INTO {counts} (queue, state, jobs) SELECT queue, state, count(*) FROM {jobs} GROUP BY queue, state"
SHUT_OUT = (
    "UPDATE {meta} SET value = '{schema}' WHERE name LIKE 'oldest reader of schema %' "
    "AND CAST(value AS integer) < {schema} AND (EXISTS (SELECT 1 FROM {queues}) OR EXISTS (SELECT 1 FROM {locks}) "
    "OR EXISTS (SELECT 1 FROM {schedules}) "
    "OR EXISTS (SELECT 1 FROM {jobs} WHERE locks IS NOT NULL OR start_by IS NOT NULL "
    "OR depends_on IS NOT NULL OR unique_key IS NOT NULL OR batch IS NOT NULL))"
)
"""Where anything is limited, releases that know no limits may not open the store."""

Row = tuple[Any, ...]


class Archive(Protocol):
    """A store seen as rows. Everything inside `locked` is one transaction, and nobody else writes meanwhile."""

    def locked(self) -> AbstractContextManager[None]: ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Everything read inside is of one moment, while others go on writing."""

    def count(self, table: str) -> int: ...

    def running(self) -> int:
        """How many jobs a worker holds."""

    def rows(self, table: str) -> Iterator[Row]:
        """All rows of a table: numbers, texts, bytes and None."""

    def fill(self, table: str, rows: Iterable[Row]) -> None: ...

    def finish(self) -> None:
        """Computes what follows from the tables, once they are filled."""

    def move_to(self, place: str) -> None:
        """Leaves a pointer. From then on the store refuses every change: those who have it open may not have heard."""

    def close(self) -> None: ...


class Checksum(NamedTuple):
    """A checksum of a table's rows that does not depend on their order."""

    rows: int = 0
    total: int = 0

    def plus(self, row: Row) -> Checksum:
        digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return Checksum(self.rows + 1, (self.total + int.from_bytes(digest, "big")) % (1 << 64))


def normal(row: Sequence[Any]) -> Row:
    """The row with plain values, the same from every database."""
    return tuple(
        int(value) if isinstance(value, bool) else bytes(value) if isinstance(value, memoryview) else value
        for value in row
    )


def copy_tables(source: Archive, target: Archive, progress: Callable[[int], None] | None) -> dict[str, int]:
    """Copies all rows of the one into the other, which is empty, and compares them. Returns their number by table."""
    copied: dict[str, int] = {}
    for table in TABLES:
        read = _Reading(source.rows(table), sum(copied.values()), progress)
        target.fill(table, read)
        if _checksum(target.rows(table)) != read.checksum:
            raise OperationFailed(f"the copy of {table} differs from the original", "nothing was changed; try again")
        copied[table] = read.checksum.rows
    target.finish()
    return copied


class _Reading:
    """Passes rows on, and keeps their checksum."""

    def __init__(self, rows: Iterator[Row], done: int, progress: Callable[[int], None] | None) -> None:
        self.checksum = Checksum()
        self._rows = rows
        self._done = done
        self._progress = progress

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.checksum = self.checksum.plus(row)
            if self._progress is not None and self.checksum.rows % 1000 == 0:
                self._progress(self._done + self.checksum.rows)
            yield row


def _checksum(rows: Iterator[Row]) -> Checksum:
    checksum = Checksum()
    for row in rows:
        checksum = checksum.plus(row)
    return checksum
