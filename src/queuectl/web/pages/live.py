"""Outputs of several jobs in one stream, for all pages of a browser, which opens six connections to a server at most.

`output` in the query names a job, and after `@` the place to go on from: the id of that output's last event. It may
be repeated; `of` in each event says which of them it is about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.domain.errors import Invalid
from queuectl.web.rest.streaming import Wanted, followed
from queuectl.web.streams import EventStream, Source
from queuectl.wire.kinds import whole_number

OUTPUTS_MAX = 64
TAIL_MAX = 1_000_000


class _Together:
    """Several sources as one, which ends with the last of them."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = list(sources)
        self._next = {source: asyncio.ensure_future(source.next()) for source in sources}

    async def next(self) -> bytes | None:
        while self._next:
            done, _ = await asyncio.wait(self._next.values(), return_when=asyncio.FIRST_COMPLETED)
            told = []
            for source in [source for source, waiting in self._next.items() if waiting in done]:
                data = self._next.pop(source).result()
                if data is not None:
                    told.append(data)
                    self._next[source] = asyncio.ensure_future(source.next())
            if told:
                return b"".join(told)
        return None

    def hang_up(self) -> None:
        for source in self._sources:
            source.hang_up()

    def close(self) -> None:
        for waiting in self._next.values():
            waiting.cancel()
        for source in self._sources:
            source.close()


async def outputs(request: Request) -> Response:
    """The stream."""
    query = request.query_params
    tail = whole_number(0, TAIL_MAX)(query.get("tail", TAIL_MAX), "tail")
    named = [each.partition("@") for each in query.getlist("output")]
    if not 0 < len(named) <= OUTPUTS_MAX:
        raise Invalid(f"give 1 to {OUTPUTS_MAX} outputs", "/live/outputs?output=JOB&output=JOB@PLACE")
    wanted = [Wanted(job, place, tail=tail, name=number) for number, (job, _, place) in enumerate(named)]
    return EventStream(_Together(followed(request, *wanted)))


routes = [Route("/live/outputs", outputs)]
