"""`list`, `show`, `explain`."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter

from queuectl.cli import history
from queuectl.cli.call import Call
from queuectl.cli.changed import report_refused
from queuectl.cli.choosing import Found, among_ids, limit_of
from queuectl.cli.console import Console
from queuectl.cli.render import Cell, Column, state_cell, visible
from queuectl.client.documents import EXPLANATION, history_to_json
from queuectl.client.facade import Client
from queuectl.client.facts import info, tries
from queuectl.client.values import Explanation
from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.domain.job import DEFAULT_QUEUE, Job, JobState
from queuectl.domain.likeness import nearest
from queuectl.domain.selector import Selector
from queuectl.typed import Any
from queuectl.wire.jobs import command_line
from queuectl.wire.times import format_duration
from queuectl.wire.words import age, counted, natural, short

LINES_KEPT_FREE = 4
"""Lines of a terminal that are not rows: the titles, the number of further jobs, the prompt."""

PAGE = 500
Page = tuple[Sequence[Job], Sequence[str | None]]
"""Jobs and their reasons."""

FIRST_STATES = (JobState.PROCESSING, JobState.DEAD, JobState.FAILED)
"""States that are listed first if a terminal is too small."""

QUEUE, TRIES = Column("QUEUE", least=8), Column("TRIES", right=True)
COLUMNS = (
    Column("ID"), Column("STATE"), QUEUE, TRIES, Column("AGE", right=True), Column("COMMAND", least=22),
    Column("INFO", least=18),
)  # fmt: skip

SORT_KEYS: dict[str, Callable[[Job], Any]] = {
    "id": lambda job: job.id,
    "state": lambda job: tuple(JobState).index(job.state),
    "queue": lambda job: natural(job.queue),
    "priority": lambda job: job.priority,
    "attempts": lambda job: job.attempts,
    "created": lambda job: (job.created_at, job.seq),
    "updated": lambda job: job.updated_at,
    "duration": lambda job: job.duration or 0.0,
}


def list_jobs(call: Call) -> int:
    """Lists jobs as a table, as JSON, or as bare ids."""
    console, args = call.console, call.args
    order = _order(args.sort)
    limit = limit_of(args)
    with call.client() as client:
        selector = among_ids(call, client)
        fitting = args.limit is None and console.terminal and not (console.as_json or console.quiet)
        if fitting:
            limit = max(5, (console.screen.height or 24) - LINES_KEPT_FREE)
        if order is not None:
            pages = client.with_reasons(_in_pages(client, order(client.jobs(selector), limit)))
        elif fitting and limit is not None:
            pages = client.with_reasons([_most_telling(client, selector, limit)])
        else:
            pages = client.pages(selector, limit)
        number = _print(console, pages, client.now())
        if limit is not None and number == limit and (more := client.count(selector) - limit) > 0:
            console.note(f"{more:,} more not shown; see all with --limit all", "more")
        elif not number and (limit is not None or order is not None or not (console.as_json or console.quiet)):
            console.note("0 jobs", "no_jobs")
    return 0


def _in_pages(client: Client, seqs: Sequence[int]) -> Iterator[Sequence[Job]]:
    for start in range(0, len(seqs), PAGE):
        some = seqs[start : start + PAGE]
        there = {job.seq: job for job in client.there(some)}
        yield [there[seq] for seq in some if seq in there]


def _most_telling(client: Client, selector: Selector, limit: int) -> list[Job]:
    """Up to `limit` jobs. If not all fit: running, dead and failed ones in up to two thirds of the lines, then the
    newest others."""
    newest = client.find(selector, limit=limit, newest_first=True)
    if len(newest) < limit:
        return newest[::-1]
    first: list[Job] = []
    for state in FIRST_STATES:
        room = limit - limit // 3 - len(first)
        if room and (not selector.states or state in selector.states):
            first += client.find(selector._replace(states=(state,)), limit=room, newest_first=True)[::-1]
    there = {job.seq for job in first}
    others = [job for job in newest if job.seq not in there]
    return first + others[: limit - len(first)][::-1]


def _order(key: str | None) -> Callable[[Iterable[Job], int | None], Sequence[int]] | None:
    """A function that sorts jobs by a key and returns the `seq` of up to a limit. In memory are only the keys. None if
    no key is given."""
    if key is None:
        return None
    name, descending = key.removeprefix("-"), key.startswith("-")
    if name not in SORT_KEYS:
        raise Invalid(f"--sort {key!r} is not a sort key", nearest(name, [*SORT_KEYS]))
    by = SORT_KEYS[name]

    def order(jobs: Iterable[Job], limit: int | None) -> Sequence[int]:
        keyed, of_key = ((by(job), job.seq) for job in jobs), itemgetter(0)
        if limit is None:
            return array("q", [seq for _, seq in sorted(keyed, key=of_key, reverse=descending)])
        from heapq import nlargest, nsmallest

        return [seq for _, seq in (nlargest if descending else nsmallest)(limit, keyed, of_key)]

    return order


def _print(console: Console, pages: Iterable[Page], now: float) -> int:
    """Prints jobs page by page. Returns their number."""
    number = 0

    def counted_pages() -> Iterator[Page]:
        nonlocal number
        for page in pages:
            number += len(page[0])
            yield page

    if console.as_json:
        console.job_array(counted_pages())
    elif console.quiet:
        for jobs, _ in counted_pages():
            console.lines(job.id for job in jobs)
    else:
        _print_table(console, counted_pages(), now)
    return number


def _print_table(console: Console, pages: Iterator[Page], now: float) -> None:
    first, second = next(pages, None), next(pages, None)
    if first is None:
        return
    shown = list(range(len(COLUMNS)))
    jobs, _ = first
    if console.terminal and second is None:  # room for the columns that differ
        same = {QUEUE: all(job.queue == DEFAULT_QUEUE for job in jobs), TRIES: not any(job.starts for job in jobs)}
        shown = [number for number, column in enumerate(COLUMNS) if not same.get(column)]
    parts = (
        [[row[number] for number in shown] for row in (_row(*each, now) for each in zip(*page, strict=True))]
        for page in chain([first], [second] if second else [], pages)
    )
    console.table_in_parts([COLUMNS[number] for number in shown], parts)


def _row(job: Job, reason: str | None, now: float) -> Sequence[str | Cell]:
    return (
        job.id, state_cell(job), job.queue, tries(job), age(now - job.created_at),
        command_line(job.command), Cell(info(job, reason, now), "dim"),
    )  # fmt: skip


def show(call: Call) -> int:
    """Shows everything about jobs."""
    with call.client() as client:
        found = Found(call, client)
        if call.args.tree:
            from queuectl.cli.tree import print_trees

            return print_trees(call, client, found, found.refused)
        return print_jobs(call, client, found, found.refused)


def print_jobs(call: Call, client: Client, jobs: Iterable[Job], refused: Sequence[QueuectlError]) -> int:
    """Prints the jobs' histories, each as it is read; JSON is always an array."""
    console = call.console
    histories = (client.history(job.id) for job in jobs)
    if console.as_json:
        console.json_array(map(history_to_json, histories))
    elif console.quiet:
        console.lines(job.id for job in jobs)
    else:
        for number, one in enumerate(histories):
            if number:
                console.print()
            history.print_history(console, one, client.now())
    return report_refused(console, refused)


