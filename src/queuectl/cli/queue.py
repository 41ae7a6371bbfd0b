"""`queue set`, and what `queue list`, `queue show` and `queue pause` tell people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queuectl.cli.call import Call
from queuectl.cli.render import Cell, Column, visible
from queuectl.client import queues
from queuectl.client.queues import POLICY, QUEUE, QueueView, policy_text
from queuectl.domain.job import JobState
from queuectl.domain.likeness import near
from queuectl.wire.limits import format_rate, pause_words
from queuectl.wire.words import age

COLUMNS = (
    Column("QUEUE", least=8), Column("RUNNING", right=True), Column("RATE"), Column("WAITING", right=True),
    Column("OLDEST", right=True), Column("PAUSED", least=12, wrap=True),
)  # fmt: skip
NOTHING = "no queue yet: a queue exists once a job or a setting names it"


def set_limits(call: Call) -> int:
    """Sets or lifts limits of a queue."""
    name, *words = call.words
    given = queues.parse_settings(words)
    with call.client() as client:
        done = client.do(queues.SET, name=queues.SET.arguments[0].read(name, "queue"), **given)
    call.console.answer(QUEUE.json(done), done.name, f"{done.name}: {', '.join(_limits(done)) or 'no limits'}")
    return 0


def running(queue: QueueView) -> str:
    """How many run, and of how many: `3/2` once a limit was lowered."""
    return f"{queue.running:,}" if queue.concurrency is None else f"{queue.running:,}/{queue.concurrency:,}"


def _limits(queue: QueueView) -> Iterator[str]:
    if queue.concurrency is not None:
        yield f"concurrency={queue.concurrency}"
    if queue.rate is not None:
        yield f"rate={format_rate(queue.rate)}"
    for key in POLICY:
        if key in queue.defaults:
            yield f"{key.replace('_', '-')}={policy_text(key, queue.defaults[key])}"


def print_all(call: Call, found: Sequence[QueueView], now: float) -> None:
    """Lists queues."""
    if call.console.named(COLUMNS, found, lambda queue: _row(queue, now)):
        call.console.note(NOTHING, "no_queue")


def _row(queue: QueueView, now: float) -> Sequence[str | Cell]:
    over = queue.concurrency is not None and queue.running > queue.concurrency
    return (
        queue.name, Cell(running(queue), "yellow" if over else "cyan" if queue.running else ""),
        format_rate(queue.rate) if queue.rate else "", f"{queue.waiting:,}",
        "" if queue.oldest_due is None else age(now - queue.oldest_due),
        Cell(pause_words(queue.pause).removeprefix("paused ") if queue.pause else "", "yellow"),
    )  # fmt: skip


def print_one(call: Call, queue: QueueView, now: float) -> None:
    """A queue, a line for each fact."""
    states = [f"{jobs:,} {state}" for state, jobs in queue.counts.items() if jobs]
    facts = {
        "queue": queue.name, "jobs": ", ".join(states) or "none", "running": running(queue),
        "limits": ", ".join(_limits(queue)) or "none",
        "paused": visible(pause_words(queue.pause)).removeprefix("paused ") if queue.pause else "no",
        "oldest due": "" if queue.oldest_due is None else f"waits for {age(now - queue.oldest_due)}",
        "workers": f"{queue.workers}, with {queue.slots} slots" if queue.workers else "none",
    }  # fmt: skip
    call.console.facts(queue.name, facts)


def print_paused(call: Call, found: Sequence[QueueView], now: float) -> None:
    """What was paused."""
    if call.console.quiet:
        call.console.lines(queue.name for queue in found)
    elif not found:
        call.console.note(NOTHING, "no_queue")
    for queue in found if not call.console.quiet else ():
        call.console.print(f"{queue.name} is {visible(pause_words(queue.pause))}" if queue.pause else queue.name)
        if left := queue.counts[JobState.PROCESSING]:
            call.console.note(f"{left:,} of its jobs still run, and finish", "waiting")
        elif queue.pause and not any(queue.counts.values()):
            call.console.note(f"there are no jobs in it{_meant(call, queue)}", "no_jobs")


def _meant(call: Call, queue: QueueView) -> str:
    """What to say besides of a queue without jobs that nothing but its pause names, as it may be misspelled."""
    if queue.defaults or queue.concurrency is not None or queue.rate is not None:
        return ""
    with call.client() as client:
        others = [each.name for each in client.queues() if each.name != queue.name]
    meant = near(queue.name, others)
    return f", and only this pause names it{f'; did you mean {meant!r}?' if meant else ''}"
