"""A job's history, as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.cli.console import Console
from queuectl.cli.render import STATE_STYLES, Cell, Column, visible
from queuectl.client.documents import events, how_it_ended
from queuectl.client.facts import facts, reason_words
from queuectl.client.hooks import HookView
from queuectl.client.values import History
from queuectl.domain.job import Attempt, Outcome, seen_state
from queuectl.wire.jobs import worker_name
from queuectl.wire.times import format_duration
from queuectl.wire.words import ago, local_time, peak, size

OUTCOME_STYLES = {
    Outcome.COMPLETED: "green", Outcome.FAILED: "red", Outcome.TIMEOUT: "red", Outcome.CANCELLED: "dim",
    Outcome.STOPPED: "yellow", Outcome.LOST: "yellow",
}  # fmt: skip

ATTEMPT_COLUMNS = (
    Column("#", right=True), Column("STARTED"), Column("TOOK", right=True), Column("OUTCOME"),
    Column("HOW", least=11), Column("WORKER", least=8, middle=True), Column("CPU", right=True),
    Column("MEMORY", right=True), Column("OUTPUT", right=True),
)  # fmt: skip

HOOK_COLUMNS = (
    Column("ID", least=8), Column("HOOK"), Column("STATE"), Column("TRIES", right=True), Column("LAST", right=True),
    Column("COMMAND", least=12), Column("ERROR", least=12),
)  # fmt: skip

DATE_LENGTH = len("2026-11-21")


def print_history(console: Console, history: History, now: float) -> None:
    """Prints the job, its attempts and its events under headings."""
    job = history.job
    seen = seen_state(job)
    state = console.paint(seen, STATE_STYLES[seen])
    words = reason_words(job, history.reason, now)
    reason = f"  {visible(words)}" if words else ""
    console.print(f"{console.paint(job.id, 'bold')}  {state}{reason}")
    console.print()
    for fact in facts(job, now):
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
            if attempt.note:
                console.print(f"attempt {attempt.number}: {visible(attempt.note)}")
    if history.hooks:
        console.print()
        console.print(console.paint("Hooks", "bold"))
        console.table(HOOK_COLUMNS, [_hook_row(hook, now) for hook in history.hooks])
    console.print()
    console.print(console.paint("Events", "bold"))
    console.lines(
        f"  {local_time(event.at)}  {event.words}{f' by {event.who}' if event.who else ''}"
        + (f": {visible(event.detail)}" if event.detail else "")
        for event in events(history)
    )


def _hook_row(hook: HookView, now: float) -> Sequence[str | Cell]:
    return (
        hook.id, hook.key, Cell(hook.state.value, STATE_STYLES[hook.state.value]), str(hook.attempts),
        ago(now - hook.updated_at), visible(hook.command), visible(hook.error or ""),
    )  # fmt: skip


def _attempt_row(attempt: Attempt, time_from: int) -> Sequence[str | Cell]:
    """A row of the attempts. `time_from`: where in the date and time of its start the row begins."""
    took = "" if attempt.duration is None else format_duration(attempt.duration)
    outcome = attempt.outcome
    return (
        str(attempt.number), local_time(attempt.started_at)[time_from:], took,
        Cell(outcome.value, OUTCOME_STYLES[outcome]) if outcome else Cell("running", "cyan"),
        how_it_ended(attempt), worker_name(attempt.worker) or "",
        "" if attempt.cpu_time is None else format_duration(attempt.cpu_time), peak(attempt.max_rss, attempt.cpu_time),
        size(attempt.output_bytes),
    )  # fmt: skip
