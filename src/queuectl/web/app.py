"""Puts the application together: routes, the guard around them, and objects that live as long as the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from queuectl.client.facade import Client
from queuectl.domain.errors import QueuectlError
from queuectl.web import login, pages, problems
from queuectl.web.ask import Clients
from queuectl.web.assets import Assets
from queuectl.web.console import Console
from queuectl.web.door import Door
from queuectl.web.feed import Feed
from queuectl.web.guard import Guard, Hosts
from queuectl.web.pages.charts import Charts
from queuectl.web.public import PublicUrl, refuse_pages
from queuectl.web.rendering import outside, page
from queuectl.web.rest import table
from queuectl.web.rest.health import Health
from queuectl.web.rest.streaming import Followers
from queuectl.web.stores import FIRST, FOLDER, Stores
from queuectl.wire.requests import NOTHING

GZIP_FROM_BYTES = 1024
GZIP_LEVEL = 4


LISTEN_S_MAX = 900.0
"""Longest life of a stream; browsers then reconnect by themselves."""


OpenClient = Callable[[], Client]


def create_app(
    open_client: OpenClient, bound: str = "127.0.0.1", allowed: Iterable[str] = (), listen_s_max: float = LISTEN_S_MAX,
    public: PublicUrl | None = None, trusted: Sequence[str] = (), also: Mapping[str, OpenClient] = NOTHING,
) -> Starlette:  # fmt: skip
    """The whole server as an ASGI application.

    `open_client` opens the store each time it is called: every thread has a client of its own. `bound` is the address
    the server listens on. `allowed` are further host names it accepts. `public` is the address in front of a proxy, and
    `trusted` are the proxies whose X-Forwarded-For and X-Forwarded-Proto count. `also` opens further stores, by name.
    Raises `Invalid`.
    """
    clients = Clients(open_client)
    door = Door(clients)
    others = {
        name: _of_store(each, Clients(each), door, listen_s_max, names=(FIRST, *also)) for name, each in also.items()
    }
    names = [*allowed]
    if public:
        refuse_pages(public, [FOLDER, *(route.path for route in _routes())])
        names.append(public.host)
    middleware = [
        Middleware(ProxyHeadersMiddleware, trusted_hosts=list(trusted)),
        Middleware(Guard, door=door, hosts=Hosts(bound, names), public=public, stores=others.keys()),
        Middleware(GZipMiddleware, minimum_size=GZIP_FROM_BYTES, compresslevel=GZIP_LEVEL),
        Middleware(Stores, others=others),
    ]
    app = _of_store(open_client, clients, door, listen_s_max, names=(FIRST, *also), middleware=middleware)
    app.state.all = [app, *others.values()]
    return app


def _routes() -> list[Route | Mount]:
    return [*login.routes, *table.routes(), Mount("/static", Assets()), *pages.routes]


def _of_store(
    open_client: OpenClient, clients: Clients, door: Door, listen_s_max: float, names: Sequence[str],
    middleware: Sequence[Middleware] = (),
) -> Starlette:  # fmt: skip
    """The application of one store. `names` are those of all."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            for each in app.state.all:
                each.state.clients.prepare()
            yield
        finally:
            end_streams(app)
            for each in app.state.all:
                each.state.clients.close()

    app = Starlette(
        routes=_routes(), middleware=middleware, lifespan=lifespan,
        exception_handlers={QueuectlError: _problem, HTTPException: _not_routed, Exception: _bug},
    )  # fmt: skip
    app.state.clients = clients
    app.state.door = door
    app.state.stores = names
    app.state.queuectl = "queuectl"  # how a command on this store begins
    app.state.on_store = str  # puts it into hints
    app.state.health = Health()
    app.state.charts = Charts()
    app.state.feed = Feed(open_client, listen_s_max)
    app.state.followers = Followers(listen_s_max)
    app.state.console = Console(open_client, listen_s_max)
    return app


def end_streams(app: Starlette) -> None:
    """Ends all streams before the server stops; they would otherwise last as long as their readers stay."""
    for each in app.state.all:
        each.state.feed.close()
        each.state.followers.close()
        each.state.console.close()


async def _problem(request: Request, error: Exception) -> Response:
    """An error as JSON for programs, or as a page for a browser that opens one.

    It and its like are coroutines: Starlette would run functions in threads of their own.
    """
    assert isinstance(error, QueuectlError)
    error.say(error.message, request.app.state.on_store(error.hint))
    opens_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    if not opens_page or request.url.path.startswith("/api/"):
        return problems.response(error)
    if not hasattr(request.state, "visitor"):
        return outside(request, error)
    title = problems.title(error.http_status)
    return page(request, "error.html", status=error.http_status, error=error, title=title)


async def _not_routed(request: Request, error: Exception) -> Response:
    """Starlette's 404 and 405 in the form of our errors."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        return await _problem(request, problems.MethodNotAllowed(f"{request.method} is not allowed here", allowed))
    if error.status_code == 404:
        return await _problem(
            request, problems.NoSuchPage(f"nothing is at {request.url.path[:200]}", "see: /openapi.json")
        )
    return Response(status_code=error.status_code)


async def _bug(request: Request, error: Exception) -> Response:
    """An unexpected exception: its traceback goes to the server's log, never to the client."""
    return problems.response(problems.Bug("internal error", "see the server's log"))
