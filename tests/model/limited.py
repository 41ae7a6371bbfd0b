"""Limits in a simulated run: what people set, that nothing ever goes beyond it, and that nothing waits in vain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from queuectl.domain.job import CLAIMABLE, Job, JobState
from queuectl.domain.limits import Lock, Pause, Queue, Rate, Request, rate_room, requests_of
from queuectl.domain.selector import Selector
from queuectl.settings import Settings
from queuectl.store.port import Store
from tests.model.timeline import Timeline, Violation

if TYPE_CHECKING:
    from tests.model.verdict import Execution

CAPACITY, PLACES, RATE = 2, 1, Rate(3, 1.0)
WAITS_MAX_S = 8.0
"""So long nothing that could start waits for a worker with a free slot, even if no wake-up reaches that."""


class Limited:
    """The limits of one run; a run without limits has none but the slots of its workers."""

    def __init__(self, seed: int, time: Timeline, *, keeps_time: bool) -> None:
        """`keeps_time`: nobody sets the clock. Else a rate is not what it seems from outside."""
        self._chance = Random(f"limits {seed}")
        self.is_on = seed % 2 == 1
        self._time = time
        self._keeps_time = keeps_time
        self._began: list[float] = []
        self._waits_since: dict[tuple[int, int], float] = {}
        self._is_paused = False

    # --- what people do ---------------------------------------------------------------------

    def prepare(self, store: Store) -> None:
        if self.is_on:
            store.set_queue(Queue("slow", concurrency=PLACES))
            store.set_queue(Queue("rated", rate=RATE))
            store.set_lock(Lock("x", tuple(map(str, range(CAPACITY)))))

    def of_job(self, job: Job) -> Job:
        """A new job, with limits of chance."""
        if not self.is_on:
            return job
        locks = self._chance.choice(((), (), ("x",), ("x=2",), ("x", "y")))
        queue = "rated" if self._chance.random() < 0.25 else job.queue
        start_by = job.run_at + 1 if self._chance.random() < 0.1 else None
        return job._replace(locks=locks, queue=queue, start_by=start_by)

    def act(self, store: Store) -> None:
        """Somebody pauses a queue, or resumes it."""
        if self.is_on and self._chance.random() < 0.2:
            self.pause(store, not self._is_paused)

    def pause(self, store: Store, wanted: bool) -> None:
        if self.is_on:
            self._is_paused = False  # a claim just now may go by the one or the other
            store.set_queue(Queue("slow", concurrency=PLACES, pause=Pause(self._time.now()) if wanted else None))
            self._is_paused = wanted

    # --- what must hold at every instant ------------------------------------------------------

    def claimed(self, job: Job) -> None:
        if self._is_paused and job.queue == "slow":
            raise Violation(f"{job.id} is claimed although its queue is paused")

    def begins(self, job: Job, running: Sequence[tuple[Job, Execution]]) -> None:
        """A command is spawned; `running`: what runs already."""
        if not self.is_on:
            return
        jobs = [job, *(other for other, _ in running)]
        if sum(each.queue == "slow" for each in jobs) > PLACES and job.queue == "slow":
            raise Violation(f"{job.id} starts though its queue is full")
        for request in requests_of(job.locks):
            needed = sum(each.units for each in _all_requests(jobs) if each.lock == request.lock)
            if needed > (CAPACITY if request.lock == "x" else 1):
                raise Violation(f"{job.id} starts though lock {request.lock} is held")
        if job.queue == "rated" and self._keeps_time:
            self._began.append(self._time.monotonic())
            if len(self._began) > RATE.starts and self._began[-1] - self._began[-1 - RATE.starts] < RATE.window_s:
                raise Violation(f"{job.id} is one start too many")

    def look(self, store: Store, may_start: Callable[[Job], bool]) -> None:
        """All faults are over: what could start does so. `may_start`: some worker has a slot for it."""
        jobs = store.find(Selector())
        now = self._time.monotonic()
        waits = {
            (job.seq, job.lease): self._waits_since.get((job.seq, job.lease), now)
            for job in jobs if may_start(job) and self._is_free(store, job, jobs)
        }  # fmt: skip
        self._waits_since = waits
        for (seq, _), since in waits.items():
            if now - since > WAITS_MAX_S:
                raise Violation(f"job{seq} waits though all that it needs is free")

    def _is_free(self, store: Store, job: Job, jobs: Sequence[Job]) -> bool:
        if job.state not in CLAIMABLE or job.held or job.due_at > self._time.now() or job.lost_in_row:
            return False
        running = [each for each in jobs if each.state is JobState.PROCESSING]
        limits = {queue.name: queue for queue in store.queues()}
        if (queue := limits.get(job.queue)) is not None:
            if queue.pause or (queue.concurrency and sum(each.queue == job.queue for each in running) >= PLACES):
                return False
            window = store.window(job.queue, queue.rate, self._time.now()) if queue.rate else None
            if queue.rate and window and rate_room(queue.rate, window, self._time.now())[0] <= 0:
                return False
        patience_s = Settings(store.config())["lock-patience"]  # it is over at once where the clock is set forward
        passed = store.passed_by(self._time.now() - patience_s)
        before = [each for each in passed if each.order < (-job.priority, job.due_at, job.seq)]
        return all(
            sum(each.units for each in _all_requests(running) if each.lock == request.lock)
            + sum(each.units_of(request.lock) for each in before)
            + request.units
            <= store.lock(request.lock).capacity
            for request in requests_of(job.locks)
        )


def _all_requests(jobs: Sequence[Job]) -> list[Request]:
    return [request for job in jobs for request in requests_of(job.locks)]
