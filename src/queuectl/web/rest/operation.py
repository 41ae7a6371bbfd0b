"""An operation of the API, and what handlers use: parameters, bodies, answers.

A handler translates its input and makes one call of `Client`. Jobs, durations and selections are checked in `wire`, as
for the command line.
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
"""The given values of each query parameter."""
Handler = Callable[[Request, Query], Awaitable[Response]]

MASKED = "***"
"""Shown to read-only tokens instead of the values of environment variables."""


class Parameter(NamedTuple):
    """A query parameter. `many`: may be repeated."""

    name: str
    schema: Schema
    description: str
    many: bool = False


class Answer(NamedTuple):
    """A successful answer of an operation."""

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
    """Statuses of failures in addition to those of every operation."""
    full_only: bool = False
    """Whether even reading needs a full token."""
    body_required: bool = False
    open: bool = False
    """Whether it needs no token."""


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    return Response(msgspec.json.encode(document), status, headers, JSON)


def visitor_of(request: Request) -> Visitor:
    """The sender of the request."""
    visitor: Visitor = request.state.visitor
    return visitor


def shown(request: Request, document: JsonObject) -> JsonObject:
    """A job's document as this visitor may see it: only a full token sees values of variables."""
    if not visitor_of(request).may_write:
        document["env"] = dict.fromkeys(document["env"], MASKED)
    return document


def shown_jobs(request: Request, client: Client, jobs: Sequence[Job]) -> list[JsonObject]:
    """Jobs as JSON, with their reasons."""
    reasons = client.reasons(jobs)
    return [shown(request, job_to_json(job, reason)) for job, reason in zip(jobs, reasons, strict=True)]


# --- parameters -----------------------------------------------------------------------------


def query_of(request: Request, parameters: Sequence[Parameter]) -> Query:
    """The query's values by name. Raises `Invalid` for an unknown name, or one given twice."""
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
    """The value of a parameter that may be given once, or None."""
    return query[name][0] if name in query else None


def whole_number(query: Query, name: str, least: int, most: int) -> int | None:
    """A whole number from `least` to `most`, or None if it is not given."""
    text = one(query, name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
        raise Invalid(f"{name} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def flag(query: Query, name: str) -> bool:
    """`true` or `false`; false if it is not given."""
    text = one(query, name)
    if text not in (None, "true", "false"):
        raise Invalid(f"{name} must be true or false, not {text!r}")
    return text == "true"


# --- bodies ---------------------------------------------------------------------------------


def media_type_of(request: Request) -> str:
    """The body's media type, without parameters."""
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
    """The body as JSON in which no key may come twice, as on the command line. Raises `Unreadable`, `Invalid`."""
    _refuse_other_kinds(request)
    try:
        return parse_json(body.decode("utf-8-sig"), "the body")
    except UnicodeDecodeError:
        raise Invalid("the body is not UTF-8 text") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None


async def object_body(request: Request, *known: str) -> dict[str, Any]:
    """The body as an object with only these keys; empty if there is no body. Raises `Invalid`."""
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
    """A key's true or false; false if it is missing."""
    value = document.get(key, False)
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false")
    return value


def number_in(document: Mapping[str, Any], key: str, most: int) -> int | None:
    """A key's whole number from 1 to `most`; None if it is missing or null."""
    value = document.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
        raise Invalid(f"{key} must be a whole number from 1 to {most:,}")
    return value


def text_in(document: Mapping[str, Any], key: str) -> str:
    """A key's text. Raises `Invalid` if it is missing or not a text."""
    value = document.get(key)
    if not isinstance(value, str):
        raise Invalid(f"{key} must be text" if key in document else f"{key} is missing")
    searched(value, key)
    return value


def texts_in(document: Mapping[str, Any], key: str) -> list[str]:
    """A key's list of texts; empty if it is missing."""
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Invalid(f"{key} must be a list of texts")
    for each in value:
        searched(each, key)
    return value
