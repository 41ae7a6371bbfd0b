"""Tokens and the audit log."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.documents import deed_words
from queuectl.client.facade import Client
from queuectl.domain.token import Role
from queuectl.typed import Any
from queuectl.web.ask import ask
from queuectl.web.pages.jobs import number
from queuectl.web.rendering import page

DEEDS_SHOWN = 50


async def access(request: Request) -> Response:
    """The page; a read-only token only sees that it may not read it."""
    visitor = request.state.visitor
    before = number(request, "before")

    def look(client: Client) -> dict[str, Any]:
        deeds = client.audit(limit=DEEDS_SHOWN + 1, before=before)
        more = deeds[DEEDS_SHOWN - 1].id if len(deeds) > DEEDS_SHOWN else None
        return {
            "now": client.now(), "tokens": client.tokens(), "deeds": deeds[:DEEDS_SHOWN], "older": more,
        }  # fmt: skip

    found: dict[str, Any] = {"now": 0.0, "tokens": (), "deeds": (), "older": None}
    if visitor.may_write:
        found = await ask(request, look)
    return page(request, "access.html", part="_access.html", words=deed_words, roles=list(Role), **found)


routes = [Route("/access", access)]
