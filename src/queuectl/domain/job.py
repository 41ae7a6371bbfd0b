"""Jobs and their executions.

A `Job` is a command with its fixed policy and environment (`Spec`). An `Attempt` is one execution. Both are values: a
change makes a new one, and only `lifecycle.apply` changes a state.

Times are seconds since the epoch (UTC, float); durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from queuectl.typed import NamedTuple

DEFAULT_QUEUE = "default"
HOOKS = "(hooks)"
"""The queue of hooks (see domain/hooks.py). No check of names lets parentheses pass."""
COMMAND_STRING_BYTES_MAX = (128 << 10) - 1
"""The longest single argument, or variable with its name, that Linux takes (MAX_ARG_STRLEN less its NUL)."""
SCRIPT_BYTES_MAX = 1 << 20
"""The longest script that is kept with a job."""
COMMAND_BYTES_MAX = 1 << 20
"""The longest list of words; with the environment it stays within the kernel's 2 MiB."""


class JobState(StrEnum):
    """The state of a job. `lifecycle` has the transitions."""

    BLOCKED = "blocked"
    PENDING = "pending"
    PROCESSING = "processing"
    FAILED = "failed"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"


FINISHED = frozenset({JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED})
"""States that only a person's action ends."""

CLAIMABLE = frozenset({JobState.PENDING, JobState.FAILED})
"""States from which a worker may claim, once the job is due."""


NO_ENV: Mapping[str, str] = MappingProxyType({})


class Spec(NamedTuple):
    """The part of a job that is fixed when it is enqueued: retry policy, time limit, environment.

    `env` is added to the worker's environment; variables that match `captured` come from `env` alone. `secrets` are
    names of variables whose values only the worker knows. `script` is the text that the job runs, whose name and
    arguments are the words of its command. Many jobs share a spec, and stores keep equal specs once.
    """

    max_retries: int = 3
    backoff_base: float = 2.0
    backoff_initial: float = 2.0
    backoff_max: float = 3600.0
    backoff_jitter: float = 0.0
    retry_on: tuple[int, ...] = ()
    fatal_on: tuple[int, ...] = ()
    timeout: float | None = None
    kill_grace: float = 10.0
    cwd: str | None = None
    umask: int | None = None
    env: Mapping[str, str] = NO_ENV
    captured: tuple[str, ...] = ()
    shell: str = "/bin/sh"
    stdin: str | None = None
    output_path: str | None = None
    split_output: bool = False
    expires: float | None = None
    memory_max: int | None = None
    nice: int | None = None
    user: str | None = None
    unique_for: float | None = None
    secrets: tuple[str, ...] = ()
    script: str | None = None
    on_success: str | None = None
    on_failure: str | None = None
    on_dead: str | None = None

    def __hash__(self) -> int:
        """By value, as specs are equal; a mapping has none of its own."""
        return hash((self[:_ENV_AT], frozenset(self.env.items()), self[_ENV_AT + 1 :]))


_ENV_AT = Spec._fields.index("env")


class Job(NamedTuple):
    """A command to run, and its progress.

    `command` is a string for the shell, or a tuple of words to run without one. Since the last retry by hand,
    `attempts` counts executions that ended by themselves or by their time limit, `lost` those lost with their worker,
    and `lost_in_row` the latest of these without another end in between. `starts` counts all starts. `lease` is the
    fencing token: it grows with each claim and is never reset. `worker` is the id of the supervisor that has the claim.
    `locks` are spelled `NAME` or `NAME=N`, by name; `units` is a JSON object of the variables that tell its command
    which units it holds, as of the latest claim. A job that has not started by `start_by` is cancelled; one that has
    is given back without it. `unique_key` is held until the job has finished, and at least until `unique_until`.
    `place` is the time by which it stands in line, once somebody has moved it there. `depends_on` is spelled as
    domain/dependency.py says; `unmet` of them are open or cannot hold. While there are any, the job is blocked, or
    one that cannot hold has cancelled it. `progress` is what its command says of itself, `result` the JSON that its
    latest execution left. If that failed, `last_line` is of its output, and `fault` is the same for failures that are
    alike (domain/fault.py). `schedule` names what added it, for the time `scheduled_at`.
    """

    id: str
    command: str | tuple[str, ...]
    spec: Spec
    created_at: float
    run_at: float
    updated_at: float
    seq: int = 0
    generated_id: bool = False
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    tags: tuple[str, ...] = ()
    owner: str | None = None
    locks: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    units: str | None = None
    start_by: float | None = None
    batch: str | None = None
    unique_key: str | None = None
    unique_until: float | None = None
    place: float | None = None
    schedule: str | None = None
    scheduled_at: float | None = None
    state: JobState = JobState.PENDING
    unmet: int = 0
    held: bool = False
    cancel_requested: bool = False
    attempts: int = 0
    starts: int = 0
    lost: int = 0
    lost_in_row: int = 0
    lease: int = 0
    worker: str | None = None
    host: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    next_retry_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    cpu_time: float | None = None
    max_rss: int | None = None
    output_bytes: int | None = None
    progress: str | None = None
    result: str | None = None
    last_line: str | None = None
    fault: str | None = None

    @property
    def claimable(self) -> bool:
        """Whether a worker may take it once it is due."""
        return self.state in CLAIMABLE and not self.held

    @property
    def undelayed(self) -> bool:
        """Whether it was due when it was enqueued, and has not waited for a time of its own since. A clock that was set
        back meanwhile delays it no more."""
        return self.next_retry_at is None and self.place is None and self.run_at <= self.created_at

    @property
    def due_at(self) -> float:
        """The earliest time of a claim. It is never before the job was enqueued, so that no job jumps the line, unless
        somebody moves it."""
        if self.next_retry_at is not None:
            return self.next_retry_at
        if self.place is not None:
            return self.place
        return max(self.run_at, self.created_at)

    @property
    def finished(self) -> bool:
        """Whether only a person can make it run again."""
        return self.state in FINISHED

    def has_expired(self, now: float) -> bool:
        """Whether it has not started in time, and waits for a worker to cancel it."""
        waits = self.state in (JobState.BLOCKED, JobState.PENDING)
        return waits and self.start_by is not None and self.start_by <= now

    def is_over(self, now: float) -> bool:
        return self.finished or self.has_expired(now)

    @property
    def duration(self) -> float | None:
        """Seconds that the latest execution took; None while or before it runs."""
        return _duration(self.started_at, self.finished_at)


def _duration(started_at: float | None, finished_at: float | None) -> float | None:
    return None if started_at is None or finished_at is None else max(0.0, finished_at - started_at)


class Outcome(StrEnum):
    """How one execution ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    LOST = "lost"


class Attempt(NamedTuple):
    """One execution of a job. `number` counts from 1 and is never reused.

    `outcome` is None while it runs. `output_files` are the files of a running attempt's streams, relative to the
    store's folder. `leftover` names processes that the command left running when it ended; `note` is why its
    result was not kept, or why it was given back. `max_rss` is in bytes.
    """

    number: int
    lease: int
    worker: str
    host: str
    started_at: float
    finished_at: float | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    cpu_time: float | None = None
    max_rss: int | None = None
    output_bytes: int | None = None
    output_files: tuple[str, ...] = ()
    leftover: str | None = None
    note: str | None = None

    @property
    def duration(self) -> float | None:
        """Seconds that it took; None while it runs."""
        return _duration(self.started_at, self.finished_at)


STARTING = "starting"


def seen_state(job: Job) -> str:
    """The state that people see: a claimed job whose command has not begun is `starting`."""
    return STARTING if job.state is JobState.PROCESSING and job.started_at is None else job.state.value
