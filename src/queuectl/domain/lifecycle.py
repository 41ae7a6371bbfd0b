"""The lifecycle of a job, as data: which event leads from which state to which.

Rules:

- `TRANSITIONS` has every allowed change of state. Any other event is an error that names the event and the state.
  Nothing else in queuectl decides a state: no SQL, no command, no worker.
- `apply` is pure. Events carry the values they need: times, random draws, limits.
- The first cause wins: an execution that queuectl has signalled ends with that cause, whatever its exit status. An end
  before the signal stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from queuectl.domain import retry, unique
from queuectl.domain.cause import Cause as Cause
from queuectl.domain.errors import Conflict
from queuectl.domain.events import LOST_WITH_MACHINE as LOST_WITH_MACHINE
from queuectl.domain.events import CancelRequested as CancelRequested
from queuectl.domain.events import Claimed as Claimed
from queuectl.domain.events import ClockSetBack as ClockSetBack
from queuectl.domain.events import Edited as Edited
from queuectl.domain.events import Ended as Ended
from queuectl.domain.events import Event as Event
from queuectl.domain.events import Expired as Expired
from queuectl.domain.events import GivenBack as GivenBack
from queuectl.domain.events import Held as Held
from queuectl.domain.events import LossTakenBack as LossTakenBack
from queuectl.domain.events import Lost as Lost
from queuectl.domain.events import Progressed as Progressed
from queuectl.domain.events import Released as Released
from queuectl.domain.events import Replaced as Replaced
from queuectl.domain.events import Retried as Retried
from queuectl.domain.events import Settled as Settled
from queuectl.domain.events import Started as Started
from queuectl.domain.events import Stuck as Stuck
from queuectl.domain.job import Job, JobState, Outcome
from queuectl.domain.proposed import named
from queuectl.typed import Any

BLOCKED, PENDING, PROCESSING, FAILED = JobState.BLOCKED, JobState.PENDING, JobState.PROCESSING, JobState.FAILED
COMPLETED, DEAD, CANCELLED = JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED


TRANSITIONS: dict[JobState, dict[type[Event], frozenset[JobState]]] = {
    BLOCKED: {
        CancelRequested: frozenset({CANCELLED}),
        Expired: frozenset({CANCELLED}),
        Settled: frozenset({BLOCKED, PENDING, CANCELLED}),
        Replaced: frozenset({BLOCKED}),
        Held: frozenset({BLOCKED}),
        Released: frozenset({BLOCKED}),
        Edited: frozenset({BLOCKED}),
    },
    PENDING: {
        Claimed: frozenset({PROCESSING}),
        LossTakenBack: frozenset({PENDING}),
        CancelRequested: frozenset({CANCELLED}),
        Retried: frozenset({PENDING}),
        Expired: frozenset({CANCELLED}),
        Settled: frozenset({PENDING, BLOCKED, CANCELLED}),
        Replaced: frozenset({PENDING}),
        Held: frozenset({PENDING}),
        Released: frozenset({PENDING}),
        Edited: frozenset({PENDING}),
    },
    PROCESSING: {
        Started: frozenset({PROCESSING}),
        Ended: frozenset({COMPLETED, FAILED, DEAD, CANCELLED, PENDING}),
        Progressed: frozenset({PROCESSING}),
        Stuck: frozenset({PROCESSING}),
        GivenBack: frozenset({PENDING, FAILED, CANCELLED}),
        Lost: frozenset({PENDING, FAILED, DEAD, CANCELLED}),
        LossTakenBack: frozenset({PROCESSING}),
        CancelRequested: frozenset({PROCESSING}),
        Held: frozenset({PROCESSING}),
        Released: frozenset({PROCESSING}),
    },
    FAILED: {
        Claimed: frozenset({PROCESSING}),
        LossTakenBack: frozenset({FAILED}),
        ClockSetBack: frozenset({FAILED}),
        CancelRequested: frozenset({CANCELLED}),
        Retried: frozenset({FAILED}),
        Replaced: frozenset({PENDING}),
        Held: frozenset({FAILED}),
        Released: frozenset({FAILED}),
        Edited: frozenset({FAILED}),
    },
    COMPLETED: {LossTakenBack: frozenset({COMPLETED}), Retried: frozenset({PENDING})},
    DEAD: {LossTakenBack: frozenset({DEAD}), Retried: frozenset({PENDING}), Edited: frozenset({DEAD})},
    CANCELLED: {
        LossTakenBack: frozenset({CANCELLED}),
        Retried: frozenset({PENDING}),
        Settled: frozenset({CANCELLED, BLOCKED, PENDING}),
        Edited: frozenset({CANCELLED}),
    },
}

VERBS: dict[type[Event], str] = {
    Claimed: "be claimed",
    Started: "start",
    Ended: "end",
    Progressed: "make progress",
    Stuck: "be stuck",
    GivenBack: "be given back",
    Lost: "be lost",
    LossTakenBack: "have a loss taken back",
    ClockSetBack: "be brought forward",
    CancelRequested: "be cancelled",
    Retried: "be retried",
    Expired: "expire",
    Settled: "have its dependencies settled",
    Replaced: "be replaced",
    Held: "be held",
    Released: "be released",
    Edited: "be changed",
}


_PLACES = {name: place for place, name in enumerate(Job._fields)}


def apply(job: Job, event: Event, now: float) -> Job:
    """The job after `event` at time `now`. Raises `Conflict` if its state does not allow the event."""
    allowed = TRANSITIONS[job.state].get(type(event))
    if allowed is None:
        raise Conflict(
            f"job {job.id} is {job.state} and cannot {VERBS[type(event)]}",
            f"see its history with: queuectl show {named(job.id)}",
        )
    values = list(job)
    values[_PLACES["updated_at"]] = now
    for name, value in _changes(job, event, now).items():
        values[_PLACES[name]] = value
    after = Job._make(values)
    assert after.state in allowed, f"{job.state} -> {type(event).__name__} -> {after.state}"
    return after


def begun(job: Job) -> Job:
    """A new job in its first state: it is blocked while it depends on others."""
    return job._replace(state=BLOCKED, unmet=len(job.depends_on)) if job.depends_on else job


Changes = dict[str, Any]
"""Fields of a job that an event changes, with their new values."""

PUT_DOWN: Changes = {"worker": None, "host": None, "next_retry_at": None, "cancel_requested": False}
"""Changes of a job that no worker has any more."""

NEVER_RUN: Changes = dict.fromkeys(
    ("error", "exit_code", "signal", "started_at", "finished_at", "cpu_time", "max_rss", "output_bytes", "progress",
     "result", "last_line", "fault")
) | {"attempts": 0, "lost": 0, "lost_in_row": 0, "place": None}  # fmt: skip
"""Changes that make a job as if it had never run; its history is kept elsewhere."""

REPLACED = (
    "command", "spec", "queue", "priority", "tags", "batch", "schedule", "scheduled_at", "locks", "owner", "start_by",
)  # fmt: skip
"""What a job takes over from a new one that replaces it."""


def _changes(job: Job, event: Event, now: float) -> Changes:
    match event:
        case Claimed():
            return {
                "state": PROCESSING, "lease": job.lease + 1, "worker": event.worker, "host": event.host,
                "started_at": None, "finished_at": None, "next_retry_at": None, "progress": None, "units": None,
            }  # fmt: skip
        case Started():
            return {"started_at": event.at, "starts": job.starts + (job.started_at is None)}
        case Ended():
            return _ended(job, event)
        case Progressed():
            return {"progress": event.progress}
        case Stuck():
            return {"error": event.error}
        case GivenBack():
            return _returned(job, now, started=job.started_at is not None)
        case Lost():
            return _lost(job, event, now)
        case LossTakenBack():
            return {"lost": job.lost - (event.later < job.lost), "lost_in_row": min(job.lost_in_row, event.later)}
        case ClockSetBack():
            return {"next_retry_at": min(job.due_at, now + retry.delay(job.spec, job.attempts, 0.0))}
        case CancelRequested():
            if job.state is PROCESSING:
                return {"cancel_requested": True}
            ended_at = now if job.finished_at is None else job.finished_at  # the end of its latest execution, if any
            return {**PUT_DOWN, "state": CANCELLED, "error": event.reason, "finished_at": ended_at, "unmet": 0}
        case Retried():
            return _retried(job, now)
        case Expired():
            return {**PUT_DOWN, "state": CANCELLED, "error": event.error, "finished_at": now, "unmet": 0}
        case Settled():
            return _settled(job, event, now)
        case Replaced():
            return _replaced(job, event)
        case Held():
            return {"held": True}
        case Released():
            return {"held": False}
        case Edited():
            return _edited(job, event.values, now)
        case _:
            assert_never(event)


def _ended(job: Job, event: Ended) -> Changes:
    counted: Changes = {"starts": job.starts + (job.started_at is None), "lost_in_row": 0}
    how = outcome(event)
    if how is Outcome.STOPPED:
        told: Changes = {"error": None} if event.error else {}  # `Stuck` had set it, and now the execution has ended
        return {**counted, **told, **_returned(job, event.finished_at, started=True)}
    ended: Changes = {
        **counted, "started_at": event.started_at, "finished_at": event.finished_at, "exit_code": event.exit_code,
        "signal": event.signal, "error": event.error, "cpu_time": event.cpu_time, "max_rss": event.max_rss,
        "output_bytes": event.output_bytes, "next_retry_at": None, "cancel_requested": False,
        "progress": event.progress or job.progress, "result": event.result,
        "last_line": None, "fault": None,
    }  # fmt: skip
    match how:
        case Outcome.COMPLETED:
            return {**ended, "state": COMPLETED, "attempts": job.attempts + 1}
        case Outcome.CANCELLED:
            return {**ended, "state": CANCELLED, "error": event.error or "cancelled"}
        case _:
            return {**ended, "attempts": job.attempts + 1, **_failed(job, event)}


def _failed(job: Job, event: Ended) -> Changes:
    attempt = job.attempts + 1
    error = event.error or describe(job, event)
    if job.cancel_requested:
        return {"state": CANCELLED, "error": error}
    why = _why_failed(job, error, event.last_line)
    if event.cause is None and retry.is_permanent(job.spec, event.exit_code, event.signal):
        return {**why, "state": DEAD, "error": f"{error} (not retried: {retry.why_not(job.spec, event.exit_code)})"}
    if attempt > job.spec.max_retries:
        return {**why, "state": DEAD}
    wait = retry.delay(job.spec, attempt, event.draw)
    return {**why, "state": FAILED, "next_retry_at": event.finished_at + wait}


def _why_failed(job: Job, error: str, last_line: str | None) -> Changes:
    from queuectl.domain.fault import fault  # only workers need it

    command = job.command if isinstance(job.command, str) else " ".join(job.command)
    return {"error": error, "last_line": last_line, "fault": fault(job.queue, command, error, last_line)}


def _returned(job: Job, now: float, started: bool) -> Changes:
    """Changes for a returned claim: due at once, in the state before the claim; a requested cancel now takes effect. A
    job that had started has done so in time."""
    if job.cancel_requested:
        return {**PUT_DOWN, "state": CANCELLED, "error": "cancelled", "finished_at": now}
    back = {**PUT_DOWN, "started_at": None, "finished_at": None}
    if job.attempts:
        return {**back, "state": FAILED, "next_retry_at": now}
    return {**back, "state": PENDING, **({"start_by": None} if started else {})}


def _lost(job: Job, event: Lost, now: float) -> Changes:
    if job.started_at is None:
        return _returned(job, now, started=False)
    lost, in_row, machines_max = job.lost + 1, job.lost_in_row, event.max_lost * LOST_WITH_MACHINE
    if not event.with_machine:
        in_row += 1
    is_suspect = lost >= machines_max if event.with_machine else in_row >= event.max_lost
    counted: Changes = {"lost": lost, "lost_in_row": in_row}
    if not is_suspect or job.cancel_requested:
        return {**counted, **_returned(job, now, started=True)}
    error = f"lost {in_row} workers in a row while it ran (max_lost {event.max_lost})"
    if event.with_machine:
        error = f"lost {lost} times with the machine it ran on ({machines_max} are too many)"
    gone = {**_why_failed(job, error, None), "state": DEAD, "exit_code": None, "signal": None, "finished_at": now}
    return {**counted, **PUT_DOWN, **gone}


def _retried(job: Job, now: float) -> Changes:
    if job.state is FAILED:
        return {"next_retry_at": min(job.due_at, now)}
    if job.state is PENDING:
        sooner = {"run_at": now} if job.run_at > now else {}
        is_late = job.start_by is not None and job.start_by <= now
        return {**sooner, "start_by": _start_by(job, now)} if sooner or is_late else {}
    start_by = None if job.starts else _start_by(job, now)
    return {**PUT_DOWN, **NEVER_RUN, "run_at": now, "start_by": start_by, "unmet": 0, "state": PENDING}


def _start_by(job: Job, now: float) -> float | None:
    """By when a job has to start that is due from now on, and that somebody wants to run even if it is late."""
    if job.spec.expires is not None:
        return now + job.spec.expires
    return None if job.start_by is None or job.start_by <= now else job.start_by


def _settled(job: Job, event: Settled, now: float) -> Changes:
    if event.error is not None:
        ended_at = job.finished_at if job.state is CANCELLED else now
        return {**PUT_DOWN, "state": CANCELLED, "error": event.error, "finished_at": ended_at, "unmet": event.unmet}
    after = BLOCKED if event.unmet else PENDING
    if job.state is not CANCELLED:
        return {"state": after, "unmet": event.unmet}
    start_by = job.start_by if job.spec.expires is None else _start_by(job, now)
    return {"error": None, "finished_at": None, "start_by": start_by, "state": after, "unmet": event.unmet}


def _edited(job: Job, values: Mapping[str, Any], now: float) -> Changes:
    """A time or place given to a job that waits for its retry is that of the retry. A place is one in a queue, within a
    priority."""
    changes = {"place": None, **values} if values.keys() & {"queue", "priority", "run_at"} else dict(values)
    if job.state is FAILED and "run_at" in values:
        return {**changes, "next_retry_at": max(values["run_at"], now)}
    if job.state is FAILED and changes.get("place") is not None:
        return {**changes, "place": None, "next_retry_at": changes["place"]}
    return changes


def _replaced(job: Job, event: Replaced) -> Changes:
    new = event.new
    return {
        **PUT_DOWN, **NEVER_RUN, **{name: getattr(new, name) for name in REPLACED},
        "state": BLOCKED if job.state is BLOCKED else PENDING, "held": job.held or new.held,
        "run_at": unique.due(job, new, event.delay),
        "unique_until": None if new.spec.unique_for is None else job.created_at + new.spec.unique_for,
    }  # fmt: skip


def outcome(event: Ended) -> Outcome:
    """The outcome of the execution."""
    match event.cause:
        case Cause.TIMEOUT:
            return Outcome.TIMEOUT
        case Cause.CANCEL:
            return Outcome.CANCELLED
        case Cause.STOP:
            return Outcome.STOPPED
        case Cause.MEMORY:
            return Outcome.FAILED
        case None:
            return Outcome.COMPLETED if event.exit_code == 0 and event.error is None else Outcome.FAILED
        case _:
            assert_never(event.cause)


def describe(job: Job, event: Ended) -> str:
    """How an execution failed, in one line."""
    if event.cause is Cause.TIMEOUT:
        return "timed out" if job.spec.timeout is None else f"timed out after {job.spec.timeout:g}s"
    if event.cause is Cause.MEMORY:
        return "memory limit exceeded"
    if event.signal is not None:
        return f"killed by signal {event.signal}"
    return f"exit code {event.exit_code}"
