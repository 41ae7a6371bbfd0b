"""Logs browsers in: a token, typed into a form or part of the address printed at the start, becomes a session in a
cookie."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from queuectl.client.operation import JSON
from queuectl.domain.errors import QueuectlError
from queuectl.web.door import Door
from queuectl.web.guard import cookie_name
from queuectl.web.problems import Unauthenticated
from queuectl.web.rendering import page
from queuectl.web.rest.operation import answer as answer_with
from queuectl.web.sessions import KEEP_S


async def login(request: Request) -> Response:
    """Shows the form. With `token` in the query (in a POST: in the body), sets the cookie and redirects to the page.

    A page that asks by itself accepts JSON: it gets the token's name and role, or the error.
    """
    form = request.query_params
    given, target = form.get("token"), form.get("next", "/")
    if request.method == "POST":
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
        given, target = fields.get("token", [""])[0], fields.get("next", ["/"])[0]
    target = target if _is_ours(target) else "/"
    asks_itself = request.headers.get("accept") == JSON
    if given is None:
        return page(request, "login.html", next=target, error=None)
    door: Door = request.app.state.door
    try:
        token = await door.token(given.strip(), request.client.host if request.client else "")
    except QueuectlError as error:
        if asks_itself or (not isinstance(error, Unauthenticated) and error.http_status != 429):
            raise
        return page(request, "login.html", status=error.http_status, next=target, error=error.message)
    answer: Response = RedirectResponse(target, 303)
    if asks_itself:
        answer = answer_with({"name": token.name, "role": token.role})
    answer.set_cookie(
        cookie_name(request.scope), await door.begin(token), max_age=KEEP_S, path=_cookie_path(request), httponly=True,
        samesite="strict", secure=request.state.is_secure,
    )  # fmt: skip
    return answer


async def logout(request: Request) -> Response:
    """Removes the cookie. The token stays valid."""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(
        cookie_name(request.scope), path=_cookie_path(request), httponly=True, samesite="strict",
        secure=request.state.is_secure,
    )  # fmt: skip
    return answer


def _cookie_path(request: Request) -> str:
    return f"{request.state.base}/"


def _is_ours(target: str) -> bool:
    """Whether a login may redirect there: a path of this server that no browser reads as another host."""
    return target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable() and target.isascii()


routes = [Route("/login", login, methods=["GET", "POST"]), Route("/logout", logout, methods=["POST"])]
