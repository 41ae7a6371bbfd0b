"""The endpoints of the console, a panel on every page."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from queuectl.domain.errors import Invalid
from queuectl.settings import SETTINGS
from queuectl.web import console
from queuectl.web.console import Typed
from queuectl.web.rest.operation import answer, object_body, text_in
from queuectl.web.streams import EventStream


async def panel(request: Request) -> Response:
    """Redirects to the first page with the panel open."""
    return RedirectResponse("/#console", 303)


async def commands(request: Request) -> Response:
    """The words for completion."""
    return answer({"entries": [entry._asdict() for entry in console.entries()], "settings": list(SETTINGS)})


async def look(request: Request) -> Response:
    """Runs a line that only reads."""
    query = request.query_params
    return _run(request, Typed(
        line=query.get("line", ""), visitor=request.state.visitor, width=_width(query.get("width", "")), by_get=True
    ))  # fmt: skip


async def run(request: Request) -> Response:
    """Runs a line."""
    given = await object_body(request, "line", "width", "answer")
    return _run(request, Typed(
        line=text_in(given, "line"), visitor=request.state.visitor, width=_width(str(given.get("width", ""))),
        answer=text_in(given, "answer") if "answer" in given else None,
    ))  # fmt: skip


async def stop(request: Request) -> Response:
    """Ctrl-C."""
    given = await object_body(request, "session")
    running: console.Console = request.app.state.console
    running.stop(text_in(given, "session"), request.state.visitor)
    return Response(status_code=204)


def _width(text: str) -> int:
    if not text:
        return console.WIDTH_LEAST
    if not text.isascii() or not text.isdigit():
        raise Invalid(f"width {text[:20]!r} is not a number of characters")
    return int(text[:6])


def _run(request: Request, typed: Typed) -> Response:
    running: console.Console = request.app.state.console
    return EventStream(running.run(typed))


routes = [
    Route("/console", panel), Route("/console/commands", commands), Route("/console/run", look, methods=["GET"]),
    Route("/console/run", run, methods=["POST"]), Route("/console/stop", stop, methods=["POST"]),
]  # fmt: skip
