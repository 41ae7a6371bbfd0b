"""What an operation of the API is, and what its handler is made of: parameters, bodies, answers.

A handler translates words and lets one `Client` call do the work. Jobs, durations and selections are checked where the
command line's are: in `wire` and `selections`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid
from queuectl.domain.job import Job
from queuectl.domain.likeness import nearest
from queuectl.web.guard import Visitor
from queuectl.web.problems import Unreadable
from queuectl.wire.jobs import job_to_json
from queuectl.wire.kinds import JsonObject, searched
from queuectl.wire.reading import parse_json

JSON = "application/json"
Schema = Mapping[str, Any]
Query = Mapping[str, Sequence[str]]
"""The values of each query parameter that was given."""
Handler = Callable[[Request, Query], Awaitable[Response]]

MASKED = "***"
"""What who may only read sees of the values of environment variables."""


class Parameter(NamedTuple):
    """A query parameter. `many`: it may be repeated."""

    name: str
    schema: Schema
    description: str
    many: bool = False


class Answer(NamedTuple):
    """How an operation answers where all went well."""

    schema: Schema | None
    description: str
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = {}


class Operation(NamedTuple):
    """One row of the table. `name` is its id in the OpenAPI document, `body` the schema by media type."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    handler: Handler
    answers: Sequence[Answer]
    query: Sequence[Parameter] = ()
    body: Mapping[str, Schema] = {}
    fails: Sequence[int] = ()
    """Statuses of failures beside those that every operation has."""
    full_only: bool = False
    """Whether a read-only token may not even look."""
    body_required: bool = False
    open: bool = False
    """Whether it needs no token."""


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    return Response(msgspec.json.encode(document), status, headers, JSON)


def visitor_of(request: Request) -> Visitor:
    """Who asks."""
    visitor: Visitor = request.state.visitor
    return visitor


def shown(request: Request, document: JsonObject) -> JsonObject:
    """A job's document as this visitor may see it."""
    if not visitor_of(request).may_write:
        document["env"] = dict.fromkeys(document["env"], MASKED)
    return document


def shown_jobs(request: Request, client: Client, jobs: Sequence[Job]) -> list[JsonObject]:
    """Jobs as JSON, with their reasons."""
    reasons = client.reasons(jobs)
    return [shown(request, job_to_json(job, reason)) for job, reason in zip(jobs, reasons, strict=True)]


# --- parameters -----------------------------------------------------------------------------


def query_of(request: Request, parameters: Sequence[Parameter]) -> Query:
    """The query's values by name. Raises `Invalid` for a name that is not known, or one given twice."""
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Invalid(f"unknown parameter {name!r}", nearest(name, list(known)) if known else "there is none")
        values.setdefault(name, []).append(value)
    for name, given in values.items():
        if len(given) > 1 and not known[name].many:
            raise Invalid(f"{name} is given {len(given)} times", "give it once")
    return values


def one(query: Query, name: str) -> str | None:
    """The value of a parameter that comes at most once."""
    return query[name][0] if name in query else None


def whole_number(query: Query, name: str, least: int, most: int) -> int | None:
    """A whole number within bounds, or none where it is not given."""
    text = one(query, name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
        raise Invalid(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def flag(query: Query, name: str) -> bool:
    """`true` or `false`; false where it is not given."""
    text = one(query, name)
    if text not in (None, "true", "false"):
        raise Invalid(f"{name} must be true or false, not {text!r}")
    return text == "true"


# --- bodies ---------------------------------------------------------------------------------


def media_type_of(request: Request) -> str:
    """The kind of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_body(request: Request) -> Any:
    """The body as JSON. Raises `Unreadable`, `Invalid`."""
    _refuse_other_kinds(request)
    try:
        return msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None


def _refuse_other_kinds(request: Request) -> None:
    if media_type_of(request) != JSON:
        raise Unreadable(f"the body must be {JSON}", f"send the header Content-Type: {JSON}")


def strictly_decoded(request: Request, body: bytes) -> Any:
    """The same as a command line reads it, where a key that comes twice is an error. Raises `Unreadable`, `Invalid`."""
    _refuse_other_kinds(request)
    try:
        return parse_json(body.decode("utf-8-sig"), "the body")
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8 text") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None


async def object_body(request: Request, *known: str) -> dict[str, Any]:
    """The body as an object with no other keys than these; empty where there is no body. Raises `Invalid`."""
    if not media_type_of(request) and not await request.body():
        return {}
    document = await json_body(request)
    if not isinstance(document, dict):
        raise Invalid("the body must be a JSON object")
    for key in document:
        if key not in known:
            raise Invalid(f"unknown key {key!r}", nearest(key, known))
    return document


def flag_in(document: Mapping[str, Any], key: str) -> bool:
    """A key's true or false; false where it is missing."""
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false")
    return value


def number_in(document: Mapping[str, Any], key: str, most: int) -> int | None:
    """A key's whole number from 1; none where it is missing or null."""
    value = document.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
        raise Invalid(f"{key} must be a whole number from 1 to {most:,}")
    return value


def text_in(document: Mapping[str, Any], key: str) -> str:
    """A key's text. Raises `Invalid` where it is missing or no text."""
    value = document.get(key)
    if not isinstance(value, str):
        raise Invalid(f"{key} must be text" if key in document else f"{key} is missing")
    searched(value, key)
    return value


def texts_in(document: Mapping[str, Any], key: str) -> list[str]:
    """A key's list of texts; empty where it is missing."""
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Invalid(f"{key} must be a list of texts")
    for each in value:
        searched(each, key)
    return value
