"""Turns an operation and its arguments into a request of the REST API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from queuectl.client.operation import Operation
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid
from queuectl.domain.selector import Selector
from queuectl.typed import Any, NamedTuple
from queuectl.wire.kinds import JsonObject
from queuectl.wire.selections import LISTS
from queuectl.wire.times import format_time

Query = dict[str, Any]


class Request(NamedTuple):
    """A request; `path` is complete and quoted."""

    method: str
    path: str
    query: Query
    body: object


def request_of(operation: Operation[Any], arguments: Mapping[str, Any], body: object = None) -> Request:
    """The request. Arguments with their default are left out: older servers do not know newer ones."""
    given = {
        each.name: each.send(arguments[each.name])
        for each in operation.arguments
        if each.name in arguments and arguments[each.name] != each.default
    }
    path = operation.path.format(**{name: quote(str(given.pop(name)), safe="") for name in operation.in_path})
    if operation.in_body:
        body = {name: selector_of(value) if isinstance(value, Selector) else value for name, value in given.items()}
        return Request(operation.method, path, {}, body)
    query: Query = {}
    for name, value in given.items():
        query |= query_of(value) if isinstance(value, Selector) else {name: _word(value)}
    return Request(operation.method, path, query, body)


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def query_of(selector: Selector) -> Mapping[str, Sequence[Any]]:
    """A selector as a query. Raises `Invalid` for one by ids."""
    if selector.ids:
        raise Invalid("over HTTP jobs are not selected by id", "name each job by its id")
    given: dict[str, Sequence[Any]] = {
        "state": [str(state) for state in selector.states], "queue": selector.queues, "tag": selector.tags,
        "batch": selector.batches, "schedule": selector.schedules, "owner": selector.owners,
        "exit_code": selector.exit_codes, "command": selector.commands, "error": selector.errors,
        "fault": selector.faults, "text": selector.texts, "outcome": [str(outcome) for outcome in selector.outcomes],
    }  # fmt: skip
    for key in LISTS:
        if several := next((text for text in given[key] if "," in str(text)), None):
            raise Invalid(
                f"over HTTP a comma separates values: {key} {several!r} would be several", "select by another key"
            )
    for key in ("ended_after", "ended_before"):
        if (at := getattr(selector, key)) is not None:
            given[key] = [format_time(at)]
    if selector.before is not None:
        given["older_than"] = [f"{max(0.0, SystemClock().now() - selector.before):.3f}"]
    if selector.hooks:
        given["hooks"] = ["true"]
    return {name: values for name, values in given.items() if values}


def selector_of(selector: Selector) -> JsonObject:
    """A selector in a body, which must say if it means all jobs."""
    found: JsonObject = dict(query_of(selector)) or {"all": True}
    return {**found, "hooks": True} if selector.hooks else found
