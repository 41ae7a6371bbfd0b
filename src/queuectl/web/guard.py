"""Access control: every request passes here before anything else sees it.

Checked in this order: the Host must name this server, or another site's name could point here (DNS rebinding); the
request must not come from another site's page (CSRF); the token, in `Authorization: Bearer` or a cookie, must be
known; a writing method needs a full token; the body has a limit.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.domain.token import Role, Token
from queuectl.typed import NamedTuple
from queuectl.web import problems
from queuectl.web.door import Door
from queuectl.web.public import PublicUrl, within
from queuectl.web.rendering import outside
from queuectl.web.stores import FOLDER, store_in

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/login", "/healthz", "/readyz"})
OPEN_FOLDER = "/static/"
"""Paths that need no token: the login, the health checks, and files that are public anyway."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
BODY_BYTES_MAX = 1 << 20
BODIES_BYTES_MAX: Mapping[str, int] = {"/api/v1/jobs": 16 << 20, "/login": 4096}
"""Paths with a limit of their own."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Visitor(NamedTuple):
    """The sender of a request. `by_cookie`: a browser, which may send the cookie from any page."""

    token: Token
    by_cookie: bool = False

    @property
    def who(self) -> str:
        """The name used in jobs and in the audit log."""
        return f"token:{self.token.name}"

    @property
    def may_write(self) -> bool:
        return self.token.role is Role.FULL


class Hosts:
    """The host names that this server accepts."""

    def __init__(self, bound: str, allowed: Iterable[str] = ()) -> None:
        """`bound` is the address it listens on. Beyond loopback it accepts any IP address: DNS cannot rebind one."""
        self._names = {*LOOPBACK_NAMES, bound.strip("[]").lower(), *(name.lower() for name in allowed)}
        self._any_address = bound.strip("[]") not in LOOPBACK_NAMES

    def accept(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        name = host_name(host)
        return name in self._names or (self._any_address and is_address(name))


def host_name(host: str) -> str:
    """The name in a `Host` header, without its port."""
    if host.startswith("["):
        name, closed, _ = host[1:].partition("]")
        return name.lower() if closed else ""
    return host.partition(":")[0].lower()


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """The outermost layer of the application: lets a request in or refuses it."""

    def __init__(
        self, app: ASGIApp, door: Door, hosts: Hosts, public: PublicUrl | None = None, stores: Collection[str] = ()
    ) -> None:
        """`stores` are the names of those besides the first."""
        self._app = app
        self._door = door
        self._hosts = hosts
        self._public = public
        self._base = public.path if public else ""
        self._stores = stores

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a websocket: not used here
            await send({"type": "websocket.close", "code": 1008})
            return
        store, scope["path"] = store_in(within(scope["path"], self._base), self._stores)
        root = f"{self._base}{FOLDER}{store}" if store else self._base
        scope.setdefault("state", {}).update(
            base=self._base, root=root, store_name=store, is_secure=self._is_secure(scope)
        )
        guarded = _with_headers(send, scope)
        try:
            await self._let_in(scope)
            body = Body(scope, receive)
            await self._app(scope, body, guarded)
        except problems.Unauthenticated as error:
            await _way_in(scope, error)(scope, receive, guarded)
        except QueuectlError as error:
            await _refusal(scope, error)(scope, receive, guarded)

    async def _let_in(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._hosts.accept(host) or len(headers.getlist("host")) != 1:
            raise problems.Forbidden(
                f"host {host[:100]!r} is not a name of this server", "allow it with: serve --allow-host NAME"
            )
        self._refuse_other_sites(scope, headers, host)
        path: str = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return
        visitor = await self._visitor(scope, headers)
        if scope["method"] not in SAFE_METHODS:
            if visitor.by_cookie and "origin" not in headers and headers.get("sec-fetch-site") != "same-origin":
                raise problems.Forbidden("the request does not name its page", "send Origin, or a Bearer token")
            if not visitor.may_write:
                raise problems.Forbidden(f"token {visitor.token.name} is read-only", "use one with the role full")
        scope["state"]["visitor"] = visitor

    async def _visitor(self, scope: Scope, headers: Headers) -> Visitor:
        address = scope["client"][0] if scope.get("client") else ""
        if (given := headers.get("authorization")) is not None:
            scheme, _, text = given.partition(" ")
            if scheme.lower() != "bearer":
                raise problems.Unauthenticated("only Bearer tokens are accepted", "send: Authorization: Bearer TOKEN")
            return Visitor(await self._door.token(text.strip(), address))
        if (kept := cookie_of(headers, cookie_name(scope))) is not None:
            return Visitor(await self._door.session(kept), by_cookie=True)
        raise problems.Unauthenticated("a token is needed", "send: Authorization: Bearer TOKEN")

    def _refuse_other_sites(self, scope: Scope, headers: Headers, host: str) -> None:
        """Refuses requests from other sites' pages. A link that only opens a page is allowed."""
        origin = headers.get("origin")
        ours = {f"{scope['scheme']}://{host}".lower(), self._public.origin if self._public else ""}
        if origin is not None and origin.lower() not in ours:
            raise problems.Forbidden(f"a page of {origin[:100]!r} may not call this server")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            looks = headers.get("sec-fetch-mode") == "navigate" and scope["method"] in SAFE_METHODS
            if not looks or headers.get("sec-fetch-dest") not in ("document", None):
                raise problems.Forbidden("a page of another site may not call this server")

    def _is_secure(self, scope: Scope) -> bool:
        """Whether the browser uses HTTPS, be it only as far as the proxy."""
        return self._public.is_secure if self._public else bool(scope["scheme"] == "https")


def _way_in(scope: Scope, error: problems.Unauthenticated) -> Response:
    """Redirects a browser that opens a page to the login; a program gets the error."""
    if _opens_page(scope):
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        return RedirectResponse(
            f"/login?next={quote(scope['path'] + query, safe='')}", 303, {"Cache-Control": "no-store"}
        )
    return problems.response(error)


def _refusal(scope: Scope, error: QueuectlError) -> Response:
    """The error, as a page for a browser that opens one."""
    return outside(Request(scope), error) if _opens_page(scope) else problems.response(error)


def _opens_page(scope: Scope) -> bool:
    wants_page = "text/html" in Headers(scope=scope).get("accept", "")
    return wants_page and scope["method"] == "GET" and not scope["path"].startswith("/api/")


def cookie_name(scope: Scope) -> str:
    """The cookie's name, with the port in it: browsers share cookies between the ports of a host."""
    server = scope.get("server")
    return f"queuectl-{server[1] if server and server[1] else 0}"


def cookie_of(headers: Headers, name: str) -> str | None:
    """The value of a cookie, or None."""
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    found = cookies.get(name)
    return found.value if found is not None and found.value else None


def _with_headers(send: Send, scope: Scope) -> Send:
    """Adds the security headers to every answer."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            root = scope["state"]["root"]
            if root and headers.get("location", "").startswith("/"):
                headers["Location"] = root + headers["Location"]
            if scope["scheme"] == "https":
                headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        await send(message)

    return guarded


class Body:
    """A request's body, refused as soon as it is too long."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._left = BODIES_BYTES_MAX.get(scope["path"], BODY_BYTES_MAX)
        self._error = problems.TooLarge(f"the body is longer than {self._left:,} bytes", "send it in several requests")
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isascii() or not declared.isdigit():
            raise Invalid(f"Content-Length {declared[:20]!r} is not a number")
        if int(declared) > self._left:
            raise self._error

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise self._error
        return message
