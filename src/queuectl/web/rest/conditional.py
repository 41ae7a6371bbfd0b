"""Answers that a client has already: `ETag` and `If-None-Match`.

The tag is a digest of the answer, so it costs the server the reading, and the client nothing if nothing has changed.
"""

from __future__ import annotations

from hashlib import blake2b

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client.operation import JSON

TAG_BYTES = 12
ASK_AGAIN = "private, no-cache"
"""A client may keep an answer, but has to ask whether it is still right."""


def conditional(request: Request, answer: Response) -> Response:
    """A JSON answer with its tag; without its content if the client has the same."""
    if answer.status_code != 200 or answer.media_type != JSON:
        return answer
    tag = f'W/"{blake2b(answer.body, digest_size=TAG_BYTES).hexdigest()}"'
    about = {"ETag": tag, "Cache-Control": ASK_AGAIN, "Vary": "Authorization, Cookie"}
    if _is_among(tag, request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=about)
    answer.headers.update(about)
    return answer


def _is_among(tag: str, known: str) -> bool:
    """Whether one of the known tags is the same; whether they are called weak does not matter here."""
    words = [word.strip().removeprefix("W/") for word in known.split(",")]
    return "*" in words or tag.removeprefix("W/") in words
