"""What a client answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from queuectl.domain.condition import Condition
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Attempt, Job, JobState
from queuectl.store.port import Note, WorkerRow

Progress = Callable[[int], None]
"""Told how many jobs are done so far."""


class Changed(NamedTuple):
    """What an acting command did: the jobs it changed, and what it could not change."""

    jobs: Sequence[Job]
    refused: Sequence[QueuectlError] = ()


class WorkerView(NamedTuple):
    """A live worker: its slots, what it runs, and whether it is about to stop.

    `condition`: whether it is driven, as far as that can be told from here. An orphaned one has lost its dispatcher: it
    starts nothing, but what it runs goes on until a worker takes over. `seen_at`: when it was heard of last, which is
    now where a lock tells, and else when it renewed its lease.
    `starting` are the jobs that it has claimed beyond its slots, to start each as soon as a slot is free.
    """

    name: str
    host: str
    pid: int
    slots: int
    queues: tuple[str, ...]
    started_at: float
    seen_at: float
    running: Sequence[Job]
    stopping: bool
    condition: Condition
    rows: Sequence[WorkerRow]
    starting: Sequence[Job] = ()

    @property
    def orphaned(self) -> bool:
        return self.condition is Condition.ORPHANED

    @property
    def suspended(self) -> bool:
        return self.condition is Condition.SUSPENDED

    @property
    def serving(self) -> bool:
        """Whether it takes new jobs, for all that is known."""
        return self.condition is Condition.DRIVEN and not self.stopping


class Status(NamedTuple):
    """The whole at a glance."""

    url: str
    at: float
    workers: Sequence[WorkerView]
    counts: dict[JobState, int]
    queues: dict[str, dict[JobState, int]]
    oldest_due: float | None
    next_retries: Sequence[Job]


class History(NamedTuple):
    """A job with all that happened to it."""

    job: Job
    reason: str | None
    attempts: Sequence[Attempt] = ()
    notes: Sequence[Note] = ()
