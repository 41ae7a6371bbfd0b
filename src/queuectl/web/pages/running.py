"""Queues, and the workers that serve them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.documents import seen_counts
from queuectl.client.facade import Client
from queuectl.client.queues import QUEUE
from queuectl.domain.job import JobState
from queuectl.web.ask import ask
from queuectl.web.rendering import page
from queuectl.wire.words import natural


async def queues(request: Request) -> Response:
    """Every queue with its counts and workers."""
    status, views = await ask(request, lambda client: (client.status(), client.queues()))
    found = [
        {**QUEUE.json(view), "counts": seen_counts(status, view.name)}
        for view in sorted(views, key=lambda view: natural(view.name))
    ]
    return page(request, "queues.html", part="_queues.html", queues=found, states=list(JobState))


async def workers(request: Request) -> Response:
    """Every worker with its running jobs."""
    status = await ask(request, Client.status)
    return page(request, "workers.html", part="_workers.html", workers=status.workers, now=status.at)


routes = [Route("/queues", queues), Route("/workers", workers)]
