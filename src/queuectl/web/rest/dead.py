"""The dead letter queue."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client import documents
from queuectl.client.facade import GROUPS, Client
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.web.ask import ask
from queuectl.web.rest.jobs import page
from queuectl.web.rest.operation import Query, answer, shown, whole_number
from queuectl.wire.jobs import job_to_json
from queuectl.wire.kinds import JsonObject
from queuectl.wire.selections import KEYS, parse_selection

DEAD = Selector(states=(JobState.DEAD,))
GROUPS_MAX = 1000


async def find(request: Request, query: Query) -> Response:
    """A page of dead jobs, newest first, with the last lines of their output."""
    return answer(await ask(request, lambda client: page(request, client, query, DEAD, _with_tails)))


def _with_tails(request: Request, client: Client, jobs: Sequence[Job]) -> list[JsonObject]:
    return [
        {**shown(request, job_to_json(job, job.error)), "output_tail": client.last_lines(job)} for job in jobs
    ]  # fmt: skip


async def groups(request: Request, query: Query) -> Response:
    """Dead jobs grouped by how they failed."""
    limit = whole_number(query, "limit", 1, GROUPS_MAX) or GROUPS
    given = {key: query[key] for key in KEYS if key in query}

    def count(client: Client) -> list[JsonObject]:
        selector = parse_selection(given, client.now())
        return [documents.GROUP.json(group) for group in client.dead_groups(selector, limit=limit)]

    return answer(await ask(request, count))
