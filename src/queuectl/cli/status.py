"""`status`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queuectl.cli.call import Call
from queuectl.cli.console import Console
from queuectl.cli.render import STATE_STYLES, Cell, Column, cut, visible
from queuectl.client.documents import STATUS, busy, retry_text, seen_counts, slots
from queuectl.client.facade import Client
from queuectl.client.values import Status, WorkerView
from queuectl.domain.condition import Condition, finding
from queuectl.domain.finding import PROBLEM, Finding
from queuectl.domain.job import FINISHED, JobState
from queuectl.domain.proposed import option
from queuectl.domain.selector import Selector
from queuectl.wire.limits import pause_words
from queuectl.wire.times import format_duration, parse_duration
from queuectl.wire.words import age, counted, natural, short

WORKER_COLUMNS = (
    Column("NAME", least=20, middle=True), Column("HOST", least=8, middle=True), Column("SLOTS", right=True),
    Column("QUEUES", least=8), Column("MEMORY"), Column("VERSION"),
    Column("UP", right=True), Column("RUNNING", least=20),
)  # fmt: skip

CONDITIONS = {
    Condition.UNABLE: "cannot start commands", Condition.SUSPENDED: "suspended", Condition.ORPHANED: "orphaned",
    Condition.UNKNOWN: "cannot be checked from here",
}  # fmt: skip
"""Words for a worker that does not serve, or may not."""


def status(call: Call) -> int:
    """Prints the status, or with `--check` the findings."""
    with call.client() as client:
        if call.args.check:
            return _check(call, client)
        found, gave_up = client.status(), client.hooks_given_up()
    if call.console.as_json:
        call.console.json(STATUS.json(found))
    elif call.console.quiet:
        call.console.lines(f"{state} {number}" for state, number in found.counts.items())
    else:
        _print(call, found, gave_up)
    return 0


def _print(call: Call, found: Status, gave_up: int) -> None:
    console = call.console
    total = sum(found.counts.values())
    _heading(console, "Store", found.url)
    _heading(console, "Workers", _workers_line(call, found))
    if found.workers:
        console.table(*worker_table(found.workers, found.at))
        console.print()
    none_yet = f"none yet; add one: {call.command('enqueue -- echo hi')}"
    counts = [console.paint(f"{n:,} {state}", STATE_STYLES[state]) for state, n in seen_counts(found).items() if n]
    _heading(console, "Jobs", ", ".join(counts) if total else none_yet)
    if len(found.queues) > 1:
        console.table(*_queue_table(found))
        console.print()
    for number, (queue, pause) in enumerate(found.paused.items()):
        _heading(console, "" if number else "Paused", f"{queue} {visible(pause_words(pause)).removeprefix('paused ')}")
    if found.oldest_due is not None:
        _heading(console, "Waiting", f"the oldest due job for {age(found.at - found.oldest_due)}")
    if found.next_retries:
        retries = [f"{job.id} ({retry_text(job, found.at)})" for job in found.next_retries]
        _heading(console, "Retries", retries[0])
        for line in retries[1:]:
            _heading(console, "", line)
    if found.counts[JobState.DEAD]:
        _heading(console, "Dead", f"{counted(found.counts[JobState.DEAD], 'job')}; see: {call.command('dlq list')}")
    if gave_up:
        _heading(console, "Hooks", f"{gave_up:,} gave up; see: {call.command('dlq list --hooks')}")


def _heading(console: Console, title: str, text: str) -> None:
    console.print(f"{console.paint(f'{title:<8}', 'bold')} {text}")


def _workers_line(call: Call, found: Status) -> str:
    if not found.workers:
        return f"none alive; start one with: {call.command('worker start')}"
    lost = [worker for worker in found.workers if worker.orphaned]
    alive = f"{len(found.workers) - len(lost):,} alive{f', {len(lost):,} orphaned' if lost else ''}"
    return f"{alive}, {busy(found.workers)} of {counted(slots(found.workers), 'slot')} busy"


def worker_table(workers: Sequence[WorkerView], now: float) -> tuple[Sequence[Column], list[Sequence[str | Cell]]]:
    """Columns and rows of live workers, with hosts and versions if there are several."""
    hosts, versions = (len({getattr(each, name) for each in workers}) > 1 for name in ("host", "version"))
    rows: list[Sequence[str | Cell]] = []
    for worker in workers:
        running = ", ".join(job.id for job in worker.running)
        name = f"{worker.name} ({condition})" if (condition := _condition(worker)) else worker.name
        slots = f"{len(worker.running)}/{'-' if worker.orphaned else worker.slots}"
        where, which = [worker.host] if hosts else [], [worker.version or "-"] if versions else []
        up, limits = age(now - worker.started_at), worker.memory_limits or "-"
        rows.append((name, *where, slots, str(worker.served), limits, *which, up, Cell(running or "-", "cyan")))
    hidden = {"HOST": not hosts, "VERSION": not versions}
    return [column for column in WORKER_COLUMNS if not hidden.get(column.title)], rows


def _condition(worker: WorkerView) -> str:
    return CONDITIONS.get(worker.condition) or ("stopping" if worker.stopping else worker.waits or "")


def _queue_table(found: Status) -> tuple[Sequence[Column], list[Sequence[str | Cell]]]:
    states = [state for state, number in seen_counts(found).items() if number]
    columns = [Column("QUEUE", least=8), *(Column(state.upper(), right=True) for state in states)]
    rows: list[Sequence[str | Cell]] = []
    for queue in sorted(found.queues, key=natural):
        counts = seen_counts(found, queue)
        numbers = [
            Cell(f"{counts[state]:,}", STATE_STYLES[state]) if counts[state] else Cell("0", "dim") for state in states
        ]
        rows.append([cut(queue, 30), *numbers])
    return columns, rows


# --- check ----------------------------------------------------------------------------------


def _check(call: Call, client: Client) -> int:
    max_wait = parse_duration(call.args.max_wait, "--max-wait")
    dead_within = parse_duration(call.args.dead_within, "--dead-within")
    findings = list(_findings(call, client, max_wait, dead_within))
    if call.console.as_json:
        call.console.json({"ok": not findings, "findings": call.findings(findings)})
    elif findings:
        call.console.lines(finding.message for finding in findings)
    else:
        call.console.note("all well", "all_well")
    return 1 if findings else 0


def _findings(call: Call, client: Client, max_wait: float, dead_within: float) -> Iterator[Finding]:
    """Problems that need a person's attention."""
    yield from client.out_of_order()
    yield from client.findings(dead_within)
    found = client.status()
    waiting = sum(number for state, number in found.counts.items() if state not in FINISHED)
    for worker in found.workers:
        jobs = [job.id for job in worker.running]
        if told := finding(worker.name, worker.condition, worker.pid, jobs):
            yield told
    if not any(worker.condition is not Condition.ORPHANED for worker in found.workers):
        message = "no live worker" + (f", and {counted(waiting, 'job')} not finished" if waiting else "")
        yield Finding(PROBLEM, "no_worker", message, call.command("worker start"))
    else:
        waits = set(JobState) - FINISHED - {JobState.PROCESSING}
        used = [queue for queue, counts in found.queues.items() if any(counts[state] for state in waits)]
        for queue in client.unserved(used):
            what = f"no live worker serves queue {queue}"
            fix = call.command(f"worker start {option('--queue', queue)}")
            yield Finding(PROBLEM, "queue_unserved", what, fix)
    dead = Selector(states=(JobState.DEAD,))
    recent = found.counts[JobState.DEAD] - client.count(Selector(states=dead.states, before=found.at - dead_within))
    if recent > 0:
        what = f"{counted(recent, 'job')} died within {format_duration(dead_within)}"
        fix = call.command("dlq list")
        yield Finding(PROBLEM, "jobs_died", what, fix)
    if found.oldest_due is not None and (waited := found.at - found.oldest_due) > max_wait:
        what = f"the oldest due job waits for {short(waited)} (more than {format_duration(max_wait)})"
        fix = call.command("worker list")
        yield Finding(PROBLEM, "waiting_too_long", what, fix)
