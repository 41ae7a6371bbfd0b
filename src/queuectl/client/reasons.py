"""Why jobs are not running: reads what the reasons need of queues, locks, workers and the jobs ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from queuectl.client.values import WorkerView
from queuectl.client.workers import line_of, serves, workers_of
from queuectl.domain.dependency import Awaited, parse
from queuectl.domain.job import HOOKS, Job, JobState
from queuectl.domain.limits import Hold, Lock, Passed, Queue, rate_room
from queuectl.domain.reason import Format, Slots, alike, reason
from queuectl.settings import Settings
from queuectl.store.port import Store
from queuectl.wire.jobs import why_expired
from queuectl.wire.times import format_duration, format_second

WAITING = (JobState.PENDING, JobState.FAILED)

PLACES_MAX = 50
"""Most jobs of a listing whose exact place in line is counted."""

FORM = Format(format_duration, format_second, why_expired)


class Listing:
    """The surroundings of the jobs of a listing: each kind of fact is read once, and only if a job needs it.

    The number of jobs does not matter, only the number of queues, locks, workers and running jobs.
    """

    most = 1000

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = store.now()
        self._asked = 0
        self._awaited: Mapping[int, Awaited] = {}
        self._known: dict[tuple[object, ...] | None, str | None] = {}
        self._opens_at: dict[str, float | None] = {}
        self._slots: dict[str, Slots] = {}
        self._lines: dict[str, list[str]] = {}

    def reasons(self, jobs: Sequence[Job]) -> list[str | None]:
        """Why each job is not running; None if it is running or done. Only the first places in line are counted."""
        known, now = self._known, self.now
        self._awaited = self.store.awaited(jobs)
        found: list[str | None] = []
        for job in jobs:
            like = alike(job, now)
            found.append(known[like] if like in known else self._reason(job, like))
        return found

    def _reason(self, job: Job, like: tuple[object, ...] | None) -> str | None:
        """The reason of a job, remembered for those `like` it unless it tells what only this one's order decides."""
        asked = self._asked
        found = reason(job, self.now, self, FORM)
        has_place = asked < self._asked <= PLACES_MAX
        if like is not None and not has_place and not (job.locks and self._passed):
            self._known[like] = found
        return found

    # --- queues and workers -----------------------------------------------------------------

    @cached_property
    def queues(self) -> Mapping[str, Queue]:
        return {queue.name: queue for queue in self.store.queues()}

    @cached_property
    def counts(self) -> Mapping[tuple[str, JobState], int]:
        return self.store.counts()

    def running_in(self, queue: str) -> int:
        return self.counts.get((queue, JobState.PROCESSING), 0)

    def rate_opens_at(self, queue: Queue) -> float | None:
        assert queue.rate is not None
        if queue.name not in self._opens_at:
            room, opens_at = rate_room(queue.rate, self.store.window(queue.name, queue.rate, self.now), self.now)
            self._opens_at[queue.name] = 0.0 if room else opens_at
        return self._opens_at[queue.name]

    def is_closed(self, name: str) -> bool:
        """Whether a queue starts nothing now, so that its jobs are in nobody's way."""
        queue = self.queues.get(name)
        if queue is None or not queue.is_limited:
            return False
        opens_at = self.rate_opens_at(queue) if queue.rate else 0.0
        return (
            (queue.pause is not None and queue.pause.lasts(self.now))
            or (queue.concurrency is not None and self.running_in(name) >= queue.concurrency)
            or opens_at is None or opens_at > self.now
        )  # fmt: skip

    @cached_property
    def live(self) -> list[WorkerView]:
        return workers_of(self.store)

    def serving(self, queue: str) -> list[WorkerView]:
        """The workers that take jobs of a queue. Each runs hooks, one at a time."""
        if queue == HOOKS:
            return [
                each._replace(slots=1, waits=None, running=())
                for each in self.live
                if not (each.stopping or each.orphaned)
            ]
        return [worker for worker in self.live if serves(worker, queue)]

    def slots(self, queue: str) -> Slots:
        if queue not in self._slots:
            serving = self.serving(queue)
            busy = sum(max(len(each.running), each.slots if each.waits else 0) for each in serving)
            waits = next((worker.waits for worker in serving if worker.waits), None)
            self._slots[queue] = Slots(sum(worker.slots for worker in serving), busy, waits)
        return self._slots[queue]

    # --- locks ------------------------------------------------------------------------------

    @cached_property
    def _locks(self) -> Mapping[str, Lock]:
        return {lock.name: lock for lock in self.store.locks()}

    def lock(self, name: str) -> Lock:
        return self._locks.get(name) or Lock(name)

    @cached_property
    def held(self) -> Mapping[str, Sequence[Hold]]:
        return self.store.held()

    @cached_property
    def _passed(self) -> list[Passed]:
        """The jobs that keep units for themselves, as a claim would see it."""
        patience_s = Settings(self.store.config(), self.store.defaults)["lock-patience"]
        passed = self.store.passed_by(self.now - patience_s)
        return [each for each in passed if self.slots(each.queue).all and not self.is_closed(each.queue)]

    def kept(self, job: Job, lock: str) -> Sequence[Hold]:
        order = -job.priority, job.due_at, job.seq
        kept = [(each, each.units_of(lock)) for each in self._passed if each.order < order]
        return [Hold(each.job, each.since, ("",) * units) for each, units in kept if units]

    # --- dependencies -----------------------------------------------------------------------

    def awaited(self, job: Job) -> str:
        known = self._awaited.get(job.seq) or self.store.awaited([job]).get(job.seq)
        return str(known) if known else parse(job.depends_on[0]).what if job.depends_on else "other jobs"

    # --- the line ---------------------------------------------------------------------------

    @cached_property
    def _waiting(self) -> set[str]:
        """The queues in which jobs wait that may start."""
        waiting = {queue for (queue, state), number in self.counts.items() if number and state in WAITING}
        return {queue for queue in waiting if not self.is_closed(queue)}

    def ahead(self, job: Job) -> int | None:
        self._asked += 1
        return self._before(job) if self._asked <= PLACES_MAX else None

    def _before(self, job: Job) -> int:
        if job.queue not in self._lines:
            known = () if job.queue == HOOKS else self._waiting
            self._lines[job.queue] = line_of(self.serving(job.queue), job.queue, known)
        return self.store.ahead(job, self.most + 1, self._lines[job.queue])
