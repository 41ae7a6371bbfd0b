"""Server-sent events: sends what a source yields until it or its reader ends."""

from __future__ import annotations

import asyncio
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"


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
        self.background = None
        self.status_code = 200
        self.init_headers(HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(self._until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                self._source.hang_up()
            while (data := await self._source.next()) is not None:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._source.close()

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._source.hang_up()
