"""The JSON schemas of what goes in and out. A test holds the job's to `wire`, the fuzzer all of them to the code."""

from __future__ import annotations

from typing import Any

from queuectl.domain.condition import Condition
from queuectl.domain.fields import FIELDS, INPUT, Field
from queuectl.domain.job import JobState, Outcome, Spec
from queuectl.domain.token import Role
from queuectl.settings import SETTINGS
from queuectl.wire.requests import JobRequest
from queuectl.wire.selections import EXIT_CODE_MAX

Schema = dict[str, Any]


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": schema}


def fixed(**properties: Schema) -> Schema:
    """An object that always has exactly these keys."""
    return {
        "type": "object", "properties": properties, "required": list(properties), "additionalProperties": False,
    }  # fmt: skip


def optional(**properties: Schema) -> Schema:
    """An object that may have these keys and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


def ref(name: str) -> Schema:
    """One of `COMPONENTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


TEXT: Schema = {"type": "string"}
STORABLE: Schema = {"type": "string", "pattern": r"^[^\u0000]*$"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
DURATION: Schema = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 3153600000},
        {"type": "string", "pattern": r"^([0-9]{1,8}(\.[0-9]{1,3})?|([0-9]{1,3}(d|h|ms|m|s)){1,4})$"},
    ],
    "description": "seconds, or text as 90s, 10m, 1h30m, 2d",
}
STATE: Schema = {"type": "string", "enum": [state.value for state in JobState]}
CONDITION: Schema = {"type": "string", "enum": [condition.value for condition in Condition]}
OUTCOME: Schema = {"type": "string", "enum": [outcome.value for outcome in Outcome]}
ID: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9._:-]{1,128}$"}
NAME: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9._:/@+-]{1,128}$"}
WORKER: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}
EXIT_CODE: Schema = {"type": "integer", "minimum": 0, "maximum": EXIT_CODE_MAX}
COMMAND: Schema = {"anyOf": [TEXT, listed(TEXT)], "description": "text for the shell, or a list of words"}
ENVIRONMENT: Schema = {"type": "object", "additionalProperties": STORABLE}

_SHOWN: dict[str, Schema] = {
    "text": TEXT, "filled text": TEXT, "path": TEXT, "id": TEXT, "name": TEXT, "names": listed(TEXT),
    "command": COMMAND, "whole number": COUNT, "number": NUMBER, "seconds": NUMBER, "flag": FLAG, "time": TIME,
    "duration": NUMBER, "positive duration": NUMBER, "exit codes": listed(INTEGER), "umask": TEXT,
    "variables": ENVIRONMENT, "state": STATE, "worker": TEXT,
    "unsupported": {"description": "not written by this version"},
}  # fmt: skip
"""What a value of each kind looks like in a job's JSON."""


def _shown(field: Field) -> Schema:
    shown = INTEGER if field.low < 0 else _SHOWN[field.kind]
    return nullable(shown) if field.nullable else shown


JOB = {
    field.name: _shown(field)
    for field in sorted(FIELDS, key=lambda field: field.kind == "unsupported") if field.shown
}  # fmt: skip

EXECUTION = fixed(
    number=COUNT, outcome=nullable(OUTCOME), started_at=TIME, finished_at=nullable(TIME), duration=nullable(NUMBER),
    worker=nullable(TEXT), host=nullable(TEXT), lease=COUNT, exit_code=nullable(INTEGER), signal=nullable(INTEGER),
    error=nullable(TEXT), cpu_time=nullable(NUMBER), max_rss=nullable(COUNT), output_bytes=nullable(COUNT),
    leftover=nullable(TEXT),
)  # fmt: skip

EVENT = fixed(
    at=TIME, event=TEXT, by=nullable(TEXT), attempt=nullable(COUNT), worker=nullable(TEXT), outcome=nullable(OUTCOME),
    exit_code=nullable(INTEGER), signal=nullable(INTEGER), error=nullable(TEXT),
)  # fmt: skip

_GIVEN: dict[str, Schema] = {
    "filled text": STORABLE, "path": STORABLE, "id": ID, "name": NAME, "names": listed(NAME), "flag": FLAG,
    "time": TIME, "duration": DURATION, "positive duration": DURATION,
    "exit codes": listed({"type": "integer", "minimum": 1, "maximum": EXIT_CODE_MAX}),
    "umask": {"type": "string", "pattern": "^[0-7]{3,4}$"}, "variables": ENVIRONMENT,
    "command": {
        "anyOf": [
            {"type": "string", "pattern": r"^[^\u0000]*[^\u0000\s][^\u0000]*$"},
            {"type": "array", "items": STORABLE, "minItems": 1},
        ]
    },
}  # fmt: skip
"""What a value of each kind looks like where a job is asked for."""
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

SELECTOR = optional(
    all=FLAG, state=listed(STATE), queue=listed(STORABLE), tag=listed(STORABLE), owner=listed(STORABLE),
    exit_code=listed(EXIT_CODE), command=listed(STORABLE), error=listed(STORABLE), older_than=DURATION,
)  # fmt: skip

SELECTION = {
    **optional(
        ids={"type": "array", "items": TEXT, "minItems": 1},
        selector=ref("Selector"),
        dry_run=FLAG,
        limit=nullable({"type": "integer", "minimum": 1, "maximum": 100_000}),
        cursor=nullable(TEXT),
    ),
    "description": "either ids, or a selector that is not empty; dry_run only counts; with a selector, limit looks at "
    "so many jobs, and cursor goes on behind them where an answer's next said",
}

PROBLEM = fixed(type=TEXT, title=TEXT, status=INTEGER, detail=TEXT, code=TEXT, hint=TEXT)
COUNTS = fixed(**{state.value: COUNT for state in JobState})
OUTCOMES = {outcome.value: COUNT for outcome in Outcome}
PERCENTILES = fixed(measured=COUNT, **{name: nullable(NUMBER) for name in ("p50", "p90", "p95", "p99", "max")})

COMPONENTS: dict[str, Schema] = {
    "Job": fixed(**JOB),
    "NewJob": NEW_JOB,
    "Changes": {key: value for key, value in NEW_JOB.items() if key != "required"},
    "History": fixed(**JOB, executions=listed(ref("Execution")), events=listed(ref("Event"))),
    "DeadJob": fixed(**JOB, output_tail=TEXT),
    "Execution": EXECUTION,
    "Event": EVENT,
    "Page": fixed(jobs=listed(ref("Job")), next=nullable(TEXT), count=nullable(COUNT)),
    "DeadPage": fixed(jobs=listed(ref("DeadJob")), next=nullable(TEXT), count=nullable(COUNT)),
    "Selector": SELECTOR,
    "Selection": SELECTION,
    "Changed": fixed(
        dry_run=FLAG, matched=COUNT, changed=COUNT, jobs=listed(ref("Job")), refused=listed(ref("Problem")),
        next=nullable(TEXT),
    ),
    "Problem": PROBLEM,
    "Worker": fixed(
        name=TEXT, host=TEXT, pid=INTEGER, slots=COUNT, busy=COUNT, queues=listed(TEXT), started_at=TIME,
        seen_at=TIME, stopping=FLAG, orphaned=FLAG, condition=CONDITION, jobs=listed(TEXT),
        starting=listed(TEXT),
    ),
    "Queue": fixed(name=TEXT, counts=ref("Counts"), workers=COUNT, slots=COUNT),
    "Counts": COUNTS,
    "Status": fixed(
        store=TEXT, at=TIME, workers=listed(ref("Worker")), slots=fixed(total=COUNT, busy=COUNT), counts=ref("Counts"),
        starting=COUNT,
        queues={"type": "object", "additionalProperties": ref("Counts")}, oldest_waiting_since=nullable(TIME),
        oldest_waiting=nullable(NUMBER), next_retries=listed(ref("Job")),
    ),
    "Group": fixed(
        jobs=COUNT, queue=TEXT, command=TEXT, exit_code=nullable(INTEGER), error=nullable(TEXT),
        first_at=nullable(TIME), last_at=nullable(TIME), selector=ref("Selector"),
    ),
    "Figures": fixed(
        since=TIME, until=TIME, window=NUMBER, ended=fixed(**OUTCOMES), rate=NUMBER, failure_rate=NUMBER,
        run=ref("Percentiles"), wait=ref("Percentiles"), stretch=NUMBER, series=listed(fixed(at=TIME, **OUTCOMES)),
    ),
    "Percentiles": PERCENTILES,
    "Setting": fixed(
        name={"type": "string", "enum": list(SETTINGS)}, value={}, text=TEXT, default=TEXT, set=FLAG, help=TEXT
    ),
    "Token": fixed(
        id=TEXT, name=TEXT, role={"type": "string", "enum": [role.value for role in Role]}, created_at=TIME,
        created_by=nullable(TEXT), used_at=nullable(TIME),
    ),
    "Deed": fixed(id=COUNT, at=TIME, event=TEXT, by=nullable(TEXT), job=nullable(TEXT), detail=nullable(TEXT)),
}  # fmt: skip
COMPONENTS["NewToken"] = fixed(**COMPONENTS["Token"]["properties"], token=TEXT)
