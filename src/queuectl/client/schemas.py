"""The JSON schemas of input and output. A test compares the job's with `wire`; the fuzzer checks them all."""

from __future__ import annotations

from queuectl.client import batches, documents, graph, locks, operation, queues, schedule_views
from queuectl.client.hooks import HOOK
from queuectl.client.shapes import numbers
from queuectl.domain.fields import FIELDS, INPUT, MEMORY_MAX, MEMORY_MIN, SETTABLE, Field
from queuectl.domain.job import JobState, Spec
from queuectl.domain.unique import Rule
from queuectl.wire import kinds
from queuectl.wire.requests import LIFTABLE, JobRequest
from queuectl.wire.schema import (
    COUNT,
    DURATION,
    FLAG,
    INTEGER,
    NUMBER,
    OUTCOME,
    STATE,
    STORABLE,
    TEXT,
    TIME,
    Schema,
    fixed,
    listed,
    nullable,
    optional,
    ref,
)
from queuectl.wire.selections import EXIT_CODE_MAX

KEY: Schema = {"type": "string", "pattern": r"^[^\u0000]+$", "maxLength": kinds.KEY_BYTES_MAX // 4}
ALLOWANCE: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 999_999_999},
        {"type": "string", "pattern": "^[1-9]?[0-9]%$"},
    ],
    "description": "how many jobs of the batch may be dead, or which percentage",
}
RULE: Schema = {"type": "string", "enum": list(Rule)}
ID: Schema = {"type": "string", "pattern": f"^{kinds.ID}$"}
NAME = operation.NAME.schema
PAST: Schema = {"anyOf": [TIME, DURATION]}
"""A time, or how long ago."""
EXIT_CODE: Schema = {"type": "integer", "minimum": 0, "maximum": EXIT_CODE_MAX}
COMMAND: Schema = {"anyOf": [TEXT, listed(TEXT)], "description": "text for the shell, or a list of words"}
ENVIRONMENT: Schema = {"type": "object", "additionalProperties": STORABLE}
SIZE: Schema = {
    "anyOf": [
        {"type": "integer", "minimum": MEMORY_MIN, "maximum": MEMORY_MAX},
        {
            "type": "string",
            "pattern": "^([1-9][0-9]{7,14}|[1-9][0-9]{4,11}k|[1-9][0-9]{0,5}[mg]|[1-9][0-9]{0,2}t)(i?b)?$",
        },
    ],
    "description": "bytes, or text such as 512m, 4g",
}

_SHOWN: dict[str, Schema] = {
    "text": TEXT, "filled text": TEXT, "path": TEXT, "id": TEXT, "name": TEXT, "names": listed(TEXT),
    "locks": listed(TEXT), "dependencies": listed(TEXT), "key": TEXT, "secrets": listed(TEXT),
    "command": COMMAND, "whole number": COUNT, "number": NUMBER, "seconds": NUMBER, "flag": FLAG, "time": TIME,
    "duration": NUMBER, "positive duration": NUMBER, "duration or none": NUMBER,
    "size": COUNT, "exit codes": listed(INTEGER), "umask": TEXT,
    "variables": ENVIRONMENT, "script": TEXT, "hook": TEXT, "state": STATE, "worker": TEXT,
    "json": {"description": "any JSON"},
}  # fmt: skip
"""The schema of each kind of value in a job's JSON."""


def _shown(field: Field) -> Schema:
    shown = INTEGER if field.low < 0 else _SHOWN[field.kind]
    return nullable(shown) if field.nullable and field.kind != "json" else shown


JOB = {field.name: _shown(field) for field in FIELDS if field.shown}

_GIVEN: dict[str, Schema] = {
    "filled text": STORABLE, "path": STORABLE, "script": STORABLE, "hook": STORABLE, "id": ID, "name": NAME,
    "names": listed(NAME),
    "locks": listed(TEXT), "dependencies": listed(TEXT), "flag": FLAG, "key": KEY, "rule": RULE,
    "allowance": ALLOWANCE,
    "secrets": listed({"type": "string", "pattern": f"^{kinds.SECRET}$"}),
    "size": SIZE,
    "time": TIME, "duration": DURATION, "positive duration": DURATION,
    "duration or none": {"anyOf": [DURATION, {"type": "string", "enum": [kinds.NONE]}]},
    "exit codes": listed({"type": "integer", "minimum": 1, "maximum": EXIT_CODE_MAX}),
    "umask": {"type": "string", "pattern": "^[0-7]{3,4}$"}, "variables": ENVIRONMENT,
    "command": {
        "anyOf": [
            {"type": "string", "pattern": r"^[^\u0000]*[^\u0000\s][^\u0000]*$"},
            {"type": "array", "items": STORABLE, "minItems": 1},
        ]
    },
}  # fmt: skip
"""The schema of each kind of value in a new job."""
_NUMBERS = {"whole number": "integer", "number": "number"}
_DEFAULTS = {"queue": None, **JobRequest._field_defaults, **Spec._field_defaults}


def _given(field: Field) -> Schema:
    if field.kind in _NUMBERS:
        return {"type": _NUMBERS[field.kind], "minimum": field.low, "maximum": field.high}
    given = _GIVEN[field.kind]
    is_optional = field.kind != "umask" and field.name in _DEFAULTS and _DEFAULTS[field.name] is None
    return nullable(given) if is_optional else given