def explain(call: Call) -> int:
    """Says what each job is doing or what it waits for."""
    console = call.console
    with call.client() as client:
        found, now = Found(call, client), client.now()
        explanations = (each for jobs in found.pages() for each in client.explanations(jobs, console.time))
        if console.as_json:
            console.json_array(EXPLANATION.json(_on_this_store(call, each)) for each in explanations)
        else:
            console.lines(line for each in explanations for line in _explained(call, each, now))
    return report_refused(console, found.refused)


def _on_this_store(call: Call, found: Explanation) -> Explanation:
    """The explanation, with commands that are on the same store."""
    gates = [gate._replace(fix=gate.fix and call.on_this_store(gate.fix)) for gate in found.gates]
    return found._replace(gates=gates)


def _explained(call: Call, found: Explanation, now: float) -> Iterator[str]:
    """What a job waits for: a sentence, then each closed gate, when it may start, and how to bring that forward."""
    sentence = f"{found.id} {found.explanation}"
    yield visible(sentence)
    if len(found.gates) > 1 or not all(sentence.endswith(gate.told) for gate in found.gates):
        yield from (visible(f"  {gate.told}") for gate in found.gates)
    if found.starts_at is not None and (found.mean_run is not None or any(gate.place for gate in found.gates)):
        took = ""
        if found.mean_run is not None:
            took = f": the last {counted(found.runs, 'run')} of its queue took {format_duration(found.mean_run)}"
            took += " on average"
        yield f"  likely to start in {short(max(0.0, found.starts_at - now))}{took}"
    fixes = dict.fromkeys(gate.fix for gate in found.gates if gate.fix)
    yield from (f"  bring it forward: {call.on_this_store(fix)}" for fix in fixes)
