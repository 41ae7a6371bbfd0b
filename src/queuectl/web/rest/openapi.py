"""The OpenAPI 3.1 document, made from the table of operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import queuectl
from queuectl.client.operation import JSON, REQUIRED, Argument, Operation
from queuectl.client.operations import EVENT_STREAM
from queuectl.client.schemas import COMPONENTS, EXIT_CODE, PAST
from queuectl.typed import Any
from queuectl.web.problems import MEDIA_TYPE, title
from queuectl.web.rest.operation import is_selection, names_of
from queuectl.wire.schema import DURATION, FLAG, OUTCOME, STATE, STORABLE, Schema, listed, optional, ref

ALWAYS = (400, 401, 403, 429, 503)
"""Failures of every operation: bad input, no token, not allowed, too many attempts, the store or server is busy."""
WITH_BODY = (413, 415)

DESCRIPTION = """\
Everything `queuectl` does, over HTTP. Send a token as `Authorization: Bearer TOKEN` (`queuectl token create`); a
read-only token may only GET. A full token may run commands as the user of the workers. Errors are
`application/problem+json` with a stable `code` and a `hint`.
"""


SELECT: Sequence[tuple[str, Schema, str]] = (
    ("state", listed(STATE), "jobs in this state"),
    ("queue", listed(STORABLE), "jobs of this queue"),
    ("tag", listed(STORABLE), "jobs with this tag"),
    ("batch", listed(STORABLE), "jobs of this batch"),
    ("schedule", listed(STORABLE), "jobs of this schedule"),
    ("owner", listed(STORABLE), "jobs enqueued by this user"),
    ("exit_code", listed(EXIT_CODE), "jobs whose latest exit code is this"),
    ("command", listed(STORABLE), "jobs whose command matches this GLOB, e.g. `ffmpeg *`"),
    ("error", listed(STORABLE), "jobs whose error contains this"),
    ("fault", listed(STORABLE), "failed jobs of this group, as `GET /api/v1/dlq/groups` names it"),
    ("text", listed(STORABLE), "jobs with this in id, queue, tags, command, error or last line, in capitals or not"),
    ("outcome", listed(OUTCOME), "jobs with an execution that ended so"),
    ("ended_after", PAST, "jobs with an execution that ended at or after this time"),
    ("ended_before", PAST, "jobs with an execution that ended before this time"),
    ("older_than", DURATION, "jobs unchanged for this long"),
    ("hooks", FLAG, "hooks of jobs and schedules, which are hidden otherwise"),
)
"""The parameters that select jobs."""


def document(operations: Iterable[Operation[Any]], root: str = "") -> dict[str, Any]:
    """The document of these operations, on a server below the path `root`."""
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "queuectl", "version": queuectl.__version__, "description": DESCRIPTION},
        "servers": [{"url": root or "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": COMPONENTS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(operation: Operation[Any]) -> dict[str, Any]:
    text = {"type": "string", "minLength": 1}
    in_path = [{"name": name, "in": "path", "required": True, "schema": text} for name in operation.in_path]
    made: dict[str, Any] = {
        "operationId": operation.name, "tags": [operation.tag], "summary": operation.summary,
        "parameters": [*in_path, *_query(operation), *_headers(operation)],
        "responses": _responses(operation),
    }  # fmt: skip
    if body := _body(operation):
        made["requestBody"] = body
    if operation.open:
        made["security"] = []
    return made


HEADERS = {
    "Idempotency-Key": "a random text: the same request with the same key adds its jobs once",
    "If-None-Match": "the `ETag` of an answer that you have: 304 if it is still right",
    "Last-Event-ID": "the id of the last event that you have had: the stream goes on after it",
}
"""Headers with a meaning of their own."""


def is_conditional(operation: Operation[Any]) -> bool:
    """Whether its answer has an `ETag`."""
    return operation.reads and any(each.schema is not None and each.media_type == JSON for each in operation.answers)


def _headers(operation: Operation[Any]) -> list[dict[str, Any]]:
    known = {
        "Idempotency-Key": operation.name in ("enqueue", "clone_job"),
        "If-None-Match": is_conditional(operation),
        "Last-Event-ID": any(each.media_type == EVENT_STREAM for each in operation.answers),
    }
    return [
        {"name": name, "in": "header", "description": HEADERS[name], "schema": {"type": "string"}}
        for name, is_known in known.items() if is_known
    ]  # fmt: skip


def _query(operation: Operation[Any]) -> list[dict[str, Any]]:
    made = []
    for argument in operation.in_query:
        for name, schema, description in SELECT if is_selection(argument) else [_parameter(argument)]:
            if name in names_of(argument):
                made.append({"name": name, "in": "query", "description": description, "schema": schema})
    return made


def _parameter(argument: Argument) -> tuple[str, Schema, str]:
    schema = argument.kind.schema
    return argument.name, listed(schema) if argument.many else schema, argument.told or argument.help


def _body(operation: Operation[Any]) -> dict[str, Any] | None:
    """A body of its own, or an object of the arguments that stand nowhere else."""
    schemas, required = operation.body, operation.body_required
    if operation.in_body and not schemas:
        schema = optional(**{each.name: each.schema for each in operation.in_body})
        if must := [each.name for each in operation.in_body if each.default is REQUIRED]:
            schema["required"] = must
        schemas, required = {JSON: schema}, bool(must)
    content = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    return {"required": required, "content": content} if content else None


def _responses(operation: Operation[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for answer in operation.answers:
        described: dict[str, Any] = {"description": answer.description}
        if answer.schema is not None:
            described["content"] = {answer.media_type: {"schema": answer.schema}}
        made[str(answer.status)] = described
    if is_conditional(operation):
        made["200"]["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "changes with the answer"}}
        made["304"] = {"description": "the answer has still the `ETag` in If-None-Match"}
    for status in sorted({*ALWAYS, *operation.fails, *(WITH_BODY if _body(operation) else ())}):
        content = {MEDIA_TYPE: {"schema": ref("Problem")}}
        made[str(status)] = {"description": title(status), "content": content}
    return made
