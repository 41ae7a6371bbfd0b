"""How new jobs are added to PostgreSQL: all or none, and once even if the answer to the commit is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from psycopg.errors import UniqueViolation

from queuectl.domain.errors import Conflict, IdTaken, OutcomeUnknown, StoreUnavailable
from queuectl.domain.job import Job
from queuectl.store.postgres.session import PostgresSession
from queuectl.store.postgres.text import copy_text
from queuectl.store.shared import rows
from queuectl.store.shared.limits import Limits

INSERT_AT_ONCE = 5000
COPY_FROM = 500
"""At least this many new jobs are copied. For fewer, the additional round trip would cost more than it saves."""


class Inserting(PostgresSession, Limits):
    """A session that can add jobs."""

    def insert(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        try:
            self._insert(jobs)
        except OutcomeUnknown:
            if self._depth:
                raise
            self._make_sure_of(jobs)

    def _make_sure_of(self, jobs: Sequence[Job]) -> None:
        """Adds jobs unless an unanswered commit, which may still be running, has added them."""
        try:
            if not self._are_there(jobs):
                self._insert(jobs)
        except IdTaken:
            if not self._are_there(jobs):
                raise
        except StoreUnavailable as error:
            what = "it was" if len(jobs) == 1 else "they were"
            raise OutcomeUnknown(
                f"{error.message.partition('; not known')[0]}; not known whether {what} added",
                f"look first: queuectl show {jobs[0].id}",
            ) from None

    def _are_there(self, jobs: Sequence[Job]) -> bool:
        """Whether a transaction in doubt added these jobs. Somebody else's jobs with these ids do not count."""
        text = "SELECT 1 FROM {schema}.jobs WHERE id = ANY (%s) AND created_at = %s LIMIT 1"
        return bool(self._select(text, [[job.id for job in jobs], jobs[0].created_at]))

    def _insert(self, jobs: Sequence[Job]) -> None:
        now = self.now()
        if len({job.id for job in jobs}) < len(jobs):
            (twice, _), *_ = Counter(job.id for job in jobs).most_common(1)
            raise Conflict(f"id {twice} comes twice", "each job needs an id of its own, or none")
        in_bulk = len(jobs) >= COPY_FROM and not self._depth
        with self.transaction(pipelined=not in_bulk):
            if any(map(rows.is_guarded, jobs)):
                self._shut_out_older()
            numbers = self._keep_specs(rows.specs_of(jobs))
            new_rows = rows.new_job_rows(jobs, numbers, now)
            pieces = iter(lambda: list(islice(new_rows, INSERT_AT_ONCE)), [])
            self._line.execute("SAVEPOINT insertion")
            if not (self._copied(pieces) if in_bulk else self._inserted(pieces, len(jobs))):
                self._line.execute("ROLLBACK TO insertion")
                raise self._taken([job.id for job in jobs])
            if uses := rows.uses_of(jobs, numbers):
                self._send_rows("use_specs", list(uses.items()))
            self._counted.update((job.queue, job.state.value) for job in jobs)
            self._tell = True

    def _copied(self, pieces: Iterable[list[Any]]) -> bool:
        """Copies the jobs. Returns whether no id was taken. The server reads one piece while the next is written."""
        columns = ", ".join(rows.BORN)
        try:
            self._line.copy_in(f'COPY "{self._address.schema}".jobs ({columns}) FROM STDIN', map(copy_text, pieces))
        except UniqueViolation:
            return False
        return True

    def _inserted(self, pieces: Iterable[list[Any]], jobs: int) -> bool:
        sent = [self._send_rows("insert_job", piece) for piece in pieces]
        return bool(sum(cursor.fetchone()[0] for cursor in sent) == jobs)

    def _taken(self, new_ids: Sequence[str]) -> Conflict:
        found = {job_id for (job_id,) in self._select("SELECT id FROM {schema}.jobs WHERE id = ANY (%s)", [new_ids])}
        first = next((job_id for job_id in new_ids if job_id in found), None)
        if first is None:
            return Conflict("an id was taken just now, and is free again", "try again")
        return IdTaken(first)
