"""What a claim may take, as a model of a store knows it: a few lines without lines, flags or counters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import inf

from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import Ended, Event, Expired, GivenBack, Lost, Started, apply
from queuectl.domain.limits import Lock, Pause, Queue, Rate, requests_of
from queuectl.store.port import Store
from queuectl.wire.jobs import why_expired

PLACES, RATE, UNITS = 1, Rate(1, 5.0), ("0", "1")
NEVER = str(10**6)


class ModelGates:
    """Queue `slow` has one place, `zoo` a rate, and lock `x` two units. People pause `default`."""

    def __init__(self, store: Store, *, is_on: bool) -> None:
        self.is_on = is_on
        self._paused = False
        self._starts: dict[tuple[int, int], float] = {}
        if is_on:
            store.set_config("lock-patience", NEVER)
            store.set_queue(Queue("slow", concurrency=PLACES))
            store.set_queue(Queue("zoo", rate=RATE))
            store.set_lock(Lock("x", UNITS))

    def toggle_pause(self, store: Store, now: float) -> None:
        if self.is_on:
            self._paused = not self._paused
            store.set_queue(Queue("default", pause=Pause(now) if self._paused else None))

    def expired(self, job: Job, now: float) -> Job:
        """The job as a claim finds it."""
        is_late = job.start_by is not None and job.start_by <= now
        return apply(job, Expired(why_expired(job)), now) if is_late and job.state is JobState.PENDING else job

    def claimable(self, jobs: Iterable[Job], due: Iterable[Job], limit: int, now: float) -> dict[int, str | None]:
        """By `seq`: what a claim takes of the jobs `due`, in the order of claiming, with what names their units."""
        running = [job for job in jobs if job.state is JobState.PROCESSING]
        held = [unit for job in running if job.locks for unit in _units(job)]
        places = PLACES - sum(job.queue == "slow" for job in running)
        starts = RATE.starts - sum(at >= now - RATE.window_s for at in self._starts.values())
        taken: dict[int, str | None] = {}
        for job in due:
            needed = sum(request.units for request in requests_of(job.locks))
            free = [unit for unit in UNITS if unit not in held]
            is_closed = {"default": self._paused, "slow": places <= 0, "zoo": starts <= 0}[job.queue] and self.is_on
            if len(taken) >= limit or is_closed or needed > len(free):
                continue
            held += free[:needed]
            places -= job.queue == "slow"
            starts -= job.queue == "zoo"
            taken[job.seq] = json.dumps({"QUEUECTL_LOCK_X": ",".join(free[:needed])}) if needed else None
        return taken

    def claimed(self, job: Job) -> None:
        if job.queue == "zoo" and self.is_on:
            self._starts[job.seq, job.lease] = inf

    def recorded(self, job: Job, event: Event, now: float) -> None:
        key = job.seq, job.lease
        if self._starts.get(key) != inf:
            return
        match event:
            case Started(at=at) | Ended(started_at=at):
                self._starts[key] = at
            case Lost():
                self._starts[key] = now
            case GivenBack():
                del self._starts[key]


def _units(job: Job) -> list[str]:
    names: dict[str, str] = json.loads(job.units or "{}")
    return names["QUEUECTL_LOCK_X"].split(",")
