"""Failures, by what is alike in them and by time; and the dead letter queue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import dropwhile

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.documents import GROUP
from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid
from queuectl.domain.fault import FOLDED, folded, folded_command, folded_error
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.store.past import Group
from queuectl.typed import Any, NamedTuple
from queuectl.web import filters
from queuectl.web.ask import ask
from queuectl.web.filters import Filter
from queuectl.web.pages.jobs import NEW_MAX, ROWS, rows_in
from queuectl.web.rendering import page
from queuectl.wire.words import natural

GROUPS_SHOWN = 50
RETRIES_SHOWN = RECENT_SHOWN = 20
BAR = 16
"""The height of a sparkline."""
TAIL_OF_BYTES_MAX = 64 << 10
"""Of larger outputs the table shows the last line alone: the whole output would have to be unpacked."""

DEAD = (JobState.DEAD.value,)


class Failures(NamedTuple):
    """The page's content: groups with what their links and buttons need, the latest failures, and the next retries."""

    now: float
    most: int
    groups: Sequence[Shown]
    dead: int
    waiting: int
    recent: Sequence[Job]
    retries: Sequence[Job]


class Shown(NamedTuple):
    """A group on the page: what it said, or its error; its error beside that; and its command, all without what differs
    if it has several jobs. Its selector, the query of the page that shows its jobs, and its bars as the path of an SVG.
    """

    group: Group
    said: str
    error: str
    command: str
    selector: dict[str, Any]
    query: str
    bars: str


def failures(client: Client) -> Failures:
    """Reads the page's content."""
    counts = client.counts()

    def counted(wanted: JobState) -> int:
        return sum(number for (_, state), number in counts.items() if state is wanted)

    return Failures(
        now=client.now(), most=GROUPS_SHOWN, dead=counted(JobState.DEAD), waiting=counted(JobState.FAILED),
        groups=[_shown(group) for group in client.dead_groups(limit=GROUPS_SHOWN, waiting=True)],
        recent=client.fallen(Selector(states=(JobState.DEAD, JobState.FAILED)), RECENT_SHOWN),
        retries=client.next_retries(RETRIES_SHOWN),
    )  # fmt: skip


def _shown(group: Group) -> Shown:
    selector: dict[str, Any] = GROUP.json(group)["selector"]
    query = Filter({name: tuple(values) for name, values in selector.items()}).query()
    said, error, command = group.last_line or "", group.error or "", group.command
    if group.jobs > 1:
        said, error, command = _told(folded(said)), folded_error(error), folded_command(command)
    if not said:
        said, error = error or "no error recorded", ""
    return Shown(group, said, error, command, selector, query, sparkline(group.recent))


def _told(line: str) -> str:
    """A folded line without what it begins with and that says nothing: most programs name a place first."""
    parts = line.split(": ")
    return ": ".join(dropwhile(lambda part: part == FOLDED, parts)) or line


def sparkline(numbers: Sequence[int]) -> str:
    """The path of an SVG with a bar for each number, 4 wide, the largest of them `BAR` high."""
    heights = [-(-BAR * number // (max(numbers) or 1)) for number in numbers]
    return "".join(f"M{4 * at} {BAR}v-{height}h3v{height}z" for at, height in enumerate(heights) if height)


def last_words(client: Client, jobs: Sequence[Job]) -> list[str]:
    """The last lines of each job's output; only the last one if reading them would be slow."""
    return [
        client.last_lines(job) if (job.output_bytes or 0) <= TAIL_OF_BYTES_MAX else job.last_line or "" for job in jobs
    ]


async def groups(request: Request) -> Response:
    """Failures by group and by time."""
    return page(request, "failures.html", part="_failures.html", found=await ask(request, failures))


class Kept(NamedTuple):
    """The rows of an open page, which it wants to keep; and when they were read."""

    rows: tuple[int, ...] = ()
    seen: float = 0.0


class Letters(NamedTuple):
    """One page of the dead letter queue. `older` is the place where the next one begins, or None: a search that takes
    long ends before its page is full. An open page that keeps its rows keeps that place, too."""

    now: float
    jobs: Sequence[Job]
    tails: Sequence[str]
    queues: Sequence[str]
    total: int | None = None
    older: str | None = None
    new: int = 0
    seen: float = 0.0
    error: Invalid | None = None


def letters(client: Client, wanted: Filter, before: tuple[float, int] | None, kept: Kept) -> Letters:
    """The matching dead jobs, the latest to die first; or those that died before a place; or those that an open page
    wants to keep."""
    now, queues = client.now(), sorted({queue for queue, _ in client.counts()}, key=natural)
    try:
        selector = Filter({**wanted.given, "state": DEAD}).selector(now)
    except Invalid as error:
        return Letters(now=now, jobs=(), tails=(), queues=queues, error=error)
    order = {seq: at for at, seq in enumerate(kept.rows)}
    jobs = sorted(client.there(kept.rows), key=lambda job: order[job.seq])
    reached, new, seen = None, 0, now
    if jobs:
        new, seen = client.newly_fallen(selector, kept.seen, NEW_MAX), kept.seen
    else:
        found, reached = client.search_fallen(selector, ROWS + 1, before)
        jobs = found[:ROWS]
        if len(found) > ROWS:
            reached = jobs[-1].finished_at or 0.0, jobs[-1].seq
    return Letters(
        now=now, jobs=jobs, tails=last_words(client, jobs), queues=queues, total=client.known_count(selector),
        older=None if reached is None else f"{reached[0]!r}_{reached[1]}", new=new, seen=seen,
    )  # fmt: skip


def place(request: Request) -> tuple[float, int] | None:
    """The place in the address, or None. Raises `Invalid`."""
    text = request.query_params.get("before")
    if text is None:
        return None
    if not (said := re.fullmatch(r"(\d{1,12}(?:\.\d{1,9})?)_(\d{1,18})", text, re.ASCII)):
        raise Invalid(f"before {text[:20]!r} is not a place in the table", "start again at /dlq")
    return float(said[1]), int(said[2])


def kept_in(request: Request) -> Kept:
    """What an open page wants to keep."""
    given = request.query_params
    seen = re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", given.get("seen", ""), re.ASCII)
    return Kept(rows_in(request), float(seen[0]) if seen else 0.0)


async def dead(request: Request) -> Response:
    """The dead letter queue."""
    wanted = filters.of_query(request.url.query).without("state")
    before, kept = place(request), kept_in(request)
    found = await ask(request, lambda client: letters(client, wanted, before, kept))
    status = 400 if found.error else 200
    return page(
        request,
        "dlq.html",
        part="_dlq.html",
        status=status,
        wanted=wanted,
        listing=found,
        is_first=before is None,
        new_max=NEW_MAX,
    )


routes = [Route("/failures", groups), Route("/dlq", dead)]
