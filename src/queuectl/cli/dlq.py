"""`dlq …`: the dead letter queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queuectl.cli.acting import act
from queuectl.cli.call import Call
from queuectl.cli.choosing import Found, among_ids, limit_of, selects
from queuectl.cli.console import Console
from queuectl.cli.listing import print_jobs
from queuectl.cli.render import Cell, Column, Table, cut, visible
from queuectl.client.actions import PURGE_DEAD, RETRY_DEAD
from queuectl.client.documents import GROUP
from queuectl.client.facade import Client
from queuectl.client.facts import tries
from queuectl.domain.errors import Conflict
from queuectl.domain.job import Job, JobState
from queuectl.domain.proposed import named
from queuectl.domain.selector import NO_FAULT
from queuectl.store.past import Group
from queuectl.wire.jobs import command_line, job_to_json
from queuectl.wire.words import ago, plain

SHOWN_MAX = 20
"""Most jobs on a terminal unless --limit is given."""
GROUPS_MAX = 1_000_000

COLUMNS = (
    Column("ID"), Column("QUEUE", least=8), Column("TRIES", right=True), Column("DIED", right=True),
    Column("REASON", least=12), Column("COMMAND", least=20),
)  # fmt: skip
GROUP_COLUMNS = (
    Column("JOBS", right=True), Column("FAULT"), Column("LAST", right=True), Column("QUEUE", least=8),
    Column("ERROR", least=12), Column("LAST LINE", least=16), Column("COMMAND", least=16),
)  # fmt: skip


def retry(call: Call) -> int:
    """Moves dead jobs back to their queue."""
    return act(call, RETRY_DEAD)


def purge(call: Call) -> int:
    """Deletes dead jobs."""
    return act(call, PURGE_DEAD)


def show(call: Call) -> int:
    """Shows dead jobs. Other jobs are refused if given by id, and left out if selected."""
    with call.client() as client:
        found = Found(call, client)
        return print_jobs(call, client, _dead(call, found), found.refused)


def _dead(call: Call, found: Found) -> Iterator[Job]:
    for job in found:
        if job.state is JobState.DEAD:
            yield job
        elif not selects(call.args):
            hint = f"see it with: queuectl show {named(job.id)}"
            found.refused.append(Conflict(f"job {job.id} is {job.state}, not dead", hint))


def list_dead(call: Call) -> int:
    """Lists dead jobs with the reason and the end of their output."""
    console = call.console
    with call.client() as client:
        selector = among_ids(call, client)
        dead = (JobState.DEAD,)
        states = tuple(state for state in selector.states or dead if state in dead)
        selector = selector._replace(states=states)
        limit = _limit(call)
        if call.args.group:
            groups = (
                client.dead_groups(selector, limit=limit or GROUPS_MAX, waiting=call.args.waiting) if states else []
            )
            return _list_groups(call, groups, client.now())
        number = _print(console, client, client.dead_pages(selector, limit) if states else iter(()))
        may_be_more = number == limit and not (console.as_json or console.quiet)
        if may_be_more and (more := client.count(selector) - number) > 0:
            console.note(f"{more:,} more not shown; see all with --limit all", "more")
    if not number:
        console.note(_nothing(call), "no_jobs")
    return 0


def _nothing(call: Call) -> str:
    return "0 jobs" if call.words else "the dead letter queue is empty"


def _limit(call: Call) -> int | None:
    """The number of jobs to show: `--limit`, else all, but on a terminal the latest."""
    console, args = call.console, call.args
    if args.limit is None and console.terminal and not (args.group or console.as_json or console.quiet):
        return SHOWN_MAX
    return limit_of(args)


def _print(console: Console, client: Client, pages: Iterator[Sequence[Job]]) -> int:
    """Prints jobs as they are read: a row for each, and below it the last lines of its output. Returns their number."""
    number, now = 0, client.now()
    table = Table(COLUMNS, width=console.width, colour=console.colour)

    def jobs() -> Iterator[Job]:
        nonlocal number
        for page in pages:
            number += len(page)
            yield from page

    if console.as_json:
        console.json_array({**job_to_json(job, job.error), "output_tail": client.last_lines(job)} for job in jobs())
        return number
    if console.quiet:
        console.lines(job.id for job in jobs())
        return number
    for page in pages:
        rows = table.rows([_row(job, now) for job in page])
        titles = [] if number else rows.pop(0)
        number += len(page)
        console.lines(titles)
        for job, lines in zip(page, rows, strict=True):
            console.lines(lines)
            _print_output(console, client.last_lines(job).removesuffix("\n"))
    return number


def _print_output(console: Console, words: str) -> None:
    for written in words.split("\n") if words else ():
        text = visible(plain(written))
        shown = text if console.width is None else cut(text, console.width - 4)
        console.print(f"  {console.paint('│', 'dim')} {console.paint(shown, 'dim')}")


def _row(job: Job, now: float) -> Sequence[str | Cell]:
    died = ago(max(0.0, now - (job.finished_at or job.updated_at)))
    return (
        Cell(job.id, "bold"), job.queue, tries(job), died, Cell(job.error or "", "red"), command_line(job.command),
    )  # fmt: skip


def _list_groups(call: Call, groups: Sequence[Group], now: float) -> int:
    """Prints dead jobs by how they failed, the most frequent first."""
    console = call.console
    if console.as_json:
        console.json_array(map(GROUP.json, groups))
    elif groups:
        console.table(GROUP_COLUMNS, [_group_row(group, now) for group in groups])
    if not groups:
        console.note(_nothing(call), "no_jobs")
    return 0


def _group_row(group: Group, now: float) -> Sequence[str | Cell]:
    last = "" if group.last_at is None else ago(max(0.0, now - group.last_at))
    return (
        f"{group.jobs:,}", Cell(group.fault or NO_FAULT, "bold"), last, group.queue, Cell(group.error or "", "red"),
        group.last_line or "", group.command,
    )  # fmt: skip
