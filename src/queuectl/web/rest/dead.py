"""The dead letter queue."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client.facade import Client
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.web.ask import ask
from queuectl.web.rest.jobs import JOB_KEYS, page
from queuectl.web.rest.operation import Given, answer, chosen, shown
from queuectl.wire.jobs import job_to_json
from queuectl.wire.kinds import JsonObject

DEAD = Selector(states=(JobState.DEAD,))


async def find(request: Request, given: Given) -> Response:
    """A page of dead jobs, newest first, with the last lines of their output."""
    names = chosen(given["fields"], (*JOB_KEYS, "output_tail"))
    return answer(await ask(request, lambda client: page(request, client, given, DEAD, _with_tails, names)))


def _with_tails(request: Request, client: Client, jobs: Sequence[Job]) -> list[JsonObject]:
    return [
        {**shown(request, job_to_json(job, job.error)), "output_tail": client.last_lines(job)} for job in jobs
    ]  # fmt: skip
