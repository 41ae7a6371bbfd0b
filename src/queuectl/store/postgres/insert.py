"""How new jobs are added to PostgreSQL: all or none, and once even if the answer to the commit is lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from psycopg.errors import UniqueViolation

from queuectl.domain.errors import Conflict, IdTaken, IdTwice, OutcomeUnknown, StoreUnavailable
from queuectl.domain.job import Job, Spec
from queuectl.domain.proposed import named
from queuectl.store.postgres.session import PostgresSession
from queuectl.store.postgres.text import copy_text
from queuectl.store.shared import rows
from queuectl.store.shared.births import Births, births_of
from queuectl.store.shared.limits import Limits

COPY_FROM = 500
"""At least this many new jobs are copied. For fewer, the additional round trip would cost more than it saves."""


Numbers = Mapping[Spec, int]

_ID_IN_DETAIL = re.compile(r"\(id\)=\(([^)]+)\)")
"""In the server's words on a unique index, in every language."""


class Inserting(PostgresSession, Limits):
    """A session that can add jobs."""

    def insert(self, jobs: Iterable[Job]) -> dict[str, Job]:
        try:
            return self._insert(jobs)
        except OutcomeUnknown:
            if self._depth or iter(jobs) is jobs:  # what can be read only once cannot be compared or added again
                raise
            return self._make_sure_of(jobs)

    def _make_sure_of(self, jobs: Iterable[Job]) -> dict[str, Job]:
        """Adds jobs unless an unanswered commit, which may still be running, has added them."""
        some = next(births_of(jobs, 0.0)).jobs
        try:
            if not self._are_there(some):
                return self._insert(jobs)
        except IdTaken:
            if not self._are_there(some):
                raise
        except StoreUnavailable as error:
            what = "it was" if len(some) == 1 else "they were"
            raise OutcomeUnknown(
                f"{error.message.partition('; not known')[0]}; not known whether {what} added",
                f"look first: queuectl show {named(some[0].id)}",
            ) from None
        arrived = [job.id for births in births_of(jobs, 0.0) for job in births.arriving()]
        return {job.id: job for job in self._jobs("WHERE id = ANY (?)", [arrived])} if arrived else {}

    def _are_there(self, jobs: Sequence[Job]) -> bool:
        """Whether a transaction in doubt added these jobs. Somebody else's jobs with these ids do not count."""
        text = "SELECT 1 FROM {schema}.jobs WHERE id = ANY (%s) AND created_at = %s LIMIT 1"
        return bool(self._select(text, [[job.id for job in jobs], jobs[0].created_at]))

    def _insert(self, jobs: Iterable[Job]) -> dict[str, Job]:
        slices = births_of(jobs, self.now())
        first = next(slices, None)
        if first is None:
            return {}
        in_bulk = len(first.jobs) >= COPY_FROM and not self._depth
        with self.transaction(pipelined=not in_bulk):
            self._line.execute("SAVEPOINT insertion")
            groups = _Groups(self, chain([first], slices))
            for group in groups:
                try:
                    self._copy(group) if in_bulk else self._add(group)
                except _Taken as taken:
                    self._line.execute("ROLLBACK TO insertion")
                    raise self._refused(taken) from None
                self._send_rows("use_specs", list(groups.uses.items()))
            self._counted.update(groups.counted)
            self._announce(groups.claimable)
            return self._arrive(groups.arriving, groups.batches, groups.unlimited)

    def _copy(self, group: Iterable[tuple[Births, Numbers]]) -> None:
        """Copies the jobs. The server reads one piece while the next is written."""
        columns = ", ".join(rows.BORN)
        pieces = (copy_text(births.columns(numbers), len(births.jobs)) for births, numbers in group)
        try:
            self._line.copy_in(f'COPY "{self._address.schema}".jobs ({columns}) FROM STDIN', pieces)
        except UniqueViolation as error:
            ids = _ID_IN_DETAIL.findall(error.diag.message_detail or "")
            raise _Taken(ids, ids) from None

    def _add(self, group: Iterable[tuple[Births, Numbers]]) -> None:
        for births, numbers in group:
            added = self._send_rows("insert_job", births.rows(numbers)).fetchone()[0]
            if added < len(births.jobs):
                ids = [job.id for job in births.jobs]
                text = "SELECT id FROM {schema}.jobs WHERE id = ANY (?) ORDER BY seq"
                found = [id for (id,) in self._select(text, [ids])]
                again = [id for id, times in Counter(ids).items() if times > 1]
                raise _Taken(ids, [*found[: len(found) - added], *again])

    def _refused(self, taken: _Taken) -> Conflict:
        """Why jobs were refused, once they are taken back."""
        text = "SELECT id FROM {schema}.jobs WHERE id = ANY (?)"
        found = {job_id for (job_id,) in self._select(text, [taken.ids])}
        if older := next((job_id for job_id in taken.ids if job_id in found), None):
            return IdTaken(older)
        if taken.twice:
            return IdTwice(taken.twice[0])
        return Conflict("an id was taken just now, and is free again", "try again")


class _Taken(Exception):
    """Some of these ids are not free. If they are once the new jobs are taken back, the first of `twice` came twice."""

    def __init__(self, ids: list[str], twice: list[str]) -> None:
        self.ids = ids
        self.twice = twice


class _Groups:
    """Slices of new jobs in groups, each as long as its specs are known when it begins.

    Nothing else can be sent while a group is copied: what a group needs is done before it.
    """

    def __init__(self, session: Inserting, slices: Iterator[Births]) -> None:
        self._session = session
        self._slices = slices
        self._next = next(slices, None)
        self._numbers: dict[Spec, int] = {}
        self._shut = False
        self.counted: Counter[tuple[str, str]] = Counter()
        self.arriving: list[Job] = []
        self.batches, self.unlimited = set[str](), set[str]()
        self.claimable = 0
        self.uses: Counter[int] = Counter()
        """How many jobs of the latest group have each spec, by its number."""

    def __iter__(self) -> Iterator[Iterator[tuple[Births, Numbers]]]:
        while (first := self._next) is not None:
            if first.is_guarded and not self._shut:
                self._session._shut_out_older()
                self._shut = True
            if len(self._numbers) > rows.SPECS_KNOWN_MAX:
                self._numbers.clear()
            if new := self._unknown(first):
                self._numbers |= self._session._keep_specs(new)
            self.uses.clear()
            yield self._group()

    def _group(self) -> Iterator[tuple[Births, Numbers]]:
        while (births := self._next) is not None:
            if self._unknown(births) or (births.is_guarded and not self._shut):
                return
            yield births, self._numbers
            self.counted.update(births.counted())
            self.claimable += births.claimable()
            self.arriving += births.arriving()
            self.batches |= births.batches()
            self.unlimited |= births.unlimited()
            self.uses.update(births.uses(self._numbers))
            self._next = next(self._slices, None)

    def _unknown(self, births: Births) -> list[Spec]:
        return [spec for spec in births.specs if spec not in self._numbers]
