"""Server-sent events: sends what a source yields until it or its reader ends, and a comment where it is silent."""

from __future__ import annotations

import asyncio
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"
PING, PING_EVERY_S = b": \n\n", 15.0
"""Sent during silence: proxies end a connection on which nothing comes, nginx after 60 seconds."""


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
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                self._source.hang_up()
            while (data := await self._next()) is not None:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            if self._waiting is not None:
                self._waiting.cancel()
            self._source.close()

    async def _next(self) -> bytes | None:
        """The source's next data, or a comment if there is none for a while."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._source.next())
        done, _ = await asyncio.wait([self._waiting], timeout=PING_EVERY_S)
        if not done:
            return PING
        waiting, self._waiting = self._waiting, None
        return await waiting

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._source.hang_up()
