"""Several stores in one server: `serve --also NAME=URL` adds one below `/stores/NAME`, with pages, API and streams.

Tokens and sessions are those of the first store, for all of them. Everything else is a store's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from queuectl.domain.errors import Invalid
from queuectl.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = "/stores/"
FIRST = "main"
"""What pages call the store that `--db` names."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


class Place(NamedTuple):
    """A store as pages name it."""

    name: str
    href: str
    is_here: bool


def parse_also(texts: Iterable[str]) -> dict[str, str]:
    """The stores that are given as NAME=URL. Raises `Invalid`."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, url = text.partition("=")
        if not sign or not url or not re.fullmatch(NAME, name):
            raise Invalid(f"--also {text!r} is not NAME=URL", "such as --also staging=/srv/staging.db")
        if name in found or name == FIRST:
            raise Invalid(f"--also {name}: the name is taken", "choose another name")
        found[name] = url
    return found


def store_in(path: str, names: Iterable[str]) -> tuple[str, str]:
    """The store that a path names, empty for the first one, and the path as that store's routes know it."""
    if path.startswith(FOLDER):
        name, slash, rest = path.removeprefix(FOLDER).partition("/")
        if name in names:
            return name, slash + rest or "/"
    return "", path


def places(names: Sequence[str], base: str, here: str) -> list[Place]:
    """The stores of a server below the path `base`, for its pages; none if there is one only. `here` is the page's."""
    hrefs = {name: f"{base}/" if name == FIRST else f"{base}{FOLDER}{name}/" for name in names}
    return [Place(name, href, name == (here or FIRST)) for name, href in hrefs.items()] if len(names) > 1 else []


class Stores:
    """Passes a request on to the application of the store that the guard has found in its path."""

    def __init__(self, app: ASGIApp, others: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        store = scope["state"]["store_name"] if scope["type"] == "http" else ""
        await (self._others[store] if store else self._app)(scope, receive, send)
