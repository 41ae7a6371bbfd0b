"""What a store tells about the past: deeds, news, figures. Not in port.py, since few commands ask for it."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.job import JobState, Outcome
from queuectl.typed import NamedTuple


class Deed(NamedTuple):
    """Something a person did, to a job or to anything else. `id` grows; `detail` says what was changed into what."""

    at: float
    kind: str
    who: str | None
    detail: str | None = None
    job: str | None = None
    id: int = 0


class Tally(NamedTuple):
    """How many executions ended with one outcome in one stretch of time. `place` counts the stretches from 0."""

    place: int
    outcome: Outcome
    number: int


class FaultTally(NamedTuple):
    """How many jobs of a fault failed in one stretch of time. `place` counts the stretches from 0."""

    fault: str
    place: int
    number: int


class Span(NamedTuple):
    """How long one execution ran, and how long its due job had waited before. `waited` is None if it was a retry."""

    ran: float
    waited: float | None


class End(NamedTuple):
    """An execution that ended by itself or by timeout: of which queue and command (its beginning), and how long it ran
    and had waited."""

    at: float
    queue: str
    command: str
    succeeded: bool
    ran: float
    waited: float | None


class Failure(NamedTuple):
    """An execution that failed, ran out of time or was lost. `state` is its job's present one."""

    at: float
    job: str
    queue: str
    state: JobState
    number: int
    error: str | None


class Place(NamedTuple):
    """How far a reader of the news has come: the last job added, the last deed, and the time of the last end."""

    seq: int
    deed: int
    at: float


class News(NamedTuple):
    """Something that happened to a job: it was `enqueued`, an execution `started` or `ended`, or a person acted on it.

    `key` is the same if the same thing is told again. `number` and `outcome` are those of the execution. `state` is
    the job's present state.
    """

    at: float
    kind: str
    key: tuple[str, int, int]
    job: str | None = None
    queue: str | None = None
    state: JobState | None = None
    number: int | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    error: str | None = None
    worker: str | None = None
    who: str | None = None
    detail: str | None = None


class Group(NamedTuple):
    """Jobs that failed alike: how many are dead or `waiting` for a retry, and when the first and the last of them
    failed. Command, exit code, error and last line are those of the last of them. `fault` is None of those that
    failed under a release that kept none. `recent`: how many failed in each of the last 24 hours, the present one last.
    """

    fault: str | None
    queue: str
    command: str
    exit_code: int | None
    error: str | None
    last_line: str | None
    jobs: int
    waiting: int
    first_at: float | None
    last_at: float | None
    recent: Sequence[int] = ()
