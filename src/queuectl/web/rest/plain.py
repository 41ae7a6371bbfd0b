"""Handlers of plain operations: pass the arguments to a client, and answer its value as JSON."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client.facade import Client
from queuectl.client.operation import Operation
from queuectl.client.operations import OPERATIONS
from queuectl.domain.selector import ALL_JOBS
from queuectl.typed import Any
from queuectl.web.ask import ask
from queuectl.web.door import Door
from queuectl.web.rest.jobs import selector_in
from queuectl.web.rest.operation import MASKED, Given, Handler, answer, is_selection, visitor_of
from queuectl.wire.selections import parse_selection


def handler(operation: Operation[Any]) -> Handler:
    """The handler of a plain operation."""
    (told,) = operation.answers

    async def handle(request: Request, given: Given) -> Response:
        def call(client: Client) -> object:
            done = client.do(operation, **_selected(operation, given, client))
            return operation.kind.show(done) if operation.kind and told.schema else None

        document = await ask(request, call)
        if told.schema is None:
            return Response(status_code=told.status)
        return answer(document if visitor_of(request).may_write else _masked(document), told.status)

    return handle


def _selected(operation: Operation[Any], given: Given, client: Client) -> Given:
    """The arguments with their words parsed to a selector."""
    selections = [each.name for each in operation.arguments if is_selection(each)]
    if not selections:
        return given
    read = parse_selection if operation.reads else selector_in
    return {**given, **{name: read(given[name], client.now()) for name in selections if given[name] is not ALL_JOBS}}


def _masked(document: object) -> object:
    """The document without what a read-only token may not see."""
    if isinstance(document, list):
        return [_masked(each) for each in document]
    if isinstance(document, dict):
        return {
            key: dict.fromkeys(value, MASKED) if key == "env" and isinstance(value, dict) else _masked(value)
            for key, value in document.items()
        }
    return document


revoke = handler(OPERATIONS["revoke_token"])


async def revoke_token(request: Request, given: Given) -> Response:
    """Revokes a token, and empties the cache of tokens."""
    done = await revoke(request, given)
    door: Door = request.app.state.door
    door.forget()
    return done
