"""Dead jobs, grouped by how they failed and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.documents import GROUP
from queuectl.client.facade import Client
from queuectl.domain.job import Job, JobState
from queuectl.store.past import Group
from queuectl.web import filters
from queuectl.web.ask import ask
from queuectl.web.filters import Filter
from queuectl.web.pages.jobs import cursor, listing
from queuectl.web.rendering import page

GROUPS_SHOWN = 100
RETRIES_SHOWN = 20
TAIL_OF_BYTES_MAX = 64 << 10
"""The table shows no last lines of larger outputs: the whole output would have to be unpacked."""

DEAD = (JobState.DEAD.value,)


class Failures(NamedTuple):
    """The page's content: groups with their selectors, and the next retries."""

    now: float
    groups: Sequence[tuple[Group, dict[str, Any], str]]
    dead: int
    retries: Sequence[Job]
    waiting: int


def failures(client: Client) -> Failures:
    """Reads the page's content."""
    counts = client.counts()

    def counted(wanted: JobState) -> int:
        return sum(number for (_, state), number in counts.items() if state is wanted)

    return Failures(
        now=client.now(), dead=counted(JobState.DEAD), waiting=counted(JobState.FAILED),
        groups=[_grouped(group) for group in client.dead_groups(limit=GROUPS_SHOWN)],
        retries=client.next_retries(RETRIES_SHOWN),
    )  # fmt: skip


def _grouped(group: Group) -> tuple[Group, dict[str, Any], str]:
    """A group, its selector, and the query of the page that shows its jobs."""
    selector: dict[str, Any] = GROUP.json(group)["selector"]
    words = {name: tuple(map(str, values)) for name, values in selector.items() if name != "state"}
    return group, selector, Filter(words).query()


def last_words(client: Client, jobs: Sequence[Job]) -> list[str]:
    """The last lines of each job's output; empty if reading them would be slow."""
    return [client.last_lines(job) if (job.output_bytes or 0) <= TAIL_OF_BYTES_MAX else "" for job in jobs]


async def groups(request: Request) -> Response:
    """Dead jobs by group."""
    return page(request, "failures.html", part="_failures.html", found=await ask(request, failures))


async def dead(request: Request) -> Response:
    """The dead letter queue."""
    wanted = filters.of_query(request.url.query).without("state")
    before, after = cursor(request, "before"), cursor(request, "after")

    def look(client: Client) -> dict[str, Any]:
        found = listing(client, Filter({**wanted.given, "state": DEAD}), before, after)
        return {"listing": found, "tails": last_words(client, found.jobs)}

    found = await ask(request, look)
    status = 400 if found["listing"].error else 200
    return page(request, "dlq.html", part="_dlq.html", status=status, wanted=wanted, **found)


routes = [Route("/failures", groups), Route("/dlq", dead)]
