"""Answers as JSON, one row a key: its value in JSON, how to read it back, and its schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from operator import attrgetter

from queuectl.typed import Any, Generic, NamedTuple, TypeVar
from queuectl.wire import schema
from queuectl.wire.kinds import JsonObject
from queuectl.wire.schema import Schema
from queuectl.wire.times import format_time

T = TypeVar("T")


def same(value: Any) -> Any:
    """The value, unchanged."""
    return value


class Kind(NamedTuple):
    """A type of values: its schema, and its conversion to and from JSON."""

    schema: Schema
    show: Callable[[Any], Any] = same
    read: Callable[[Any], Any] = same


def moment(text: str) -> float:
    """A point in time."""
    return datetime.fromisoformat(text).timestamp()


TEXT, NUMBER, INTEGER, COUNT, FLAG = map(Kind, (schema.TEXT, schema.NUMBER, schema.INTEGER, schema.COUNT, schema.FLAG))
TIME = Kind(schema.TIME, format_time, moment)
TEXTS = Kind(schema.listed(schema.TEXT), list, tuple)


def nullable(kind: Kind) -> Kind:
    """The kind, or None."""
    return Kind(
        schema.nullable(kind.schema), lambda value: None if value is None else kind.show(value),
        lambda value: None if value is None else kind.read(value),
    )  # fmt: skip


def listed(kind: Kind) -> Kind:
    """A list of these."""
    return Kind(
        schema.listed(kind.schema), lambda values: list(map(kind.show, values)),
        lambda documents: list(map(kind.read, documents)),
    )  # fmt: skip


def rounded(digits: int) -> Kind:
    """A number rounded to `digits` decimal places."""
    return Kind(schema.NUMBER, lambda value: round(value, digits))


def one_of(values: type[StrEnum]) -> Kind:
    """A member of an enumeration."""
    return Kind({"type": "string", "enum": [each.value for each in values]}, lambda value: value.value, values)


def numbers(values: type[StrEnum]) -> Kind:
    """A number for each member of an enumeration."""
    return Kind(
        schema.fixed(**{each.value: schema.COUNT for each in values}),
        lambda found: {each.value: number for each, number in found.items()},
        lambda document: {each: document[each.value] for each in values},
    )  # fmt: skip


class Key(NamedTuple):
    """A key of an answer. `of` is its attribute (default: of the same name), or
    a function of the value, which is not read back."""

    name: str
    kind: Kind
    of: str | Callable[[Any], Any] = ""


class Shape(Generic[T]):
    """An answer: its keys, and the function that makes a value of them."""

    def __init__(self, name: str, make: Callable[..., T], *keys: Key) -> None:
        self._make = make
        self._shown = [
            (key.name, key.kind.show, attrgetter(key.of or key.name) if isinstance(key.of, str) else key.of)
            for key in keys
        ]
        self._read = [(key.of or key.name, key.name, key.kind.read) for key in keys if isinstance(key.of, str)]
        self.schema = schema.fixed(**{key.name: key.kind.schema for key in keys})
        self.kind = Kind(schema.ref(name) if name else self.schema, self.json, self.value)

    def json(self, value: T) -> JsonObject:
        """The value as JSON."""
        return {name: show(of(value)) for name, show, of in self._shown}

    def value(self, document: Mapping[str, Any], **others: Any) -> T:
        """The value of a document, which may lack newer keys; `others` are attributes that no document has."""
        return self._make(**{to: read(document[name]) for to, name, read in self._read if name in document}, **others)
