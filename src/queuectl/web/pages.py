"""The dashboard's pages."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client import Client
from queuectl.web.ask import ask
from queuectl.web.rendering import page


async def status(request: Request) -> Response:
    """The whole at a glance."""
    return page(request, "status.html", status_=await ask(request, Client.status))


routes = [Route("/", status)]
