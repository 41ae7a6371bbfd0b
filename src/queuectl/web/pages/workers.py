"""The workers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.web.ask import ask
from queuectl.web.rendering import page


async def workers(request: Request) -> Response:
    """Every worker with its running jobs."""
    status = await ask(request, Client.status)
    return page(request, "workers.html", part="_workers.html", workers=status.workers, now=status.at)


routes = [Route("/workers", workers)]
