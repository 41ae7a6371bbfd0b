"""Finds lines in the whole output of a job, of which its page may show a part."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid
from queuectl.typed import Any
from queuectl.web.ask import ask

STREAMS = {"stdout": 1, "stderr": 2}
HITS_MAX = 1000
"""More lines are counted, but not told."""
AROUND_BYTES = 1 << 16
"""Who wants to see a line gets about so much before it as well."""
TEXT_MAX = 1000


def search(data: bytes, text: str) -> dict[str, Any]:
    """The numbers of the lines with a text, in capitals or not."""
    hits: list[int] = []
    total, line, at, end = 0, 1, 0, -1
    for hit in re.finditer(re.escape(text.encode("utf-8", "replace")), data, re.IGNORECASE):
        if hit.start() < end:
            continue  # the same line again
        line += data.count(b"\n", at, hit.start())
        at = hit.start()
        end = data.find(b"\n", at) + 1 or len(data)
        total += 1
        if len(hits) < HITS_MAX:
            hits.append(line)
    return {"hits": hits, "total": total}


def place(data: bytes, line: int) -> dict[str, int]:
    """Where to begin to read for a line to be among what is read, and how many lines there are before that."""
    at = 0
    for _ in range(line - 1):
        following = data.find(b"\n", at) + 1
        if not 0 < following < len(data):
            break
        at = following
    start = data.rfind(b"\n", 0, max(0, at - AROUND_BYTES)) + 1
    return {"from": start, "before": data.count(b"\n", 0, start)}


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Invalid(f"{name} {text[:20]!r} is not a number")
    return int(text)


async def lines(request: Request) -> Response:
    """The lines with `text`; or the place of `line`; or how many lines there are before the byte `before`."""
    given, ref = request.query_params, request.path_params["id"]
    attempt, line, before = (_number(request, name) for name in ("attempt", "line", "before"))
    stream, text = STREAMS.get(given.get("stream", "")), given.get("text", "")[:TEXT_MAX]

    def look(client: Client) -> dict[str, Any]:
        data = b"".join(data for _, data in client.pieces(client.job(ref), attempt, stream, None))
        if line is not None:
            return place(data, line)
        if before is not None:
            return {"before": data.count(b"\n", 0, before)}
        return search(data, text) if text else {"hits": [], "total": 0}

    return JSONResponse(await ask(request, look))


routes = [Route("/jobs/{id}/lines", lines)]
