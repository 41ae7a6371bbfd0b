"""What a store tells of the past: deeds, news, figures. Apart from the port, since few commands ask for it."""

from __future__ import annotations

from typing import NamedTuple

from queuectl.domain.job import JobState, Outcome


class Deed(NamedTuple):
    """Something a person did, to a job or to anything else. `id` grows; `detail` says what was changed into what."""

    at: float
    kind: str
    who: str | None
    detail: str | None = None
    job: str | None = None
    id: int = 0


class Tally(NamedTuple):
    """How many executions ended so in one stretch of time; `place` counts the stretches from 0."""

    place: int
    outcome: Outcome
    number: int


class Span(NamedTuple):
    """How long one execution took, and before it the job had waited since it was due (none: not its first one)."""

    ran: float
    waited: float | None


class Place(NamedTuple):
    """How far somebody has read the news: the last job added, the last deed, and until when executions ended."""

    seq: int
    deed: int
    at: float


class News(NamedTuple):
    """Something that happened to a job: it was `enqueued`, an execution `started` or `ended`, or a person acted on it.

    `key` is the same whenever the same thing is told again. `number` is the execution's, `outcome` how it ended,
    `state` the job's by now.
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
    """Dead jobs that failed alike: how many, and when the first and the last of them did."""

    queue: str
    command: str
    exit_code: int | None
    error: str | None
    jobs: int
    first_at: float | None
    last_at: float | None
