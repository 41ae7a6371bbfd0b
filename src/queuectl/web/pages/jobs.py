"""The table of jobs. Its address holds the filter and the page; its cost does not grow with the number of jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job, JobState
from queuectl.web import filters
from queuectl.web.ask import ask
from queuectl.web.filters import Filter
from queuectl.web.rendering import page
from queuectl.wire.words import natural

ROWS = 50


class Listing(NamedTuple):
    """One page of the table. `older` and `newer` are the cursors of the neighbouring pages, or None."""

    now: float
    jobs: Sequence[Job]
    reasons: Sequence[str | None]
    counts: Mapping[JobState, int]
    queues: Sequence[str]
    total: int | None = None
    older: int | None = None
    newer: int | None = None
    exact: Job | None = None
    error: Invalid | None = None


def listing(client: Client, wanted: Filter, before: int | None = None, after: int | None = None) -> Listing:
    """The newest matching jobs; or those enqueued before job number `before`, or next after job number `after`."""
    counts, queues = _counts(client, wanted)
    now = client.now()
    try:
        selector = wanted.selector(now)
    except Invalid as error:
        return Listing(now=now, jobs=(), reasons=(), counts=counts, queues=queues, error=error)
    if after is not None:
        found = client.page(selector, ROWS + 1, after=after)
        if len(found) <= ROWS:  # the first page, or nearly
            before = after = None
    if after is None:
        found = client.page(selector, ROWS + 1, newest_first=True, after=before)
    more = len(found) > ROWS
    jobs = found[:ROWS] if after is None else found[:ROWS][::-1]
    return Listing(
        now=now, jobs=jobs, reasons=client.reasons(jobs), counts=counts, queues=queues,
        total=client.known_count(selector),
        older=jobs[-1].seq if jobs and (more or after is not None) else None,
        newer=jobs[0].seq if jobs and (after is not None or before is not None) else None,
        exact=_exact(client, wanted.first("command")),
    )  # fmt: skip


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


def cursor(request: Request, name: str) -> int | None:
    """A cursor in the address, or None. Raises `Invalid`."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Invalid(f"{name} {text[:20]!r} is not a place in the table", "start again at /jobs")
    return int(text)


async def jobs(request: Request) -> Response:
    """The table."""
    wanted = filters.of_query(request.url.query)
    before, after = cursor(request, "before"), cursor(request, "after")
    found = await ask(request, lambda client: listing(client, wanted, before, after))
    return page(
        request, "jobs.html", part="_jobs.html", status=400 if found.error else 200, listing=found, wanted=wanted
    )


routes = [Route("/jobs", jobs)]
