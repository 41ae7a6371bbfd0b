"""What happens to jobs: the events of domain/lifecycle.py, which says what each leads to."""

from __future__ import annotations

from collections.abc import Mapping

from queuectl.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from queuectl.domain.cause import Cause
    from queuectl.domain.job import Job

LOST_WITH_MACHINE = 10
"""This many losses with the whole machine count as much as one that points to the job."""


class Claimed(NamedTuple):
    """A worker took the job. `worker` is its supervisor's id."""

    worker: str
    host: str


class Started(NamedTuple):
    """The command started at `at`. `is_foreseen`: it is just about to, and the time of its real start follows."""

    at: float
    is_foreseen: bool = False


class Ended(NamedTuple):
    """An execution ended, and how is known.

    Success is `exit_code` 0 without a `cause` or an `error`. `error` is set if the command could not be started or the
    code does not say enough. `draw` in [0, 1) is for the jitter of the retry. `last_line` of its
    output is given for failures only.
    """

    started_at: float
    finished_at: float
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    cause: Cause | None = None
    cpu_time: float | None = None
    max_rss: int | None = None
    output_bytes: int | None = None
    draw: float = 0.0
    progress: str | None = None
    result: str | None = None
    last_line: str | None = None


class Progressed(NamedTuple):
    """The running command says how far it is."""

    progress: str


class Stuck(NamedTuple):
    """The execution could not be ended: `error` names processes that live on. It still counts as running."""

    error: str


class GivenBack(NamedTuple):
    """The worker returns its claim before it started the command."""


class Lost(NamedTuple):
    """Every process of the job's worker is gone, so the execution's end is unknown.

    `max_lost` losses in a row send the job to the dead letter queue. `with_machine`: a machine or service was stopped,
    which is not the job's fault; such losses do not count in that row, and `LOST_WITH_MACHINE` times as many are
    allowed. An execution whose start is not recorded (`Job.started_at` is None) is given back instead.
    """

    max_lost: int
    with_machine: bool = False


class LossTakenBack(NamedTuple):
    """A worker that counted as lost has reported that it ended the execution in time: that was no loss.

    `later` of the job's losses are more recent. The losses become what they would be if this execution had been given
    back, except those from before a retry by hand. The state stays, even if the job is dead by now.
    """

    later: int


class ClockSetBack(NamedTuple):
    """The store's clock was set back while the job waits for its retry: it now waits at most its delay."""


class CancelRequested(NamedTuple):
    """A person cancels the job."""

    reason: str = "cancelled"


class Retried(NamedTuple):
    """A person runs the job again, now."""


class Expired(NamedTuple):
    """The job did not start by `Job.start_by`; `error` says so."""

    error: str


class Settled(NamedTuple):
    """Of the job's dependencies `unmet` are undecided or cannot hold. `error` says why if one cannot; it is then
    cancelled until somebody retries what it depends on."""

    unmet: int
    error: str | None = None


class Replaced(NamedTuple):
    """A later job with the same unique key was to be added: `new`, which gives this one its command, input and time.

    `delay`: the new one was to start after this long.
    """

    new: Job
    delay: float | None = None


class Held(NamedTuple):
    """No worker may claim the job until it is released."""


class Released(NamedTuple):
    """The job may be claimed again."""


class Edited(NamedTuple):
    """A person changed what the job is to do: `values` are attributes of `Job`, none of which an event decides."""

    values: Mapping[str, Any]


Event = (
    Claimed
    | Started
    | Ended
    | Progressed
    | Stuck
    | GivenBack
    | Lost
    | LossTakenBack
    | ClockSetBack
    | CancelRequested
    | Retried
    | Expired
    | Settled
    | Replaced
    | Held
    | Released
    | Edited
)
