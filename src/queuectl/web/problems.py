"""Errors over HTTP as `application/problem+json` (RFC 9457), and the errors that only HTTP has."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.responses import Response

from queuectl.domain.errors import Invalid, QueuectlError, StoreBusy
from queuectl.wire.kinds import JsonObject
from queuectl.wire.times import format_duration

RENAMED = {413: "Request Entity Too Large", 416: "Requested Range Not Satisfiable"}
"""Statuses that have other names from Python 3.13 on. An answer does not depend on the Python of the server."""
MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1


class Unauthenticated(QueuectlError):
    """The token is missing or unknown."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(QueuectlError):
    """The token's role or the request's origin does not allow it."""

    code = "forbidden"
    http_status = 403


class NoSuchPage(QueuectlError):
    """Nothing is at this path."""

    code = "not_found"
    http_status = 404


class MethodNotAllowed(QueuectlError):
    """The path exists but does not take this method."""

    code = "method_not_allowed"
    http_status = 405

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message, f"allowed here: {allowed}")
        self.allowed = allowed


class TooLarge(QueuectlError):
    """The body is longer than the limit."""

    code = "too_large"
    http_status = 413


class OutOfRange(QueuectlError):
    """The requested range is outside the content."""

    code = "out_of_range"
    http_status = 416

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message, "ask for a part within it")
        self.size = size


class Unreadable(Invalid):
    """The body's media type is not supported."""

    code = "unsupported_media_type"
    http_status = 415


class TooMany(QueuectlError):
    """Too many requests; try again after `after_s` seconds."""

    code = "too_many_requests"
    http_status = 429

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message, f"try again in {format_duration(after_s)}")
        self.after_s = after_s


class Bug(QueuectlError):
    """An unexpected exception in the server."""

    code = "internal_error"
    http_status = 500


class Overloaded(QueuectlError):
    """The server takes no more work at the moment."""

    code = "overloaded"
    http_status = 503


def title(status: int) -> str:
    """The name of a status of HTTP."""
    return RENAMED.get(status) or HTTPStatus(status).phrase


def document(error: QueuectlError) -> JsonObject:
    """The error as a problem document."""
    return {
        "type": "about:blank", "title": title(error.http_status), "status": error.http_status,
        "detail": error.message, "code": error.code, "hint": error.hint,
    }  # fmt: skip


def response(error: QueuectlError) -> Response:
    """The answer to a request that failed with this error."""
    answer = Response(
        msgspec.json.encode(document(error)), error.http_status, {"Cache-Control": "no-store"}, MEDIA_TYPE
    )
    match error:
        case Unauthenticated():
            answer.headers["WWW-Authenticate"] = 'Bearer realm="queuectl"'
        case MethodNotAllowed():
            answer.headers["Allow"] = error.allowed
        case TooMany():
            answer.headers["Retry-After"] = str(max(1, round(error.after_s)))
        case OutOfRange():
            answer.headers["Content-Range"] = f"bytes */{error.size}"
        case StoreBusy() | Overloaded():
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        case _:
            pass
    return answer
