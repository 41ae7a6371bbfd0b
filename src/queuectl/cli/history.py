"""A job's whole history, as text for people."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from queuectl.cli.console import Console
from queuectl.cli.render import STATE_STYLES, Cell, Column, ago, local_time, reason_words, short, size, tries, visible
from queuectl.client.documents import events, how_it_ended
from queuectl.client.facade import History
from queuectl.domain.job import Attempt, Job, Outcome, seen_state
from queuectl.wire.jobs import command_line, worker_name
from queuectl.wire.times import format_duration

OUTCOME_STYLES = {
    Outcome.COMPLETED: "green", Outcome.FAILED: "red", Outcome.TIMEOUT: "red", Outcome.CANCELLED: "dim",
    Outcome.STOPPED: "yellow", Outcome.LOST: "yellow",
}  # fmt: skip

ATTEMPT_COLUMNS = (
    Column("#", right=True), Column("STARTED"), Column("TOOK", right=True), Column("OUTCOME"),
    Column("HOW", least=11), Column("WORKER", least=8, middle=True), Column("CPU", right=True),
    Column("MEMORY", right=True), Column("OUTPUT", right=True),
)  # fmt: skip

DATE_LENGTH = len("2026-11-21")


def print_history(console: Console, history: History, now: float) -> None:
    """The job, its attempts, and what happened to it, under headings."""
    job = history.job
    seen = seen_state(job)
    state = console.paint(seen, STATE_STYLES[seen])
    words = reason_words(job, history.reason, now)
    reason = f"  {visible(words)}" if words else ""
    console.print(f"{console.paint(job.id, 'bold')}  {state}{reason}")
    console.print()
    for fact in fields(job, now):
        when = "" if fact.at is None else f"{local_time(fact.at)} "
        console.print(f"  {console.paint(f'{fact.name:<10}', 'dim')}  {visible(when + fact.text).rstrip()}")
    if history.attempts:
        console.print()
        console.print(console.paint("Attempts", "bold"))
        today = local_time(now)[:DATE_LENGTH]
        old = any(local_time(attempt.started_at)[:DATE_LENGTH] != today for attempt in history.attempts)
        start = 0 if old else DATE_LENGTH + 1
        console.table(ATTEMPT_COLUMNS, [_attempt_row(attempt, start) for attempt in history.attempts])
        for attempt in history.attempts:
            if attempt.leftover:
                console.print(f"attempt {attempt.number} left running: {visible(attempt.leftover)}")
    console.print()
    console.print(console.paint("Events", "bold"))
    console.lines(
        f"  {local_time(event.at)}  {event.words}{f' by {event.who}' if event.who else ''}"
        + (f": {visible(event.detail)}" if event.detail else "")
        for event in events(history)
    )


class Fact(NamedTuple):
    """What there is to know about a job under a name: a text, and the time to be shown before it (None: none)."""

    name: str
    text: str
    at: float | None = None


def fields(job: Job, now: float) -> Iterator[Fact]:
    """What there is to know about a job; what is absent or usual is left out."""
    return itertools.starmap(Fact, _fields(job, now))


def _fields(job: Job, now: float) -> Iterator[tuple[str, str] | tuple[str, str, float]]:
    spec = job.spec
    yield "command", command_line(job.command)
    if isinstance(job.command, str) and spec.shell != "/bin/sh":
        yield "shell", spec.shell
    yield "queue", job.queue + (f", priority {job.priority}" if job.priority else "")
    if job.tags:
        yield "tags", ", ".join(job.tags)
    yield "attempts", tries(job).replace("/", " of at most ") + (f", {job.lost} lost" if job.lost else "")
    yield "retry", _policy(job)
    if spec.timeout:
        grace = format_duration(spec.kill_grace)
        yield "time limit", f"{format_duration(spec.timeout)}, then {grace} from SIGTERM to SIGKILL"
    yield "created", f"({ago(now - job.created_at)})" + (f" by {job.owner}" if job.owner else ""), job.created_at
    if job.run_at > job.created_at + 0.001:
        yield "not before", "", job.run_at
    if job.next_retry_at:
        yield "next retry", f"(in {short(max(0.0, job.next_retry_at - now))})", job.next_retry_at
    if job.worker:
        yield "worker", f"{worker_name(job.worker)} on {job.host}"
    yield from _result(job)
    yield from _surroundings(job)


def _policy(job: Job) -> str:
    spec = job.spec
    first = format_duration(spec.backoff_initial)
    text = f"{spec.max_retries} times, after {first}, each delay {spec.backoff_base:g} times the last"
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


def _surroundings(job: Job) -> Iterator[tuple[str, str]]:
    spec = job.spec
    if spec.cwd:
        yield "folder", spec.cwd
    if spec.stdin:
        yield "stdin", spec.stdin
    if spec.output_path:
        yield "output", spec.output_path
    if spec.env:
        yield "variables", ", ".join(sorted(spec.env))


def signal_name(number: int) -> str:
    """`SIGTERM (15)`."""
    from signal import Signals

    try:
        return f"{Signals(number).name} ({number})"
    except ValueError:
        return str(number)


def _attempt_row(attempt: Attempt, time_from: int) -> Sequence[str | Cell]:
    """`time_from`: where in its start's date and time the interesting part begins."""
    took = "" if attempt.finished_at is None else format_duration(max(0.0, attempt.finished_at - attempt.started_at))
    outcome = attempt.outcome
    return (
        str(attempt.number), local_time(attempt.started_at)[time_from:], took,
        Cell(outcome.value, OUTCOME_STYLES[outcome]) if outcome else Cell("running", "cyan"),
        how_it_ended(attempt), worker_name(attempt.worker) or "",
        "" if attempt.cpu_time is None else format_duration(attempt.cpu_time), size(attempt.max_rss),
        size(attempt.output_bytes),
    )  # fmt: skip
