"""The REST API below `/api/v1`: each handler translates words, and one `Client` call does it."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl import documents
from queuectl.client import Client
from queuectl.web.ask import ask


def answer(document: object, status: int = 200) -> Response:
    """A JSON document."""
    return Response(msgspec.json.encode(document), status, media_type="application/json")


async def status(request: Request) -> Response:
    """The whole at a glance."""
    return answer(documents.status_to_json(await ask(request, Client.status)))


async def job(request: Request) -> Response:
    """A job with its executions and events."""
    ref = request.path_params["id"]
    return answer(documents.history_to_json(await ask(request, lambda client: client.history(ref))))


routes = [Route("/api/v1/status", status), Route("/api/v1/jobs/{id}", job)]
