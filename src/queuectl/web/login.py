"""Logs browsers in: a token, typed into a form or part of the address printed at the start, becomes a cookie."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from queuectl.domain.errors import QueuectlError
from queuectl.web.guard import Door, cookie_name
from queuectl.web.problems import Unauthenticated
from queuectl.web.rendering import page

KEEP_S = 30 * 86400
"""How long a browser stays logged in."""


async def login(request: Request) -> Response:
    """Shows the form. With `token` in the query (in a POST: in the body), sets the cookie and redirects to the page."""
    form = request.query_params
    given, target = form.get("token"), form.get("next", "/")
    if request.method == "POST":
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
        given, target = fields.get("token", [""])[0], fields.get("next", ["/"])[0]
    target = target if _is_ours(target) else "/"
    if given is None:
        return page(request, "login.html", next=target, error=None)
    door: Door = request.app.state.door
    try:
        await door.token(given.strip(), request.client.host if request.client else "")
    except QueuectlError as error:
        if not isinstance(error, Unauthenticated) and error.http_status != 429:
            raise
        return page(request, "login.html", status=error.http_status, next=target, error=error.message)
    answer = RedirectResponse(target, 303)
    answer.set_cookie(
        cookie_name(request.scope), given.strip(), max_age=KEEP_S, path="/", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


async def logout(request: Request) -> Response:
    """Removes the cookie. The token stays valid."""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(request.scope), path="/", httponly=True, samesite="strict")
    return answer


def _is_ours(target: str) -> bool:
    """Whether a login may redirect there: a path of this server that no browser reads as another host."""
    return target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable() and target.isascii()


routes = [Route("/login", login, methods=["GET", "POST"]), Route("/logout", logout, methods=["POST"])]
