"""The routes of the API: a handler for each operation of `client.operations`, and the document."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.actions import ACTIONS, ON_ONE
from queuectl.client.operation import JSON, Operation
from queuectl.client.operations import OPERATIONS
from queuectl.typed import Any
from queuectl.web.guard import Visitor
from queuectl.web.problems import Forbidden
from queuectl.web.rest import dead, health, jobs, openapi, plain, running, streaming
from queuectl.web.rest.conditional import conditional
from queuectl.web.rest.operation import Handler, given_to

HANDLERS: Mapping[str, Handler] = {
    "enqueue": jobs.enqueue, "clone_job": jobs.clone, "find_jobs": jobs.find, "show_job": jobs.show,
    "delete_job": jobs.delete, "read_output": streaming.output, "follow_output": streaming.follow_output,
    **{row.name: jobs.act_on_one(action) for action, row in ON_ONE},
    **{action.many.name: jobs.act_on_many(action) for action in ACTIONS},
    "move_job": jobs.move, "set_job": jobs.set_one, "set_jobs": jobs.set_many,
    "prune": jobs.prune, "find_dead": dead.find, "status": running.status,
    "workers": running.workers, "start_worker": running.start_worker,
    "stop_workers": running.stop_workers, "events": streaming.events, "revoke_token": plain.revoke_token,
    "healthz": health.alive, "readyz": health.ready, "metrics": health.exposition,
}  # fmt: skip
"""Handlers of the operations that are not plain."""


def routes() -> list[Route]:
    """A route for each path, the longest first, and one for the document."""
    by_path: dict[str, dict[str, Operation[Any]]] = {}
    for operation in sorted(OPERATIONS.values(), key=lambda each: -each.path.count("/")):
        by_path.setdefault(operation.path, {})[operation.method] = operation
    made = [Route(_typed(path), _endpoint(methods), methods=list(methods)) for path, methods in by_path.items()]
    return [*made, Route("/openapi.json", _document)]


def _typed(path: str) -> str:
    """The path with a type for names of queues, locks and batches, which may contain slashes."""
    return re.sub(r"/(queues|locks|batches)/\{(\w+)\}", r"/\1/{\2:path}", path)


def _endpoint(methods: Mapping[str, Operation[Any]]) -> Callable[[Request], Awaitable[Response]]:
    handlers = {method: HANDLERS.get(each.name) or plain.handler(each) for method, each in methods.items()}

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        if methods[method].full_only and not (visitor and visitor.may_write):
            raise Forbidden("a read-only token may not see this", "use one with the role full")
        answer = await handlers[method](request, await given_to(request, methods[method]))
        return conditional(request, answer) if methods[method].reads else answer

    return endpoint


@cache
def _encoded(root: str) -> bytes:
    return msgspec.json.encode(openapi.document(OPERATIONS.values(), root))


async def _document(request: Request) -> Response:
    """The OpenAPI document."""
    return Response(_encoded(request.state.root), media_type=JSON)
