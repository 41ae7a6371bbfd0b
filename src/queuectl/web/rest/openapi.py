"""The OpenAPI 3.1 document, made from the table of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import queuectl
from queuectl.web.problems import MEDIA_TYPE
from queuectl.web.rest.operation import Operation
from queuectl.web.rest.schemas import COMPONENTS
from queuectl.wire.schema import ref

ALWAYS = (400, 401, 403, 429, 503)
"""Failures of every operation: bad input, no token, not allowed, too many attempts, the store or server is busy."""
WITH_BODY = (413, 415)

DESCRIPTION = """\
Everything `queuectl` does, over HTTP. Send a token as `Authorization: Bearer TOKEN` (`queuectl token create`); a
read-only token may only GET. A full token may run commands as the user of the workers. Errors are
`application/problem+json` with a stable `code` and a `hint`.
"""


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document of these operations."""
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "queuectl", "version": queuectl.__version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": COMPONENTS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.name, "tags": [operation.tag], "summary": operation.summary,
        "parameters": [*map(_path_parameter, re.findall(r"\{(\w+)\}", operation.path)), *_query(operation)],
        "responses": _responses(operation),
    }  # fmt: skip
    if operation.body:
        content = {media_type: {"schema": schema} for media_type, schema in operation.body.items()}
        made["requestBody"] = {"required": operation.body_required, "content": content}
    if operation.open:
        made["security"] = []
    return made


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query(operation: Operation) -> list[dict[str, Any]]:
    made = []
    for parameter in operation.query:
        schema = {"type": "array", "items": parameter.schema} if parameter.many else parameter.schema
        described = {"name": parameter.name, "in": "query", "description": parameter.description, "schema": schema}
        made.append(described)
    return made


def _responses(operation: Operation) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for answer in operation.answers:
        described: dict[str, Any] = {"description": answer.description}
        if answer.schema is not None:
            described["content"] = {answer.media_type: {"schema": answer.schema}}
        if answer.headers:
            described["headers"] = {
                name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
            }
        made[str(answer.status)] = described
    for status in sorted({*ALWAYS, *operation.fails, *(WITH_BODY if operation.body else ())}):
        content = {MEDIA_TYPE: {"schema": ref("Problem")}}
        made[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    return made
