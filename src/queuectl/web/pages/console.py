"""The console's page, and the way in for its lines."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.domain.errors import Invalid
from queuectl.settings import SETTINGS
from queuectl.web import console
from queuectl.web.console import Typed
from queuectl.web.rendering import page
from queuectl.web.rest.operation import object_body, text_in
from queuectl.web.streams import EventStream


async def panel(request: Request) -> Response:
    """The page. `?run=` is typed in already, but not sent."""
    entries = [entry._asdict() for entry in console.entries()]
    return page(
        request, "console.html", entries=entries, settings=list(SETTINGS), line=request.query_params.get("run", "")
    )


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


def _width(text: str) -> int:
    if not text:
        return console.WIDTH_LEAST
    if not text.isascii() or not text.isdigit():
        raise Invalid(f"width {text[:20]!r} is no number of signs")
    return int(text[:6])


def _run(request: Request, typed: Typed) -> Response:
    running: console.Console = request.app.state.console
    return EventStream(running.run(typed))


routes = [
    Route("/console", panel), Route("/console/run", look, methods=["GET"]),
    Route("/console/run", run, methods=["POST"]),
]  # fmt: skip
