"""The REST API for people: every operation with its parameters, body and answers; those that read can be tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.operation import API, JSON, Operation
from queuectl.client.operations import OPERATIONS
from queuectl.typed import Any, NamedTuple
from queuectl.web.rendering import page
from queuectl.web.rest.openapi import document
from queuectl.wire.schema import Schema

KEYS_SHOWN_MAX = 12
"""Keys of an object that is described in its place."""


class Parameter(NamedTuple):
    """What an operation takes beside its body."""

    name: str
    where: str
    kind: str
    told: str
    required: bool


class Entry(NamedTuple):
    """An operation as the page shows it. `can_be_tried`: it reads, and answers with JSON."""

    name: str
    method: str
    path: str
    summary: str
    parameters: list[Parameter]
    bodies: list[tuple[str, str]]
    answers: list[tuple[str, str, str]]
    can_be_tried: bool
    needs: str

    @property
    def tried_with(self) -> list[Parameter]:
        """The parameters that a trial has fields for."""
        return [each for each in self.parameters if each.where != "header"]


class Component(NamedTuple):
    """A named schema with the kinds of its keys."""

    name: str
    told: str
    keys: list[tuple[str, str]]


def kind(schema: Schema) -> str:
    """A schema in words."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(map(kind, schema["anyOf"])))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    match schema.get("type"):
        case "array":
            return f"list of {kind(schema.get('items', {}))}"
        case "object":
            keys = list(schema.get("properties", ()))
            more = ", …" if len(keys) > KEYS_SHOWN_MAX else ""
            return f"{{{', '.join(keys[:KEYS_SHOWN_MAX])}{more}}}" if keys else "object"
        case "string":
            return str(schema.get("format", "text"))
        case None:
            return "any JSON"
        case other:
            return str(other)


@cache
def entries() -> Mapping[str, list[Entry]]:
    """The operations by their part of the document."""
    paths, parts = document(OPERATIONS.values())["paths"], dict[str, list[Entry]]()
    for operation in sorted(OPERATIONS.values(), key=lambda each: each.path):
        described = paths[operation.path][operation.method.lower()]
        parts.setdefault(operation.tag, []).append(_entry(operation, described))
    return parts


def _entry(operation: Operation[Any], described: Mapping[str, Any]) -> Entry:
    return Entry(
        name=operation.name, method=operation.method, path=operation.path, summary=operation.summary,
        parameters=list(map(_parameter, described["parameters"])),
        bodies=list(_contents(described.get("requestBody", {}))),
        answers=[
            (status, told["description"] or HTTPStatus(int(status)).phrase, " or ".join(k for _, k in _contents(told)))
            for status, told in described["responses"].items() if int(status) < 400
        ],
        can_be_tried=operation.reads and any(each.media_type == JSON for each in operation.answers),
        needs=_needs(operation),
    )  # fmt: skip


def _parameter(given: Mapping[str, Any]) -> Parameter:
    return Parameter(
        given["name"], given["in"], kind(given["schema"]), given.get("description", ""), given.get("required", False)
    )


def _needs(operation: Operation[Any]) -> str:
    if operation.open:
        return "no token"
    return "a full token" if operation.full_only or not operation.reads else "a token"


def _contents(described: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for media_type, content in described.get("content", {}).items():
        yield media_type, kind(content["schema"])


@cache
def components() -> list[Component]:
    """The named schemas."""
    named = document(())["components"]["schemas"]
    return [
        Component(name, each.get("description", ""), [(key, kind(value)) for key, value in each["properties"].items()])
        for name, each in named.items() if "properties" in each
    ]  # fmt: skip


async def api(request: Request) -> Response:
    """The page."""
    return page(request, "api.html", parts=entries(), components=components(), prefix=API)


routes = [Route("/api", api)]
