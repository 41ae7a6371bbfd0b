"""Errors over HTTP: the error tree as `application/problem+json` (RFC 9457), and the failures only HTTP knows."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.responses import Response

from queuectl.domain.errors import Invalid, QueuectlError, StoreBusy
from queuectl.wire.kinds import JsonObject
from queuectl.wire.times import format_duration

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1


class Unauthenticated(QueuectlError):
    """No token, or none that is known."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(QueuectlError):
    """The token, or where the request comes from, does not allow it."""

    code = "forbidden"
    http_status = 403


class NoSuchPage(QueuectlError):
    """Nothing is at this path."""

    code = "not_found"
    http_status = 404


class MethodNotAllowed(QueuectlError):
    """The path is right, the method is not."""

    code = "method_not_allowed"
    http_status = 405

    def __init__(self, message: str, allowed: str) -> None:
        super().__init__(message, f"allowed here: {allowed}")
        self.allowed = allowed


class TooLarge(QueuectlError):
    """The body is longer than it may be."""

    code = "too_large"
    http_status = 413


class OutOfRange(QueuectlError):
    """The part asked for is not there."""

    code = "out_of_range"
    http_status = 416

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message, "ask for a part within it")
        self.size = size


class Unreadable(Invalid):
    """The body is of a kind that is not read here."""

    code = "unsupported_media_type"
    http_status = 415


class TooMany(QueuectlError):
    """More than is served at a time. Trying again after `after_s` seconds is right."""

    code = "too_many_requests"
    http_status = 429

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message, f"try again in {format_duration(after_s)}")
        self.after_s = after_s


class Bug(QueuectlError):
    """A mistake of ours."""

    code = "internal_error"
    http_status = 500


class Overloaded(QueuectlError):
    """The server has as much to do as it takes on."""

    code = "overloaded"
    http_status = 503


def document(error: QueuectlError) -> JsonObject:
    """The error as a problem."""
    return {
        "type": "about:blank", "title": HTTPStatus(error.http_status).phrase, "status": error.http_status,
        "detail": error.message, "code": error.code, "hint": error.hint,
    }  # fmt: skip


def response(error: QueuectlError) -> Response:
    """The answer to a request that has failed so."""
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
