"""Used by handlers of the API: arguments, bodies, answers.

A handler translates its input and makes one call of `Client`. Jobs, durations and selections are checked in `wire`, as
for the command line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from queuectl.client.facade import Client
from queuectl.client.operation import DEAD, JSON, SELECTION, Argument, Operation
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job
from queuectl.domain.likeness import nearest
from queuectl.typed import Any
from queuectl.web.guard import Visitor
from queuectl.web.problems import Unreadable
from queuectl.wire.documents import parse_json
from queuectl.wire.jobs import job_to_json
from queuectl.wire.kinds import JsonObject, check_text
from queuectl.wire.selections import KEYS, ONCE

Given = Mapping[str, Any]
"""The arguments of an operation by name. A selection is given as its words."""
Handler = Callable[[Request, Given], Awaitable[Response]]

MASKED = "***"
"""Shown to read-only tokens instead of the values of environment variables."""


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


# --- arguments ------------------------------------------------------------------------------


async def given_to(request: Request, operation: Operation[Any]) -> Given:
    """The operation's arguments by name, read and checked. Raises `NotFound`, `Invalid`.

    Those of an operation with its own body are only in its path and query.
    """
    given: dict[str, Any] = {name: request.path_params[name] for name in operation.in_path}
    for argument in operation.arguments:
        if argument.name in given:
            try:
                given[argument.name] = argument.read(given[argument.name])
            except Invalid as error:
                raise NotFound(error.message, error.hint) from None
    given |= _in_query(request, operation.in_query)
    if operation.in_body:
        document = await object_body(request, *(each.name for each in operation.in_body))
        given |= {each.name: each.read_from(document) for each in operation.in_body}
    elif not (operation.body or operation.reads):
        _refuse_body(await request.body(), operation)
    return given


def _refuse_body(body: bytes, operation: Operation[Any]) -> None:
    """Refuses what stands in the body of a request that takes none. Raises `Invalid`."""
    if body in (b"", b"{}", b"null"):
        return
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    named = [each.name for each in operation.in_query if isinstance(document, dict) and each.name in document]
    raise Invalid("this request takes no body", f"{named[0]} is a parameter of the query" if named else "send none")


def _in_query(request: Request, arguments: Sequence[Argument]) -> Given:
    """The arguments in the query. Raises `Invalid` for an unknown name, or one given twice."""
    known = {name: argument for argument in arguments for name in names_of(argument)}
    words: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Invalid(f"unknown parameter {name!r}", nearest(name, list(known)) if known else "there is none")
        words.setdefault(name, []).append(value)
    given: dict[str, Any] = {}
    for argument in arguments:
        selects = is_selection(argument)
        values = {name: words[name] for name in names_of(argument) if name in words}
        for name, several in values.items():
            if len(several) > 1 and not (argument.many or (selects and name not in ONCE)):
                raise Invalid(f"{name} is given {len(several)} times", "give it once")
        if selects:
            given[argument.name] = values
        else:
            given[argument.name] = argument.read_from(values if argument.many else _ones(values))
    return given


def _ones(values: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {name: several[0] for name, several in values.items()}


def is_selection(argument: Argument) -> bool:
    """Whether it is about jobs, by the words of `wire.selections`."""
    return argument.kind in (SELECTION, DEAD)


def names_of(argument: Argument) -> Sequence[str]:
    """The parameters of a query for the argument."""
    if not is_selection(argument):
        return (argument.name,)
    return KEYS if argument.kind is SELECTION else [key for key in KEYS if key != "state"]


def chosen(words: Sequence[str], known: Sequence[str]) -> list[str]:
    """The keys that are named, each once; a word may name several, with commas. Raises `Invalid`."""
    names = [name.strip() for word in words for name in word.split(",")]
    for name in names:
        if name not in known:
            raise Invalid(f"fields: unknown key {name[:100]!r}", nearest(name, known))
    return list(dict.fromkeys(names))


def only(document: JsonObject, names: Sequence[str]) -> JsonObject:
    """A document with these keys only; all if none is named."""
    return {name: document[name] for name in names} if names else document


# --- bodies ---------------------------------------------------------------------------------


def media_type_of(request: Request) -> str:
    """The body's media type, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_body(request: Request) -> Any:
    """The body as JSON in which no key comes twice. Raises `Unreadable`, `Invalid`."""
    _refuse_other_kinds(request)
    body = await request.body()
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None
    return strictly_decoded(request, body)


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


def text_in(document: Mapping[str, Any], key: str) -> str:
    """A key's text. Raises `Invalid` if it is missing or not a text."""
    value = document.get(key)
    if not isinstance(value, str):
        raise Invalid(f"{key} must be text" if key in document else f"{key} is missing")
    check_text(value, key)
    return value
