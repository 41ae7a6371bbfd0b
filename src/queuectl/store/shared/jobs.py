"""Jobs as people see and change them, and what waits in the queues."""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence

from queuectl.domain.errors import Conflict, Invalid, NotFound, QueuectlError
from queuectl.domain.job import HOOKS, Job, JobState
from queuectl.store.shared import rows
from queuectl.store.shared.limits import Limits
from queuectl.store.values import Backlog, Change
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.domain.lifecycle import Event
    from queuectl.domain.selector import Selector
    from queuectl.store.selections import Refs


class Jobs(Limits):
    """This part of a `Store` (see store/port.py)."""

    def get(self, ref: str) -> Job:
        return rows.only_one(ref, lambda condition, values: self._jobs(f"WHERE {condition}", values))

    def beginning(self, prefix: str, most: int) -> list[Job]:
        return self._jobs("WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", [prefix, f"{prefix}\x7f", most])

    def at(self, seqs: Sequence[int]) -> list[Job]:
        return self._jobs(f"WHERE seq {self._dialect.any_of} ORDER BY seq", [self._dialect.array(seqs)])

    def find(
        self, selector: Selector, *, limit: int | None = None, newest_first: bool = False,
        after_seq: int | None = None, up_to_seq: int | None = None,
    ) -> list[Job]:  # fmt: skip
        rest, values = rows.page(
            selector, self._dialect, limit=limit, newest_first=newest_first, after_seq=after_seq, up_to_seq=up_to_seq
        )
        return self._jobs(rest, values)

    def latest(self) -> int:
        return int(self._select("SELECT coalesce(max(seq), 0) FROM {schema}.jobs")[0][0])

    def before_newest(self, selector: Selector, number: int) -> int | None:
        condition, values = rows.where(selector, self._dialect)
        text = f"SELECT seq FROM {{schema}}.jobs WHERE {condition} ORDER BY seq DESC LIMIT 1 OFFSET ?"
        found = self._select(text, [*values, number])
        return int(found[0][0]) if found else None

    @abstractmethod
    def counts(self) -> dict[tuple[str, JobState], int]: ...

    def count(self, selector: Selector) -> int:
        from queuectl.domain.selector import ALL_JOBS

        condition, values = rows.where(selector, self._dialect)
        states, queues = selector.states, selector.queues
        if selector == ALL_JOBS._replace(states=states, queues=queues) and HOOKS not in queues and not self._counted:
            found = self.counts().items()  # fast, however many there are
            counted = [(state, jobs) for (queue, state), jobs in found if not queues or queue in queues]
            return sum(jobs for state, jobs in counted if not states or state in states)
        return int(self._select(f"SELECT count(*) FROM {{schema}}.jobs WHERE {condition}", values)[0][0])

    def seqs(self, selector: Selector, *, limit: int, after_seq: int | None, up_to_seq: int | None) -> list[int]:
        rest, values = rows.page(
            selector, self._dialect, limit=limit, newest_first=False, after_seq=after_seq, up_to_seq=up_to_seq
        )
        return [seq for (seq,) in self._select(f"SELECT seq FROM {{schema}}.jobs {rest}", values)]

    def change(self, refs: Refs, event: Event, who: str | None, only_dead: bool = False) -> list[Job | QueuectlError]:
        from queuectl.domain.lifecycle import Retried, apply

        now = self.now()
        changed: list[tuple[Job, Job]] = []
        regained: dict[str, Job] = {}

        def one(job: Job) -> Job:
            if only_dead:
                _refuse_living(job)
            after = apply(job, event, now)
            self._take_key_again(job, after, regained, now)
            changed.append((job, after))
            return after

        with self.transaction():
            results = self._each(refs, one)
            if changed:
                from queuectl.store.shared.alike import write_alike

                write_alike(self, changed, now)
                self._count(changed)
                self._note([job.seq for job, _ in changed], event, who, now)
                self._left_lines(job for job, _ in changed)
                self._announce()
            if waiting := [after for _, after in changed if isinstance(event, Retried) and after.depends_on]:
                again = self._reconsider(waiting)
                results = [again.get(each.seq, each) if isinstance(each, Job) else each for each in results]
        return results

    def _note(self, seqs: Sequence[int], event: Event, who: str | None, now: float) -> None:
        """Keeps what a person did to jobs."""
        text = (
            "INSERT INTO {schema}.events (at, job, kind, who) SELECT ?, seq, ?, ? FROM {schema}.jobs "
            f"WHERE seq {self._dialect.any_of} ORDER BY seq"
        )
        self._execute(text, [now, type(event).__name__, who, self._dialect.array(seqs)])

    def delete(self, refs: Refs, only_dead: bool = False) -> list[Job | QueuectlError]:
        deleted: list[Job] = []

        def one(job: Job) -> Job:
            if only_dead:
                _refuse_living(job)
            if job.state is JobState.PROCESSING:
                raise Conflict(f"job {job.id} is running", "cancel it first, or use force=true")
            deleted.append(job)
            return job

        with self.transaction():
            results = self._each(refs, one)
            if any(job.locks for job in deleted):
                self._hold_gates()  # before batches, as whoever sets these does
            self._left_lines(deleted)
            self._forget_keys([job.id for job in deleted if job.unique_key is not None])
            self._remove([job.seq for job in deleted])
            self._counted.subtract((job.queue, job.state.value) for job in deleted)
        return results

    def _take_key_again(self, job: Job, after: Job, again: dict[str, Job], now: float) -> None:
        """Raises `Conflict` if a job can run again whose unique key another one has taken meanwhile."""
        if job.unique_key is not None and job.is_over(now) and not after.is_over(now):
            from queuectl.store.shared.unique import take_again

            take_again(self, after, again, now)

    def _forget_keys(self, job_ids: Sequence[str]) -> None:
        """These jobs are being removed."""
        if job_ids:
            from queuectl.store.shared.unique import forget

            forget(self, job_ids)

    def take_back(self) -> int:
        from queuectl.domain.lifecycle import Lost, apply
        from queuectl.store.shared.recording import break_of

        now = self.now()
        event = Lost(sys.maxsize, with_machine=True)
        with self.transaction():
            changed = [(job, apply(job, event, now)) for job in self._jobs("WHERE state = 'processing'")]
            if changed:
                self._write(changed, now)
                self._count(changed)
                begun = [break_of(Change(job, event), after) for job, after in changed if job.started_at is not None]
                if begun:
                    self._send_rows("break_attempt", begun)
        return len(changed)

    def _each(self, refs: Refs, one: Callable[[Job], Job]) -> list[Job | QueuectlError]:
        """What `one` returns for each job, or the error; a job that several refs name comes once. All jobs are locked
        in one order, the same for everybody."""
        any_of, array, locked = self._dialect.any_of, self._dialect.array, self._dialect.locked
        if refs and isinstance(refs[0], int):
            jobs = self._jobs(f"WHERE seq {any_of} ORDER BY seq {locked}", [array(refs)])
            return [_outcome(one, job) for job in jobs]
        meant = self._meant([ref for ref in refs if isinstance(ref, str)])
        known = sorted({id for id in meant.values() if isinstance(id, str)})
        standing = {job.id: job for job in self._jobs(f"WHERE id {any_of} ORDER BY seq {locked}", [array(known)])}
        results: list[Job | QueuectlError] = []
        met: set[str] = set()
        for id in meant.values():
            if isinstance(id, QueuectlError):
                results.append(id)
            elif id not in met:
                met.add(id)
                job = standing.get(id)
                results.append(_outcome(one, job) if job else NotFound(f"no job {id}", "it has just been deleted"))
        return results

    def _meant(self, refs: Sequence[str]) -> dict[str, str | QueuectlError]:
        """The whole id of the job that each of these refs stands for."""
        known = self._dialect.array([ref for ref in refs if rows.can_be_id(ref)])
        text = f"SELECT id FROM {{schema}}.jobs WHERE id {self._dialect.any_of}"
        there = {id for (id,) in self._select(text, [known])}
        meant: dict[str, str | QueuectlError] = {}
        for ref in refs:
            try:
                meant[ref] = ref if ref in there else self.get(ref).id
            except (NotFound, Invalid) as error:
                meant[ref] = error
        return meant

    def prune(self, selector: Selector, limit: int) -> int:
        from queuectl.store.shared.pruning import removable

        with self.transaction():
            condition, values = removable(self, selector)
            text = (
                "SELECT seq, queue, state, CASE WHEN unique_key IS NOT NULL THEN id END FROM {schema}.jobs "
                f"WHERE {condition} {self._dialect.first_unlocked}"
            )
            found = self._select(text, [*values, limit])
            if found:
                self._forget_keys([keyed for *_, keyed in found if keyed is not None])
                self._remove([seq for seq, *_ in found])
                self._counted.subtract((queue, state) for _, queue, state, _ in found)
        return len(found)

    def prunable(self, selector: Selector) -> int:
        from queuectl.store.shared.pruning import removable

        condition, values = removable(self, selector)
        return int(self._select(f"SELECT count(*) FROM {{schema}}.jobs WHERE {condition}", values)[0][0])

    @abstractmethod
    def _oldest_ready(self) -> list[tuple[str, float]]:
        """Since when the oldest claimable job of each queue has waited; a queue may come several times."""

    def backlog(self, retries: int) -> Backlog:
        due = [*(at for _, at in self._oldest_ready()), self.read("first_due")[0][0]]
        waiting = [at for at in due if at is not None and at <= self.now()]
        retried = f"{self._dialect.retries} AND queue <> '{HOOKS}' ORDER BY due_at LIMIT ?"
        next_retries = self._jobs(retried, [retries])
        return Backlog(oldest_due=min(waiting, default=None), next_retries=next_retries)

    def oldest_waiting(self) -> dict[str, float]:
        in_index = f"{{schema}}.jobs WHERE {self._dialect.is_parked} GROUP BY locks, queue"
        parked = f"SELECT queue, min(due_at) FROM {in_index}"
        oldest: dict[str, float] = {}
        for queue, at in (*self._oldest_ready(), *self._select(parked), *self.read("due_by_queue", now=self.now())):
            oldest[queue] = min(at, oldest.get(queue, at))
        oldest.pop(HOOKS, None)
        return oldest

    def line(self, queue: str, limit: int) -> list[Job]:
        found = self.read("due_in_order", queue=queue, now=self.now(), limit=limit)
        return self._jobs(
            f"WHERE seq {self._dialect.any_of} ORDER BY priority DESC, due_at, seq LIMIT ?",
            [self._dialect.array([seq for (seq,) in found]), limit],
        )

    def lock_line(self, name: str, limit: int) -> tuple[list[Job], list[Job]]:
        from queuectl.domain.limits import requests_of

        if self._behind:
            return [], []
        in_order, any_of = "ORDER BY priority DESC, due_at, seq LIMIT ?", self._dialect.any_of
        of_lines = f"{self._dialect.is_parked} AND locks IN (SELECT locks FROM {{schema}}.line_locks WHERE lock = ?)"
        line = self._jobs(f"WHERE {of_lines} {in_order}", [name, limit])
        if len(line) == limit:
            return line, []
        needing = f"locks IS NOT NULL AND state {rows.WAITING}"
        kept = [locks for (locks,) in self._select(f"SELECT DISTINCT locks FROM {{schema}}.jobs WHERE {needing}")]
        wanted = [locks for locks in kept if any(each.lock == name for each in requests_of(json.loads(locks)))]
        others = f"WHERE {needing} AND locks {any_of} AND NOT seq {any_of} {in_order}"
        arrays = [self._dialect.array(values) for values in (wanted, [job.seq for job in line])]
        return line, self._jobs(others, [*arrays, limit - len(line)])

    def ahead(self, job: Job, most: int, queues: Sequence[str] = ()) -> int:
        at = {"priority": job.priority, "due_at": job.due_at, "seq": job.seq, "most": most}
        found = self.read("ahead", **at, queues=self._dialect.array(queues or [job.queue]))
        return min(most, int(found[0][0]))

    def has_work(self, queues: Sequence[str], not_queues: Sequence[str] = ()) -> bool:
        array = self._dialect.array
        served = {"queues": array(queues) if queues else None, "not_queues": array(() if queues else not_queues)}
        return bool(self.read("has_work", now=self.now(), **served)[0][0])


def _outcome(one: Callable[[Job], Job], job: Job) -> Job | QueuectlError:
    try:
        return one(job)
    except (Conflict, NotFound, Invalid) as error:
        return error


def _refuse_living(job: Job) -> None:
    """Raises `Conflict` if the job is not dead."""
    if job.state is not JobState.DEAD:
        raise Conflict(f"job {job.id} is {job.state}, not dead", "see: queuectl dlq list")
