"""Enqueues inside an application's own transaction, by the SQL function `enqueue` of the store's schema.

Works with any driver that has cursors and takes `%s` for a parameter. Nothing here commits or rolls back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from inspect import iscoroutinefunction

from queuectl.domain.errors import Conflict, Invalid, NotFound, QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.unique import Rule
from queuectl.store.arrivals import Arrival
from queuectl.store.postgres.address import parse_address
from queuectl.typed import Any
from queuectl.wire.jobs import job_to_json
from queuectl.wire.kinds import JsonObject
from queuectl.wire.requests import INPUT_KEYS, LIFTED_BY_NULL

ADD = "SELECT {schema}.enqueue(job) AS id FROM jsonb_array_elements(CAST(%s AS jsonb)) AS job"

REFUSALS: Mapping[str, type[QueuectlError]] = {"22023": Invalid, "23505": Conflict, "P0002": NotFound}
"""What the function's error codes mean. All other codes are the application's."""


def enqueue_within(connection: Any, url: str, arrivals: Sequence[Arrival]) -> list[Job]:
    """Adds new jobs to the store at `url` in the connection's transaction, all or none. Returns them with their ids."""
    query = ADD.format(schema=f'"{parse_address(url).schema}"')
    cursor = connection.cursor()
    if iscoroutinefunction(cursor.execute):
        raise Invalid("an asynchronous connection cannot be used", "run the SQL function enqueue(jsonb) on it")
    try:
        cursor.execute(query, (_documents(arrivals),))
        new_ids = [_only(row) for row in cursor.fetchall()]
    except Exception as error:
        if kind := REFUSALS.get(_state(error)):
            raise kind(*_words(error)) from error
        raise
    finally:
        cursor.close()
    return [each.job._replace(id=new_id) for each, new_id in zip(arrivals, new_ids, strict=True)]


def _documents(arrivals: Sequence[Arrival]) -> str:
    text = json.dumps([_document(*each) for each in arrivals], ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("a job holds bytes that are not UTF-8", "put them into a script or a file") from None
    return text


def _document(job: Job, rule: Rule | None, delay: float | None) -> JsonObject:
    """The JSON that gives the same job. The server draws an id if none was given."""
    known = job_to_json(job)
    document = {key: known[key] for key in INPUT_KEYS if known.get(key) is not None or key in LIFTED_BY_NULL}
    if job.generated_id:
        del document["id"]
    if job.run_at == job.created_at or delay:
        del document["run_at"]
    given = {"on_conflict": rule and rule.value, "delay": delay or None}
    return {**document, **{key: value for key, value in given.items() if value is not None}}


def _only(row: Any) -> str:
    """The one value of a row, whether the application's rows are tuples or mappings."""
    (value,) = row.values() if isinstance(row, Mapping) else row
    return str(value)


def _words(error: Exception) -> tuple[str, str]:
    """What the function said, and its hint."""
    told = getattr(error, "diag", None)
    message, hint = getattr(told, "message_primary", None), getattr(told, "message_hint", None)
    return message or str(error).partition("\n")[0], hint or ""


def _state(error: Exception) -> str:
    """The server's error code, from wherever the driver keeps it."""
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None))
