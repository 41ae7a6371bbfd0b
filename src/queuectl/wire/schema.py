"""JSON schemas: the building blocks of those for requests and answers."""

from __future__ import annotations

from queuectl.domain.job import JobState, Outcome
from queuectl.typed import Any

Schema = dict[str, Any]


def nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def listed(schema: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": schema}


def fixed(**properties: Schema) -> Schema:
    """An object with exactly these keys."""
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
    "description": "seconds, or text such as 90s, 10m, 1h30m, 2d",
}
STATE: Schema = {"type": "string", "enum": [state.value for state in JobState]}
OUTCOME: Schema = {"type": "string", "enum": [outcome.value for outcome in Outcome]}
