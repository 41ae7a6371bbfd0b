"""What a worker does for its store once a second, besides running jobs."""

from __future__ import annotations

from collections.abc import Callable

from queuectl.clock import Clock
from queuectl.domain import retry
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import ClockSetBack
from queuectl.domain.selector import Selector
from queuectl.engine.dispatch.pace import Beat
from queuectl.engine.happenings import JobCancelled, JobExpired, Observer
from queuectl.settings import Settings
from queuectl.store.port import WorkStore

STEP_S = 0.5
"""A clock that goes back by more was set; by less, it is slewed, or its readings took a while."""
PAGE_JOBS = 500
SCAN_MAX_S = 0.05
"""How long one look at the jobs that wait for a retry may take."""

PRUNE_EVERY_S, BATCH_JOBS = 60.0, 500

WAITING = Selector(states=(JobState.FAILED,), hooks=None)


class Upkeep:
    """Removes old jobs, and keeps retries from waiting for a time that a clock which was set back has moved away. While
    the worker claims nothing, it also does what its next claim would do besides."""

    def __init__(self, store: WorkStore, clock: Clock, claims_nothing: Callable[[], bool], observe: Observer) -> None:
        self._store = store
        self._claims_nothing = claims_nothing
        self._observe = observe
        self._pruning = Pruning(store)
        self._clock_watch = ClockWatch(store, clock)

    def go_on(self, settings: Settings, now: float) -> bool:
        """Does what is due. Returns whether there may be something to claim earlier than was known."""
        self._pruning.go_on(settings, now)
        if self._claims_nothing():
            if expired := self._store.sweep():
                self._observe(*map(JobExpired, expired))
            if cancelled := self._store.cancelled():
                self._observe(*map(JobCancelled, cancelled))
        return self._clock_watch.go_on()


class Pruning:
    """Removes what is older than the settings keep, in batches so small that nobody waits."""

    def __init__(self, store: WorkStore) -> None:
        self._store = store
        self._more = False
        self._beat = Beat()

    def go_on(self, settings: Settings, now: float) -> None:
        """The next batch, if it is time or the last one was full."""
        if self._more or self._beat.is_due("prune", PRUNE_EVERY_S, now):
            old = settings.retention(self._store.now())
            self._more = BATCH_JOBS in [self._store.prune(selector, BATCH_JOBS) for selector in old]


class ClockWatch:
    """Compares the store's clock with one that never jumps. Where it was set back, and once when a worker starts, looks
    through all jobs that wait for a retry: none may wait longer than its own delay from now."""

    def __init__(self, store: WorkStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ahead_s: float | None = None
        self._scanned: int | None = 0
        """`seq` of the last job that was looked at; None where there is nothing to look for."""

    def go_on(self) -> bool:
        """Looks on; whether there may be something to claim earlier than was known: jobs were brought forward, or the
        clock was set back, so that a rate or a pause reckoned by it opens sooner."""
        began = self._clock.monotonic()
        ahead_s = self._store.now() - began
        found = self._ahead_s is not None and ahead_s < self._ahead_s - STEP_S
        if found:
            self._scanned = 0
        self._ahead_s = ahead_s
        while self._scanned is not None and self._clock.monotonic() - began < SCAN_MAX_S:
            found = self._look_at_a_page(self._scanned) or found
        return found

    def _look_at_a_page(self, after: int) -> bool:
        page = self._store.find(WAITING, limit=PAGE_JOBS, after_seq=after)
        now = self._store.now()
        if late := [job.id for job in page if waits_too_long(job, now)]:
            self._store.change(late, ClockSetBack(), None)
        self._scanned = page[-1].seq if len(page) == PAGE_JOBS else None
        return bool(late)


def waits_too_long(job: Job, now: float) -> bool:
    """Whether a failed job is to wait longer than its delay, counted from now."""
    return job.due_at > now + retry.delay(job.spec, job.attempts, 0.0) + STEP_S
