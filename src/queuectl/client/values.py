"""Answers of a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from queuectl.domain.condition import Condition
from queuectl.domain.served import Served
from queuectl.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # few commands need these
    from queuectl.client.hooks import HookView
    from queuectl.domain.errors import QueuectlError
    from queuectl.domain.job import Attempt, Job, JobState
    from queuectl.domain.limits import Pause
    from queuectl.domain.reason import Code, Gate
    from queuectl.store.values import Note, WorkerRow

Progress = Callable[[int], None]
"""Called with the number of jobs done so far."""


BATCH = 500
"""Most jobs that one transaction acts on."""

GROUPS = DEEDS = 100
"""Default limits of listings."""


class Changed(NamedTuple):
    """The jobs that an action changed, and its refusals."""

    jobs: Sequence[Job]
    refused: Sequence[QueuectlError] = ()


class WorkerView(NamedTuple):
    """A live worker: its slots, its running jobs, and whether it is stopping.

    `condition` is its condition as seen from here. An orphaned worker has lost its dispatcher: it starts nothing, but
    its commands go on until a worker takes over. `seen_at` is now if a lock proves that it lives, else the time of its
    last renewal. `starting` are jobs that it has claimed beyond its slots, to start each when a slot is free.
    `waits`: why it starts nothing for now.
    `memory_limits` says what keeps those of its commands: `cgroup`, or `look` at each second. `version` is its release;
    None if it has no supervisor to tell.
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
    not_queues: tuple[str, ...] = ()
    memory_limits: str | None = None
    waits: str | None = None
    version: str | None = None

    @property
    def served(self) -> Served:
        return Served(self.queues, self.not_queues)

    @property
    def orphaned(self) -> bool:
        return self.condition is Condition.ORPHANED

    @property
    def suspended(self) -> bool:
        return self.condition is Condition.SUSPENDED

    @property
    def serving(self) -> bool:
        """Whether it takes new jobs, as far as is known."""
        return self.condition is Condition.DRIVEN and not self.stopping


class Status(NamedTuple):
    """Workers, counts and next retries."""

    url: str
    at: float
    workers: Sequence[WorkerView]
    counts: dict[JobState, int]
    queues: dict[str, dict[JobState, int]]
    oldest_due: float | None
    next_retries: Sequence[Job]
    paused: Mapping[str, Pause] = {}
    """Queues that are paused now."""


class Explanation(NamedTuple):
    """Why a job is not running: every closed gate, and when it is likely to start.

    `explanation` is a sentence without its subject. `starts_at` goes by the `runs` latest runs of the queue, of
    `mean_run` seconds on average; None if it depends on people, or nobody knows.
    """

    id: str
    state: JobState
    reason: str | None
    reason_code: Code | None
    explanation: str
    gates: Sequence[Gate] = ()
    starts_at: float | None = None
    runs: int = 0
    mean_run: float | None = None


class History(NamedTuple):
    """A job with its attempts, its events and its latest hooks."""

    job: Job
    reason: str | None
    attempts: Sequence[Attempt] = ()
    notes: Sequence[Note] = ()
    hooks: Sequence[HookView] = ()
