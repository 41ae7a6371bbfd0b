"""Why jobs are not running: reads what the reasons need of workers and of the jobs ahead."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from queuectl.client.values import WorkerView
from queuectl.client.workers import line_of, serves, workers_of
from queuectl.domain.job import Job, JobState
from queuectl.domain.reason import AHEAD_MAX, Surroundings, reason
from queuectl.store.port import Store
from queuectl.wire.times import format_duration, format_second

WAITING = (JobState.PENDING, JobState.FAILED)

PLACES_MAX = 50
"""Most jobs of a listing whose exact place in line is counted."""


def reasons(store: Store, jobs: Sequence[Job]) -> list[str | None]:
    """Why each job is not running; None if it is running or done. Only the first places in line are counted."""
    now, places = store.now(), _Places(store)
    return [reason(job, now, lambda job=job: places.of(job), format_duration, format_second) for job in jobs]  # type: ignore[misc]


class _Places:
    """The surroundings of the jobs of a listing, read once and only if needed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = 0

    @cached_property
    def _live(self) -> list[WorkerView]:
        return workers_of(self._store)

    @cached_property
    def _waiting(self) -> set[str]:
        """The queues in which jobs wait."""
        return {queue for (queue, state), number in self._store.counts().items() if number and state in WAITING}

    def of(self, job: Job) -> Surroundings:
        """The slots that serve the job's queue, and the job's place in line."""
        serving = [worker for worker in self._live if serves(worker, job.queue) and not worker.stopping]
        slots, busy = sum(worker.slots for worker in serving), sum(len(worker.running) for worker in serving)
        self._asked += 1
        ahead: int | None = 0
        if slots:
            is_counted = self._asked <= PLACES_MAX
            line = line_of(serving, job.queue, self._waiting) if is_counted else ()
            ahead = self._store.ahead(job, AHEAD_MAX, line) if is_counted else None
        return Surroundings(slots=slots, busy=busy, ahead=ahead)
