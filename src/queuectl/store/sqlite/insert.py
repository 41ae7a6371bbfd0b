"""How new jobs are added to the file: in one transaction, a slice at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import isfinite

from queuectl.domain.errors import IdTaken, IdTwice, QueuectlError
from queuectl.store.shared.births import Births, births_of
from queuectl.store.shared.limits import Limits
from queuectl.store.shared.rows import BORN, SPECS_KNOWN_MAX
from queuectl.store.sqlite.connection import sqlite3
from queuectl.store.sqlite.session import SqliteSession
from queuectl.store.values import Moved
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.domain.job import Job, Spec

BY_COLUMNS_FROM = 20
"""At least this many jobs get a statement of their own, with the values that all of them share in its text."""
LITERAL_CHARACTERS_MAX = 200


class Inserting(SqliteSession, Limits):
    """A session that can add jobs."""

    def insert(self, jobs: Iterable[Job]) -> dict[str, Job]:
        now = self.now()
        with self.transaction(), self._all_or_none():
            numbers: dict[Spec, int] = {}
            counted: Counter[tuple[str, str]] = Counter()
            arriving: list[Job] = []
            batches, unlimited = set[str](), set[str]()
            for births in births_of(jobs, now):
                if births.is_guarded:
                    self._shut_out_older()
                if len(numbers) > SPECS_KNOWN_MAX:
                    numbers.clear()
                numbers |= self._keep_specs(spec for spec in births.specs if spec not in numbers)
                before = self._db.total_changes
                try:
                    self._write_new(births, numbers)
                except sqlite3.IntegrityError:
                    raise self._refused(births.jobs[self._db.total_changes - before].id) from None
                counted.update(births.counted())
                arriving += births.arriving()
                batches |= births.batches()
                unlimited |= births.unlimited()
            self._counted.update(counted)
            return self._arrive(arriving, batches, unlimited)

    @contextmanager
    def _all_or_none(self) -> Iterator[None]:
        """Undoes this part of a larger transaction after an error. The transaction itself may go on.

        Only then is there a savepoint: it keeps the former content of each page that is written, in memory.
        """
        if self._depth == 1:
            yield
            return
        self._db.execute("SAVEPOINT insertion")
        try:
            yield
        except BaseException:
            self._undo()
            raise
        finally:
            if self._db.in_transaction:
                self._db.execute("RELEASE insertion")

    def _undo(self) -> None:
        if self._db.in_transaction:  # a full disk has already rolled back
            self._db.execute("ROLLBACK" if self._depth == 1 else "ROLLBACK TO insertion")

    def _write_new(self, births: Births, numbers: dict[Spec, int]) -> None:
        if len(births.jobs) < BY_COLUMNS_FROM:
            self._send_rows("insert_job", births.rows(numbers))
            return
        marks, bound = [], []
        for column in births.columns(numbers):
            literal = None if column.each is not None else _literal(column.value)
            marks.append(literal or "?")
            if literal is None:
                bound.append(column.values(len(births.jobs)))
        text = f"INSERT INTO jobs ({', '.join(BORN)}) VALUES ({', '.join(marks)})"
        self._db.executemany(text, zip(*bound, strict=True) if bound else [()] * len(births.jobs))

    def _refused(self, new_id: str) -> QueuectlError:
        """Why the job with this id was refused. Nothing of the insertion is left."""
        self._undo()
        if place := self.moved_to():
            return Moved(self.url, place)
        if self._select("SELECT 1 FROM jobs WHERE id = ?", (new_id,)):
            return IdTaken(new_id)
        return IdTwice(new_id)


def _literal(value: Any) -> str | None:
    """The value as SQL that gives exactly it; None if it has to be bound."""
    if value is None:
        return "NULL"
    if type(value) is int:
        return str(value)
    if type(value) is str and len(value) <= LITERAL_CHARACTERS_MAX and "\0" not in value:
        return "'" + value.replace("'", "''") + "'"
    if type(value) is float and isfinite(value):
        above, below = value.as_integer_ratio()
        if abs(above) < 1 << 53 and below < 1 << 53:  # SQLite may misread the last digit of a decimal
            return f"({above} / {below}.0)"
    return None
