"""What each command prints with --json, as JSON Schemas. docs/schema is written from here, and a test holds commands to
it.

A plain command prints what its operation answers; here are the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from queuectl.cli.command import Command
from queuectl.client.accounting import COLUMN_SCHEMAS
from queuectl.client.schemas import SCHEMAS
from queuectl.typed import Any
from queuectl.wire.schema import COUNT, FLAG, INTEGER, STATE, TEXT, TIME, Schema, fixed, listed, nullable, optional, ref

VERSION = 1
"""Of all schemas. It grows when a name or a meaning changes, which only a new major version may do."""

ROWS = {"type": "object", "additionalProperties": COUNT, "description": "how many rows of each table"}
JOBS = listed(ref("Job"))
CHECK = fixed(ok=FLAG, findings=listed(ref("Finding")))
UNITS = listed(TEXT)
TOP = fixed(
    status=ref("Status"), running=JOBS,
    waiting={"type": "object", "additionalProperties": COUNT, "description": "how many of the jobs wait for what"},
    waiting_seen=COUNT,
    failures=listed(fixed(at=TIME, job=TEXT, queue=TEXT, state=STATE, number=COUNT, error=nullable(TEXT))),
)  # fmt: skip
IMPORTED = fixed(
    schedules=listed({"type": "object"}), told=listed(fixed(line=COUNT, text=TEXT, reason=TEXT)), hints=listed(TEXT),
    added=FLAG,
)  # fmt: skip


def _any(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


ANSWERS: Mapping[str, Schema] = {
    "enqueue": _any(JOBS, listed(ref("NewJob"))),
    **dict.fromkeys(("run", "list", "wait", "clone", "set", "move"), JOBS),
    **dict.fromkeys(("retry", "cancel", "hold", "release", "delete"), JOBS),
    "status": _any(ref("Status"), CHECK),
    "show": _any(listed(ref("History")), listed(ref("Graph"))),
    "explain": listed(ref("Explanation")),
    "logs": listed(fixed(id=TEXT, attempt=COUNT, output=TEXT)),
    "batch wait": ref("Batch"),
    "top": TOP,
    "events": _any(listed(ref("News")), ref("News")),
    "report": listed(optional(**COLUMN_SCHEMAS)),
    **dict.fromkeys(("schedule add", "schedule set"), ref("ShownSchedule")),
    "schedule preview": listed(TIME),
    "import crontab": IMPORTED,
    "worker start": fixed(name=TEXT, slots=COUNT),
    **dict.fromkeys(("worker stop", "worker list"), listed(ref("Worker"))),
    "worker logs": listed(fixed(at=TEXT, message=TEXT)),
    "queue set": ref("Queue"),
    "lock set": ref("Lock"),
    "dlq list": _any(listed(ref("DeadJob")), listed(ref("Group"))),
    "dlq show": listed(ref("History")),
    **dict.fromkeys(("dlq retry", "dlq purge"), JOBS),
    "serve": fixed(url=TEXT, public_url=nullable(TEXT), login=TEXT),
    "metrics": fixed(metrics=TEXT),
    "migrate": fixed(store=TEXT, schema=COUNT, **{"from": COUNT}),
    "audit": listed(ref("Deed")),
    "config show": listed(ref("Setting")),
    "init": fixed(store=TEXT, made=FLAG),
    "prune": fixed(pruned=COUNT, matching=COUNT),
    "doctor": CHECK,
    "service install": fixed(started=UNITS),
    "service print": {"type": "object", "additionalProperties": TEXT, "description": "the text of each unit"},
    "service status": listed(fixed(name=TEXT, state=TEXT, detail=TEXT, pid=nullable(INTEGER))),
    "service remove": fixed(removed=UNITS),
    "backup": fixed(path=TEXT, bytes=COUNT, rows=ROWS),
    "restore": fixed(store=TEXT, rows=ROWS),
    "export": _any(ref("Job"), fixed(path=TEXT, jobs=COUNT)),
    "import": fixed(imported=COUNT),
    "copy": {**fixed(to=TEXT, rows=ROWS), "properties": {"from": TEXT, "to": TEXT, "rows": ROWS}},
    "reset": fixed(removed=nullable(TEXT)),
    "completion": fixed(shell=TEXT, script=TEXT),
}  # fmt: skip
"""By command."""
UNANSWERED = frozenset({"mcp", "demo"})
"""`mcp` speaks the Model Context Protocol; `demo` is for people."""

HELP, SHORT_VERSION, ERROR, NOTE, NEW_JOB = "help", "version", "error", "note", "new-job"
BESIDES: Mapping[str, tuple[Schema, str]] = {
    HELP: (fixed(help=TEXT), "--help, or help TOPIC"),
    SHORT_VERSION: (fixed(version=TEXT), "--version"),
    ERROR: (fixed(error=fixed(code=TEXT, message=TEXT, hint=TEXT)), "an error: an object a line on stderr"),
    NOTE: (fixed(note=fixed(code=TEXT, message=TEXT)), "a note: an object a line on stderr"),
    NEW_JOB: (ref("NewJob"), "input: a job as enqueue takes it"),
}
"""By name; and what it is."""


def schema_of(command: Command) -> Schema:
    """What a command prints."""
    if (operation := command.operation) is None:
        return ANSWERS[command.name]
    assert operation.kind is not None
    several = any(each.each for each in operation.arguments)
    return listed(operation.kind.schema) if several else operation.kind.schema


def name_of(command: Command) -> str | None:
    """The name of its answer: of what it lists or shows, or else its own. None if it has none."""
    if command.name in UNANSWERED:
        return None
    schema = schema_of(command)
    if "$ref" in schema:
        return _dashed(_component(schema))
    if "$ref" in schema.get("items", {}):
        return _plural(_dashed(_component(schema["items"])))
    return command.name.replace(" ", "-")


def documents(commands: Iterable[Command]) -> dict[str, Schema]:
    """Every schema as a document of its own, by name. Objects of answers may get new keys in later versions."""
    found: dict[str, tuple[Schema, list[str]]] = {}
    for command in commands:
        if name := name_of(command):
            found.setdefault(name, (schema_of(command), []))[1].append(f"queuectl {command.name}")
    made = {name: document(name, schema, ", ".join(told)) for name, (schema, told) in found.items()}
    made |= {name: document(name, schema, told) for name, (schema, told) in BESIDES.items()}
    return dict(sorted(made.items()))


def document(name: str, schema: Schema, told: str, is_closed: bool = False) -> Schema:
    """A schema with all that it needs. `is_closed`: an object of an answer has no other keys than those named."""
    needed: dict[str, Schema] = {}
    _collect(schema, needed)
    parts = _moved(schema)
    if needed:
        parts["$defs"] = {each: _moved(needed[each]) for each in sorted(needed)}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:queuectl:schema:{VERSION}:{name}",
        "title": name,
    }  # fmt: skip
    return {**head, **(parts if is_closed or name == NEW_JOB else _opened(parts)), "description": told}


def _collect(schema: Any, needed: dict[str, Schema]) -> None:
    """Finds the schemas that a schema refers to."""
    if isinstance(schema, dict) and "$ref" in schema and (name := _component(schema)) not in needed:
        needed[name] = SCHEMAS[name]
        _collect(SCHEMAS[name], needed)
    for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _collect(each, needed)


def _moved(schema: Any) -> Any:
    """The same with references into the document itself."""
    if isinstance(schema, list):
        return list(map(_moved, schema))
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{_component(schema)}"}
    return {key: _moved(value) for key, value in schema.items()}


def _opened(schema: Any) -> Any:
    """The same for objects that later versions may give more keys."""
    if isinstance(schema, list):
        return list(map(_opened, schema))
    if not isinstance(schema, dict):
        return schema
    return {
        key: _opened(value) for key, value in schema.items()
        if not (key == "additionalProperties" and value is False)
    }  # fmt: skip


def _component(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _dashed(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def _plural(name: str) -> str:
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}es" if name.endswith("ch") else f"{name}s"
