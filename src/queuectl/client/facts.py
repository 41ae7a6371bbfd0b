"""A job's facts in words, the same on the command line and on the pages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from queuectl.domain.job import Job, JobState
from queuectl.typed import NamedTuple
from queuectl.wire.jobs import command_line, why_expired, worker_name
from queuectl.wire.sizes import format_size
from queuectl.wire.times import format_duration
from queuectl.wire.words import ago, counted, local_time, short

RESULT_SHOWN = 500
"""Characters of a result that are shown; JSON has all of it."""


class Fact(NamedTuple):
    """A named fact about a job: a text, and a time to show before it, or None."""

    name: str
    text: str
    at: float | None = None


def facts(job: Job, now: float) -> Iterator[Fact]:
    """A job's facts; missing and default values are left out."""
    return itertools.starmap(Fact, _facts(job, now))


def _facts(job: Job, now: float) -> Iterator[tuple[str, str] | tuple[str, str, float]]:
    spec = job.spec
    yield "command", command_line(job.command)
    if spec.script is not None:
        lines = spec.script.count("\n") + (not spec.script.endswith("\n"))
        yield "script", f"{counted(lines, 'line')}, as the file was when the job was added"
    if isinstance(job.command, str) and spec.shell != "/bin/sh":
        yield "shell", spec.shell
    yield "queue", job.queue + (f", priority {job.priority}" if job.priority else "")
    if job.tags:
        yield "tags", ", ".join(job.tags)
    if job.depends_on:
        yield "after", ", ".join(job.depends_on)
    if job.locks:
        yield "locks", ", ".join(job.locks)
    yield from _origin(job)
    if job.unique_key is not None:
        yield "unique key", job.unique_key
        if job.unique_until is not None and now < job.unique_until:
            yield "key held", "(at least so long)", job.unique_until
    yield "attempts", tries(job).replace("/", " of at most ") + (f", {job.lost} lost" if job.lost else "")
    yield "retry", _policy(job)
    if spec.timeout:
        grace = format_duration(spec.kill_grace)
        yield "time limit", f"{format_duration(spec.timeout)}, then {grace} from SIGTERM to SIGKILL"
    if spec.memory_max is not None:
        yield "memory", f"at most {format_size(spec.memory_max)}"
    if spec.nice is not None:
        yield "niceness", str(spec.nice)
    if spec.user is not None:
        yield "user", spec.user
    yield "created", f"({ago(now - job.created_at)})" + (f" by {job.owner}" if job.owner else ""), job.created_at
    if job.run_at > job.created_at + 0.001:
        yield "not before", "", job.run_at
    if job.start_by and job.state in (JobState.BLOCKED, JobState.PENDING):
        yield "start by", "(else it is cancelled)", job.start_by
    if job.next_retry_at:
        yield "next retry", f"(in {short(max(0.0, job.next_retry_at - now))})", job.next_retry_at
    if job.worker:
        yield "worker", f"{worker_name(job.worker)} on {job.host}"
    for when, hook in (("on success", spec.on_success), ("on failure", spec.on_failure), ("on dead", spec.on_dead)):
        if hook:
            yield when, hook
    if job.progress:
        yield "progress", job.progress
    yield from _result(job)
    yield from _surroundings(job)


def _origin(job: Job) -> Iterator[tuple[str, str] | tuple[str, str, float]]:
    if job.batch is not None:
        yield "batch", job.batch
    if job.schedule is not None:
        yield "schedule", job.schedule
    if job.scheduled_at is not None:
        yield "made for", "", job.scheduled_at


def _policy(job: Job) -> str:
    spec = job.spec
    first = format_duration(spec.backoff_initial)
    text = f"{counted(spec.max_retries, 'time')}, after {first}, each delay {spec.backoff_base:g} times the last"
    text += f", at most {format_duration(spec.backoff_max)}"
    if spec.backoff_jitter:
        text += f", {spec.backoff_jitter:.0%} jitter"
    if spec.retry_on:
        text += f"; only on exit codes {', '.join(map(str, spec.retry_on))}"
    if spec.fatal_on:
        text += f"; never on exit codes {', '.join(map(str, spec.fatal_on))}"
    return text if spec.max_retries else "none"


