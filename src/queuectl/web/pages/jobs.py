"""The table of jobs. Its address holds the filter, the order and the page; its cost does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.typed import Any, NamedTuple
from queuectl.web import filters
from queuectl.web.ask import ask
from queuectl.web.filters import Filter
from queuectl.web.rendering import page
from queuectl.wire.words import natural

ROWS = 50
SIZES = (25, 50, 100, 200)
NEW_MAX = 100
"""More new jobs than this are not counted."""
SORTED_MAX = 2000
"""At most this many jobs are sorted, the newest that match: more would have to be read each time."""
WORDS_MAX = 100
"""How many words the search proposes."""

ORDERS: Mapping[str, Callable[[Job], Any]] = {
    "id": lambda job: natural(job.id), "state": lambda job: job.state, "queue": lambda job: natural(job.queue),
    "command": lambda job: " ".join(job.command) if isinstance(job.command, tuple) else job.command,
    "took": lambda job: -1.0 if job.duration is None else job.duration, "tries": lambda job: job.attempts,
    "age": lambda job: -job.created_at,
}  # fmt: skip
"""What the columns are sorted by."""


class Listing(NamedTuple):
    """One page of the table. `older` and `newer` are the queries of the neighbouring pages, or None; `reached` is
    the job up to which was searched, if not all were. `latest` is the newest job of all, `new` counts those since. An
    open page that keeps its rows keeps its neighbours, too."""

    now: float
    jobs: Sequence[Job]
    reasons: Sequence[str | None]
    counts: Mapping[JobState, int]
    queues: Sequence[str]
    total: int | None = None
    older: str | None = None
    newer: str | None = None
    reached: Job | None = None
    latest: int = 0
    new: int = 0
    exact: Job | None = None
    error: Invalid | None = None

    @property
    def numbers(self) -> dict[str, str]:
        """The counts as they are shown."""
        return {state.value: f"{number:,}" for state, number in self.counts.items()}

    @property
    def words(self) -> list[str]:
        """What the search proposes: the tags of the jobs on the page, and all queues."""
        tags = {tag for job in self.jobs for tag in job.tags}
        return [*sorted(tags - {*self.queues}, key=natural), *self.queues][:WORDS_MAX]


class Place(NamedTuple):
    """Where in the table: enqueued before or after a job's `seq`, or that far down a sorted list. `rows` are those that
    an open page shows, and wants to keep; `seen` was the newest job then."""

    before: int | None = None
    after: int | None = None
    skip: int = 0
    rows: tuple[int, ...] = ()
    seen: int = 0


def listing(client: Client, wanted: Filter, place: Place) -> Listing:
    """The page of the table that is wanted."""
    counts, queues = _counts(client, wanted)
    found = Listing(now=client.now(), jobs=(), reasons=(), counts=counts, queues=queues, latest=client.latest())
    try:
        selector = wanted.selector(found.now)
    except Invalid as error:
        return found._replace(error=error)
    order = {seq: at for at, seq in enumerate(place.rows)}
    jobs = sorted(client.there(place.rows), key=lambda job: order[job.seq])
    if jobs:
        found = found._replace(jobs=jobs, new=client.newer(selector, place.seen, NEW_MAX), latest=place.seen)
    elif wanted.sort:
        found = _sorted(client, wanted, selector, place, found)
    else:
        found = _page(client, wanted, selector, place, found)
    known = client.known_count(selector)
    return found._replace(
        reasons=client.reasons(found.jobs), total=found.total if known is None else known,
        exact=_exact(client, wanted.first("text") or wanted.first("command")),
    )  # fmt: skip


def _page(client: Client, wanted: Filter, selector: Selector, place: Place, found: Listing) -> Listing:
    """The newest jobs; or those enqueued before one, or next after one."""
    size, before, after, reached = wanted.size, place.before, place.after, None
    jobs: list[Job] = []
    if after is not None:
        jobs, _ = client.search(selector, size + 1, newest_first=False, start=after)
        if len(jobs) <= size and after:  # the first page, or nearly
            before = after = None
    if after is None:
        jobs, reached = client.search(selector, size + 1, newest_first=True, start=before)
    more = len(jobs) > size
    jobs = jobs[:size] if after is None else jobs[:size][::-1]
    at_end = after == 0
    older = jobs[-1].seq if jobs and not at_end and (more or after is not None) else reached
    newer = jobs and (before is not None or (after is not None and (more or not at_end)))
    return found._replace(
        jobs=jobs, older=None if older is None else wanted.query(before=older),
        newer=wanted.query(after=jobs[0].seq) if newer else None,
        reached=_at(client, reached),
    )  # fmt: skip


def _at(client: Client, reached: int | None) -> Job | None:
    """The job up to which was searched; None if all were."""
    return None if reached is None else next(iter(client.page(Selector(), 1, after=reached)), None)


def _sorted(client: Client, wanted: Filter, selector: Selector, place: Place, found: Listing) -> Listing:
    """The newest matching jobs, sorted by a column; where time was up, those found by then, and the rest unsorted."""
    jobs, reached = client.search(selector, SORTED_MAX, newest_first=True)
    jobs.sort(key=ORDERS[wanted.sort.lstrip("-")], reverse=wanted.sort.startswith("-"))
    end, begin = place.skip + wanted.size, max(0, place.skip - wanted.size)
    older = wanted.query(skip=end) if end < len(jobs) else None
    if older is None and reached is not None:
        kept = {name: value for name, value in wanted.view.items() if name != "sort"}
        older = wanted._replace(view=kept).query(before=reached)
    return found._replace(
        jobs=jobs[place.skip : end],
        total=len(jobs) if len(jobs) < SORTED_MAX and reached is None else None,
        older=older,
        reached=_at(client, reached),
        newer=wanted.query(skip=begin) if place.skip else None,
    )


def _counts(client: Client, wanted: Filter) -> tuple[dict[JobState, int], list[str]]:
    """Jobs by state in the wanted queues, and the names of all queues."""
    counts = dict.fromkeys(JobState, 0)
    queues = set()
    for (queue, state), number in client.counts().items():
        queues.add(queue)
        if queue in wanted.given.get("queue", (queue,)):
            counts[state] += number
    return counts, sorted(queues, key=natural)


def _exact(client: Client, text: str) -> Job | None:
    """The job whose id is the searched text, or None."""
    try:
        return client.job(text) if text else None
    except (NotFound, Invalid):
        return None


def number(request: Request, name: str) -> int | None:
    """A number in the address, or None. Raises `Invalid`."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(f"{name} {text[:20]!r} is not a place in the table", "start again at /jobs")
    return int(text)


def rows_in(request: Request) -> tuple[int, ...]:
    """The rows that an open page shows, by `seq`."""
    rows = request.query_params.get("rows", "").split(",")[: max(SIZES)]
    return tuple(int(each) for each in rows if each.isascii() and each.isdigit() and len(each) < 18)


def place_in(request: Request) -> Place:
    """The place in the address. Raises `Invalid`."""
    return Place(
        number(request, "before"), number(request, "after"), number(request, "skip") or 0, rows_in(request),
        number(request, "seen") or 0,
    )  # fmt: skip


async def jobs(request: Request) -> Response:
    """The table."""
    wanted = filters.of_query(request.url.query, ORDERS, SIZES, ROWS)
    place = place_in(request)
    found = await ask(request, lambda client: listing(client, wanted, place))
    return page(
        request, "jobs.html", part="_jobs.html", status=400 if found.error else 200, listing=found, wanted=wanted,
        sizes=SIZES, new_max=NEW_MAX, sorted_max=SORTED_MAX, is_first=place._replace(rows=(), seen=0) == Place(),
    )  # fmt: skip


routes = [Route("/jobs", jobs)]
