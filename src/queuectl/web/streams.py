"""Server-sent events: sends what a source yields until it or its reader ends, and a comment where it is silent.

A stream also ends when the token of its reader is revoked.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from queuectl.domain.errors import StoreUnavailable
from queuectl.typed import Any, Protocol
from queuectl.web.door import Door
from queuectl.web.problems import Overloaded

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"
PING, PING_EVERY_S = b": \n\n", 15.0
"""Sent during silence: proxies end a connection on which nothing comes, nginx after 60 seconds."""
LINE_BREAKS = "\x85\u2028\u2029"
"""JSON has these as they are, and some clients (httpx-sse before 0.4.2) take them for the end of a line: so they are
escaped. JSON escapes all others."""
CHECK_EVERY_S = 3.0
"""How often the reader's token is looked up."""


def message(event: str, document: object, place: str = "") -> bytes:
    """An event in the format of server-sent events. `place` is its id: where a reader goes on after it."""
    named, data = b"id: %b\n" % place.encode() if place else b"", msgspec.json.encode(document)
    for character in LINE_BREAKS:
        data = data.replace(character.encode(), b"\\u%04x" % ord(character))
    return b"event: %b\n%bdata: %b\n\n" % (event.encode(), named, data)


class Source(Protocol):
    """The source of a stream."""

    async def next(self) -> bytes | None:
        """The next data to send; None at the end."""

    def hang_up(self) -> None:
        """The reader has left: makes `next` end."""

    def close(self) -> None:
        """Called once the stream has ended."""


class EventStream(Response):
    """An answer that lasts until its source ends or the reader leaves."""

    media_type = MEDIA_TYPE

    def __init__(self, source: Source) -> None:
        self._source = source
        self._waiting: asyncio.Future[bytes | None] | None = None
        self.background = None
        self.status_code = 200
        self.init_headers(HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(self._until_gone(receive))
        door: Door = scope["app"].state.door
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                self._source.hang_up()
            spoke_at = checked_at = time.monotonic()
            while True:
                done, data = await self._next(checked_at + CHECK_EVERY_S)
                now = time.monotonic()
                if now - checked_at >= CHECK_EVERY_S:
                    checked_at = now
                    await self._check(door, scope["state"]["visitor"])
                if not done and now - spoke_at >= PING_EVERY_S:
                    data = PING
                if done and data is None:
                    break
                if data:
                    spoke_at = now
                    await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            if self._waiting is not None:
                self._waiting.cancel()
            self._source.close()

    async def _next(self, check_at: float) -> tuple[bool, bytes | None]:
        """Whether the source has yielded before the next check, and what."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._source.next())
        done, _ = await asyncio.wait([self._waiting], timeout=max(0.0, check_at - time.monotonic()))
        if not done:
            return False, None
        waiting, self._waiting = self._waiting, None
        return True, await waiting

    async def _check(self, door: Door, visitor: Any) -> None:
        """Ends the source if the reader's token was revoked."""
        try:
            if not await door.knows(visitor.token):
                self._source.hang_up()
        except (StoreUnavailable, Overloaded):
            pass  # nobody can be told apart now; the next check will

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._source.hang_up()