def _result(job: Job) -> Iterator[tuple[str, str]]:
    if job.error:
        yield "error", job.error
    if job.exit_code is not None:
        yield "exit code", str(job.exit_code)
    if job.signal is not None:
        yield "signal", signal_name(job.signal)
    if job.duration is not None:
        yield "took", format_duration(job.duration)
    if job.result is not None:
        yield "result", job.result if len(job.result) <= RESULT_SHOWN else f"{job.result[:RESULT_SHOWN]}…"


def _surroundings(job: Job) -> Iterator[tuple[str, str]]:
    spec = job.spec
    if spec.cwd:
        yield "folder", spec.cwd
    if spec.stdin:
        yield "stdin", spec.stdin
    if spec.output_path:
        yield "output", spec.output_path
    if spec.secrets:
        yield "secrets", ", ".join(spec.secrets)
    if spec.env:
        yield "variables", ", ".join(sorted(spec.env))


def signal_name(number: int) -> str:
    """`SIGTERM (15)`."""
    from signal import Signals

    try:
        return f"{Signals(number).name} ({number})"
    except ValueError:
        return str(number)


def info(job: Job, reason: str | None, now: float) -> str:
    """A job's progress or result in a few words."""
    if job.state is JobState.COMPLETED:
        return f"took {short(job.duration)}" if job.duration is not None else ""
    if job.state is JobState.PROCESSING and reason is None:
        runs = f"runs for {short(max(0.0, now - job.started_at))}" if job.started_at else "starting"
        return f"{runs}: {job.progress}" if job.progress else runs
    if reason and reason.startswith("no live worker"):
        reason = "no live worker"
    if reason and reason.startswith("scheduled for "):
        reason = f"starts in {short(max(0.0, job.due_at - now))}"
    if job.state is JobState.FAILED and job.error:
        return f"{reason}: {job.error}" if reason else job.error
    return reason or job.error or ""


def why_failed(job: Job) -> str:
    """How a job failed, and what its command said last: `exit code 1: no such file`."""
    return ": ".join(filter(None, (job.error, job.last_line)))


def percent(progress: str | None) -> float | None:
    """The number at the beginning of a job's progress, as far as it is a percentage."""
    from re import match

    said = match(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)(?:%| |$)", progress or "")
    return float(said[1]) if said and float(said[1]) <= 100 else None


def tries(job: Job) -> str:
    """`1/4`: attempts, with the running one, of the most there may be."""
    running = job.state is JobState.PROCESSING and job.started_at is not None
    return f"{job.attempts + running}/{job.spec.max_retries + 1}"


def reason_words(job: Job, reason: str | None, now: float, time: Callable[[float], str] = local_time) -> str | None:
    """The reason with its time as `time` tells it; by default, in the reader's zone."""
    if reason and reason.startswith("scheduled for "):
        return f"scheduled for {time(job.due_at)} (in {short(max(0.0, job.due_at - now))})"
    return why_expired(job, time) if job.start_by is not None and reason == why_expired(job) else reason


def explanation(job: Job, reason: str | None, now: float, time: Callable[[float], str]) -> str:
    """A sentence about a job, without its subject."""
    match job.state:
        case JobState.PROCESSING:
            since = f" for {short(max(0.0, now - job.started_at))}" if job.started_at else ""
            held = "; held, so it is not run again" if job.held else ""
            return f"runs on {worker_name(job.worker)}{since}" + (f"; it is {reason}" if reason else "") + held
        case JobState.COMPLETED:
            return f"completed {ago(now - (job.finished_at or now))}"
        case JobState.DEAD:
            return f"is dead after {job.attempts} of {job.spec.max_retries + 1} attempts: {job.error}"
        case JobState.CANCELLED:
            return f"was cancelled {ago(now - (job.finished_at or now))}: {job.error}"
        case _:
            return f"is {job.state}: {reason_words(job, reason, now, time)}"