NEW_JOB = {
    **optional(command=_GIVEN["command"], **{field.name: _given(field) for field in INPUT if field.name != "command"}),
    "required": ["command"],
}


def _changed(field: Field) -> Schema:
    given = _given(field)
    return nullable(given) if field.name in LIFTABLE and "anyOf" not in given else given


CHANGED_ENVIRONMENT = {**ENVIRONMENT, "additionalProperties": nullable(STORABLE)}
EDIT = {
    **optional(
        **{field.name: _changed(field) for field in SETTABLE if field.name != "env"},
        env=CHANGED_ENVIRONMENT,
        replace=fixed(old={**STORABLE, "minLength": 1}, new=STORABLE),
    ),
    "minProperties": 1,
    "description": "new values of a job's keys, null for none; replace puts a text in the place of another one in the "
    "command",
}

SELECTOR = optional(
    all=FLAG, state=listed(STATE), queue=listed(STORABLE), tag=listed(STORABLE), batch=listed(STORABLE),
    schedule=listed(STORABLE), owner=listed(STORABLE), exit_code=listed(EXIT_CODE), command=listed(STORABLE),
    error=listed(STORABLE), fault=listed(STORABLE), text=listed(STORABLE), outcome=listed(OUTCOME), ended_after=PAST,
    ended_before=PAST, older_than=DURATION, hooks=FLAG,
)  # fmt: skip

SELECTION = {
    **optional(
        ids={"type": "array", "items": TEXT, "minItems": 1},
        selector=ref("Selector"),
        dry_run=FLAG,
        limit=nullable({"type": "integer", "minimum": 1, "maximum": 100_000}),
        cursor=nullable(TEXT),
    ),
    "description": "either ids or a selector that is not empty; dry_run only counts; with a selector, limit is the "
    "most jobs to look at, and cursor, the next of an answer, goes on after them",
}

EDITED_SELECTION = {
    **SELECTION, "properties": {**SELECTION["properties"], "changes": ref("Edit")}, "required": ["changes"],
}  # fmt: skip

RETRIED_SELECTION = {**SELECTION, "properties": {**SELECTION["properties"], "cascade": FLAG}}

PROBLEM = fixed(type=TEXT, title=TEXT, status=INTEGER, detail=TEXT, code=TEXT, hint=TEXT)
COMPONENTS: dict[str, Schema] = {
    "Job": fixed(**JOB),
    "NewJob": NEW_JOB,
    "Changes": optional(**{**NEW_JOB["properties"], "env": CHANGED_ENVIRONMENT}),
    "History": fixed(
        **JOB, executions=listed(ref("Execution")), events=listed(ref("Event")), hooks=listed(ref("Hook"))
    ),
    "Graph": graph.GRAPH.schema,
    "Explanation": documents.EXPLANATION.schema,
    "DeadJob": fixed(**JOB, output_tail=TEXT),
    "Execution": documents.EXECUTION.schema,
    "Event": documents.EVENT.schema,
    "Hook": HOOK.schema,
    "JobKeys": {
        **optional(**JOB, executions=listed(ref("Execution")), events=listed(ref("Event")), output_tail=TEXT),
        "description": "the keys of a job that `fields` names",
    },
    "Page": fixed(jobs=listed({"anyOf": [ref("Job"), ref("JobKeys")]}), next=nullable(TEXT), count=nullable(COUNT)),
    "DeadPage": fixed(
        jobs=listed({"anyOf": [ref("DeadJob"), ref("JobKeys")]}), next=nullable(TEXT), count=nullable(COUNT)
    ),
    "Selector": SELECTOR,
    "Selection": SELECTION,
    "Edit": EDIT,
    "RetriedSelection": RETRIED_SELECTION,
    "EditedSelection": EDITED_SELECTION,
    "Changed": fixed(
        dry_run=FLAG, matched=COUNT, changed=COUNT, jobs=listed(ref("Job")), refused=listed(ref("Problem")),
        next=nullable(TEXT),
    ),
    "Problem": PROBLEM,
    "Worker": documents.WORKER.schema,
    "Queue": queues.QUEUE.schema,
    "Pause": documents.PAUSE.schema,
    "Lock": locks.LOCK.schema,
    "Batch": batches.BATCH.schema,
    "Schedule": schedule_views.SCHEDULE.schema,
    "ShownSchedule": schedule_views.SHOWN.schema,
    "Fire": schedule_views.FIRE.schema,
    "Streak": schedule_views.STREAK.schema,
    "Counts": numbers(JobState).schema,
    "Status": documents.STATUS.schema,
    "Group": documents.GROUP.schema,
    "Figures": documents.FIGURES.schema,
    "Part": documents.PART.schema,
    "Percentiles": documents.PERCENTILES.schema,
    "Setting": documents.SETTING.schema,
    "Token": documents.TOKEN.schema,
    "Deed": documents.DEED.schema,
}  # fmt: skip
COMPONENTS["NewToken"] = fixed(**COMPONENTS["Token"]["properties"], token=TEXT)

SCHEMAS: dict[str, Schema] = {**COMPONENTS, "Finding": documents.FINDING, "News": documents.NEWS}
"""Those of the API, and those of answers that only commands give."""
