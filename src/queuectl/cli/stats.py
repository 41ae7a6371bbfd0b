"""What `stats` tells people."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.cli.call import Call
from queuectl.cli.render import Cell, Column, visible
from queuectl.client.figures import Figures, Part, Percentiles
from queuectl.domain.job import Outcome
from queuectl.wire.times import format_duration
from queuectl.wire.words import counted

TIMES = ("p50", "p95", "p99")
COLUMNS = (
    Column("ENDED", right=True), Column("FAILED", right=True), Column("PER MINUTE", right=True),
    *(Column(f"{what} {name.upper()}", right=True) for what in ("WAIT", "RUN") for name in TIMES),
)  # fmt: skip


def print_all(call: Call, found: Figures, now: float) -> None:
    """A line for all, and a table each by queue and by program."""
    console = call.console
    if console.quiet:
        console.lines(part.name for part in found.queues)
        return
    window = format_duration(round(found.until - found.since))
    ended = sum(found.ended.values())
    how = [f"{number:,} {outcome.value}" for outcome, number in found.ended.items() if number]
    console.print(f"within {window}: {counted(ended, 'execution')} ended{': ' if how else ''}{', '.join(how)}")
    if not ended:
        return
    failures = found.failure_rate * 100
    tried = found.ended[Outcome.COMPLETED] or failures
    success = f", {100 - failures:.4g} % succeeded" if tried else ""
    console.print(f"{found.rate * 60:,.4g} a minute{success}")
    for title, parts in (("QUEUE", found.queues), ("PROGRAM", found.commands)):
        if parts:
            console.print()
            console.table([Column(title, least=8), *COLUMNS], map(_row, parts))
    if found.parts_since > found.since:
        console.note(f"the tables are of the latest {found.parts_of:,} executions", "more")


def _row(part: Part) -> Sequence[str | Cell]:
    return (
        visible(part.name), f"{part.ended:,}", Cell(f"{part.failed:,}", "red" if part.failed else ""),
        f"{part.rate * 60:,.4g}", *_times(part.wait), *_times(part.run),
    )  # fmt: skip


def _times(found: Percentiles) -> list[str]:
    values = [getattr(found, name) for name in TIMES]
    return ["" if value is None else format_duration(round(value, 3 if value < 10 else 0)) for value in values]
