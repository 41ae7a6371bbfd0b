"""Changes of what waiting jobs are to do."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from queuectl.domain import order
from queuectl.domain.errors import Conflict, Invalid, QueuectlError
from queuectl.domain.job import FINISHED, Job, JobState, Spec
from queuectl.domain.proposed import named
from queuectl.store.shared.births import Births
from queuectl.store.shared.jobs import Jobs
from queuectl.store.shared.rows import EDITED
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.store.arrivals import Admitted, Arrival
    from queuectl.store.selections import Refs

GATED = ("queue", "locks", "start_by")
"""What claims decide by. One that has looked before must not take the job after such a change."""


CROWD_MAX = 10_000
"""At most this many jobs with the same due time make room for one that is moved between them."""


class Edits(Jobs):
    """This part of a `Store` (see store/port.py)."""

    @abstractmethod
    def _keep_specs(self, specs: Iterable[Spec]) -> dict[Spec, int]:
        """The number of each spec; new ones are added. Nobody removes them during this transaction."""

    @abstractmethod
    def _exchange_specs(self, come: Counter[int], gone: Counter[int]) -> None:
        """Some jobs have other specs now: how many use each of these more, and how many less."""

    def edit(
        self, refs: Refs, edited: Callable[[Job], tuple[Mapping[str, Any], str]], who: str | None
    ) -> list[Job | QueuectlError]:
        from queuectl.domain.lifecycle import Edited, apply

        now = self.now()
        changed: list[tuple[Job, Job]] = []
        told: list[tuple[object, ...]] = []
        regained: dict[str, Job] = {}

        def one(job: Job) -> Job:
            values, detail = edited(job)
            after = apply(job, Edited(values), now)
            if not detail:
                return job
            self._take_key_again(job, after, regained, now)
            changed.append((job, after))
            told.append((now, job.seq, Edited.__name__, who, detail))
            return after

        with self.transaction():
            results = self._each(refs, one)
            if changed:
                self._rewrite(changed, now)
                self._send_rows("note_detail", told)
                self._announce()
        return results

    @abstractmethod
    def insert(self, jobs: Iterable[Job]) -> dict[str, Job]:
        """See `PeopleStore`."""

    def take_in(self, pages: Iterable[Sequence[Job]]) -> int:
        from queuectl.store.shared.taking import take_in

        return take_in(self, self.insert, self.admit, pages)

    def admit(self, arrivals: Sequence[Arrival]) -> list[Admitted]:
        from queuectl.domain.lifecycle import Replaced
        from queuectl.store.shared.arriving import check_batches
        from queuectl.store.shared.unique import admit

        if not arrivals:
            return []
        now = self.now()
        with self.transaction():
            admitted, merged = admit(self, arrivals)
            if merged:
                self._rewrite(merged, now)
                moved = [(before.batch, after) for before, after in merged if after.batch != before.batch]
                check_batches(self, [after for _, after in moved])
                self._change_batches({name for name, _ in moved}, [after for _, after in moved])
                self._send_rows("note", [(now, after.seq, Replaced.__name__, after.owner) for _, after in merged])
                self._announce()
        return admitted

    def _change_batches(self, left: Collection[str | None], joined: Collection[Job]) -> None:
        """Jobs have left some batches and joined others, for those that wait for these and for their limits."""
        from queuectl.domain.batch import lock_of, needs
        from queuectl.store.shared.settling import note_batches, note_unlimited

        for among, removed in ((left, True), ({job.batch for job in joined}, False)):
            if names := {name for name in among if name is not None}:
                self._turn_batches(names)
                note_batches(self, names, names, removed)
        if names := {job.batch for job in joined if job.batch and not needs(job.locks, lock_of(job.batch))}:
            note_unlimited(self, names)

    # --- the order in line ------------------------------------------------------------------

    def move(self, ref: str, before: str | None, who: str | None) -> Job:
        from queuectl.domain.lifecycle import Edited, apply

        now = self.now()
        with self.transaction():
            refs = [ref] if before is None else [ref, before]
            found = self._each(refs, lambda job: _in_line(job, now))
            for each in found:
                if isinstance(each, QueuectlError):
                    raise each
            job, *others = (each for each in found if isinstance(each, Job))
            others = self.line(job.queue, 1) if before is None else others or [job]
            if not others or (before is None and others[0].seq == job.seq):
                return job
            after = apply(job, Edited(self._values_before(others[0], job)), now)
            self._rewrite([(job, after)], now)
            detail = "to the front" if before is None else f"before {others[0].id}"
            if job.priority != after.priority:
                detail += f"; priority: {job.priority} → {after.priority}"
            self._send_rows("note_detail", [(now, job.seq, "Moved", who, detail)])
            self._announce()
        return after

    def _values_before(self, next_: Job, job: Job) -> dict[str, Any]:
        """What has a job stand just before another one of its queue."""
        if next_.seq == job.seq:
            raise Invalid(f"job {job.id} cannot be moved before itself", "name another one")
        if next_.queue != job.queue:
            raise Conflict(
                f"job {next_.id} is in queue {next_.queue}, job {job.id} in queue {job.queue}",
                f"move it to the other queue first: queuectl set {job.id} queue={next_.queue}",
            )
        at = {"queue": job.queue, "priority": next_.priority, "but": job.seq}
        earlier = self.read("before", **at, due_at=next_.due_at, seq=next_.seq)
        due_at, seq = earlier[0] if earlier else (None, 0)
        if due_at == next_.due_at and not seq < job.seq < next_.seq:
            return {"priority": next_.priority, "place": self._place_in_crowd(next_, job)}
        place = next_.due_at if due_at == next_.due_at else order.between(due_at, next_.due_at)
        return {"priority": next_.priority, "place": due_at if place is None else place}

    def _place_in_crowd(self, next_: Job, job: Job) -> float:
        """A place before one of many jobs with the same due time: those before it make room."""
        same = "queue = ? AND priority = ? AND due_at = ? AND seq < ? AND seq <> ? AND state IN ('blocked', 'pending')"
        values = [job.queue, next_.priority, next_.due_at, next_.seq, job.seq]
        text = f"SELECT seq FROM {{schema}}.jobs WHERE {same} ORDER BY seq LIMIT ? {self._dialect.locked}"
        crowd = [seq for (seq,) in self._select(text, [*values, CROWD_MAX + 1])]
        if len(crowd) > CROWD_MAX:
            raise Conflict(
                f"more than {CROWD_MAX:,} jobs with the same time are before job {next_.id}",
                f"move it before the first of them: queuectl move --front {named(job.id)}",
            )
        at = {"queue": job.queue, "priority": next_.priority, "but": job.seq}
        earlier = self.read("before", **at, due_at=next_.due_at, seq=0)
        theirs, place = order.room_before(earlier[0][0] if earlier else None, next_.due_at)
        text = f"UPDATE {{schema}}.jobs SET place = ?, due_at = ? WHERE seq {self._dialect.any_of}"
        self._execute(text, [theirs, theirs, self._dialect.array(crowd)])
        return place

    # --- writing ----------------------------------------------------------------------------

    def _rewrite(self, changed: Sequence[tuple[Job, Job]], now: float) -> None:
        """Replaces locked jobs, each (before, after), in all that `set` may change."""
        afters = Births([after for _, after in changed], now)
        numbers = self._keep_specs(afters.specs)
        if afters.is_guarded:
            self._shut_out_older()
        if any(getattr(before, name) != getattr(after, name) for before, after in changed for name in GATED):
            self._shut_gates_late()  # perhaps the first of many changes of a long transaction
        text = f"SELECT seq, spec FROM {{schema}}.jobs WHERE seq {self._dialect.any_of}"
        were = dict(self._select(text, [self._dialect.array([before.seq for before, _ in changed])]))
        self._write(changed, now)
        self._send_rows("edit_job", afters.rows(numbers, (*EDITED, "seq")))
        others = [after for after in afters.jobs if numbers[after.spec] != were[after.seq]]
        if others:
            come, gone = Counter(numbers[job.spec] for job in others), Counter(were[job.seq] for job in others)
            self._exchange_specs(come, gone)
        self._count(changed)
        self._left_lines(before for before, _ in changed)


def _in_line(job: Job, now: float) -> Job:
    """The job, if it is due and waits. Raises `Conflict`."""
    if job.state is JobState.PROCESSING or job.state in FINISHED:
        state = "running" if job.state is JobState.PROCESSING else job.state
        raise Conflict(f"job {job.id} is {state} and stands in no line", f"see: queuectl show {named(job.id)}")
    if job.due_at > now:
        hint = f"make it due: queuectl retry {named(job.id)}"
        raise Conflict(f"job {job.id} is not due yet and stands in no line", hint)
    return job
