"""`batch wait`, and what `batch list` and `batch show` tell people."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.cli.call import Call
from queuectl.cli.onlooker import Onlooker
from queuectl.cli.progress import Progress
from queuectl.cli.render import Cell, Column
from queuectl.cli.wait import TIMED_OUT, exit_code_of
from queuectl.client.batches import BATCH, FAILED, SHOW, BatchView
from queuectl.client.facade import Client
from queuectl.domain.errors import TimedOut
from queuectl.domain.selector import Selector
from queuectl.wire.times import format_duration, parse_duration
from queuectl.wire.words import age, ago, counted

COLUMNS = (
    Column("BATCH", least=8), Column("DONE", right=True), Column("FAILED", right=True), Column("RUNNING", right=True),
    Column("LEFT", right=True), Column("SET", least=8),
)  # fmt: skip


def wait(call: Call) -> int:
    """Waits until no job of a batch is unfinished."""
    timeout = None if call.args.timeout is None else parse_duration(call.args.timeout, "--timeout")
    console, name = call.console, SHOW.arguments[0].read(call.words[0], "BATCH")
    show: Progress | None = None

    def tick(batch: BatchView) -> None:
        nonlocal show
        onlooker()
        show = show or console.progress("done", batch.total)
        if show is not None:
            show.verb = f"{batch.failed:,} failed, done" if batch.failed else "done"
            show(batch.done, batch.total)

    with call.client() as client:
        onlooker = Onlooker(call, client, Selector(batches=(name,)))
        try:
            done = client.wait_batch(name, timeout=timeout, tick=tick, say=onlooker.say)
        except TimeoutError as error:
            console.progress_done()
            console.error(
                TimedOut(f"gave up after {format_duration(timeout or 0.0)}: {error}", "give a longer --timeout")
            )
            return TIMED_OUT
        console.progress_done()
        failed = f", {done.failed:,} failed" if done.failed else ""
        console.answer(BATCH.json(done), done.name, f"{done.name}: {counted(done.total, 'job')} done{failed}")
        return _exit_code(client, done)


def _exit_code(client: Client, done: BatchView) -> int:
    """As `wait` has it: the highest of its jobs."""
    if not done.failed:
        return 0
    return max(map(exit_code_of, client.jobs(Selector(batches=(done.name,), states=FAILED))), default=0)


def print_all(call: Call, found: Sequence[BatchView], now: float) -> None:
    """Lists batches."""
    if call.console.named(COLUMNS, found, lambda batch: _row(batch, now)):
        call.console.note(
            f"no batch yet; a job is in one with: {call.command('enqueue --batch NAME -- CMD')}", "no_batch"
        )


def _row(batch: BatchView, now: float) -> Sequence[str | Cell]:
    left = "" if batch.seconds_left is None else age(batch.seconds_left)
    if batch.is_done and batch.finished_at is not None:
        left = f"done {ago(now - batch.finished_at)}"
    return (
        batch.name, f"{batch.done:,}/{batch.total:,}", Cell(f"{batch.failed:,}", "red" if batch.failed else ""),
        f"{_running(batch):,}", left, _limits(batch),
    )  # fmt: skip


def _running(batch: BatchView) -> int:
    return next(number for state, number in batch.counts.items() if state == "processing")


def _limits(batch: BatchView) -> str:
    said = {"at most {} at once": batch.at_most, "at most {} dead": batch.max_fails}
    return ", ".join(text.format(value) for text, value in said.items() if value is not None)


def print_one(call: Call, batch: BatchView, now: float) -> None:
    """A batch, a line for each fact."""
    rate = ""
    if batch.seconds_left is not None:
        rate = f"{(batch.total - batch.done) / max(batch.seconds_left, 0.001):,.1f} jobs/s"
    elif batch.started_at is not None and batch.done:
        until = batch.finished_at or now
        rate = f"{batch.done / max(until - batch.started_at, 0.001):,.1f} jobs/s"
    facts = {
        "batch": batch.name, "done": f"{batch.done:,} of {batch.total:,}", "failed": f"{batch.failed:,}",
        "states": ", ".join(f"{number:,} {state}" for state, number in batch.counts.items() if number),
        "set": _limits(batch), "rate": rate,
        "time left": "" if batch.seconds_left is None else age(batch.seconds_left),
        "finished": "" if batch.finished_at is None else ago(now - batch.finished_at),
    }  # fmt: skip
    call.console.facts(batch.name, facts)
