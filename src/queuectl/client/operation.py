"""What a row of the table of operations is: a use case, its arguments, its answer, its path, and how it is typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from queuectl.client.shapes import Kind as AnswerKind
from queuectl.client.shapes import same
from queuectl.domain.errors import Invalid, NotFound
from queuectl.wire import schema
from queuectl.wire.keywords import seconds_of
from queuectl.wire.kinds import (
    check_filled,
    check_flag,
    check_queue,
    check_text,
    may_be_id,
    parse_duration,
    shown,
    whole_number,
)
from queuectl.wire.schema import Schema

T = TypeVar("T")

API = "/api/v1"
JSON = "application/json"

JOBS, DLQ, ACTIVITY, ADMINISTRATION, SERVER = "Jobs", "Dead letter queue", "Activity", "Administration", "Server"
"""The parts of the API's document."""
WORKERS, WEB, SETUP = "Workers", "Over HTTP", "Setup and upkeep"
"""The groups of commands, beside `JOBS` and `DLQ`."""


# --- arguments ------------------------------------------------------------------------------


class Kind(NamedTuple):
    """What values an argument has. `read` makes one from JSON or from a word, and raises `Invalid`; `send` is its
    inverse."""

    schema: Schema
    read: Callable[[Any, str], Any]
    send: Callable[[Any], Any] = same


TEXT = Kind(schema.STORABLE, check_text)
FILLED = Kind(schema.STORABLE, check_filled)
NAME = Kind({"type": "string", "pattern": r"^[A-Za-z0-9._:/@+-]{1,128}$"}, check_queue)
FLAG = Kind(schema.FLAG, check_flag)
DURATION = Kind(schema.DURATION, parse_duration, lambda duration: round(seconds_of(duration), 3))
SELECTION = Kind(schema.ref("Selector"), lambda given, _: given)
"""Jobs. It is read by `wire.selections`, once the store's time is known; each interface has its own words for it."""
DEAD = SELECTION._replace(send=lambda selector: selector._replace(states=()))
"""Dead jobs: selected by anything but their state."""


def job_ref(ref: str) -> str:
    """A job's id in a path. Raises `NotFound` if it cannot be an id: it could lead to another path."""
    if not may_be_id(ref):
        raise NotFound(f"no job {ref}", "see the ids with: queuectl list")
    return ref


JOB = Kind(schema.TEXT, check_text, job_ref)


def number(least: int, most: int) -> Kind:
    """A whole number."""
    return Kind({"type": "integer", "minimum": least, "maximum": most}, whole_number(least, most))


def one_of(*words: str) -> Kind:
    """One of these words."""

    def read(value: object, what: str) -> str:
        if value not in words:
            from queuectl.domain.likeness import nearest

            raise Invalid(f"unknown {what} {shown(value)}", nearest(str(value), words))
        return str(value)

    return Kind({"type": "string", "enum": list(words)}, read)


REQUIRED: Any = object()
"""The default of an argument that must be given."""


class Argument(NamedTuple):
    """An argument of a use case.

    `spelled` is how it is typed: an option such as `--limit N`, or a word, shown as its name unless this says another.
    `told` is what the API's document says of it. `many`: its value is a list. `each`: several words may be typed, and
    each is done by itself. `typed`: whether the command line has it.
    """

    name: str
    kind: Kind
    help: str = ""
    default: Any = REQUIRED
    spelled: str = ""
    told: str = ""
    many: bool = False
    each: bool = False
    typed: bool = True

    def read(self, value: Any, what: str = "") -> Any:
        """A value as it was given. Raises `Invalid`."""
        what = what or self.name
        if value is None and self.default is not REQUIRED:
            return self.default
        if not self.many:
            return self.kind.read(value, what)
        if not isinstance(value, (list, tuple)):
            raise Invalid(f"{what} must be a list, not {shown(value)}")
        return [self.kind.read(each, what) for each in value]

    def read_from(self, given: Mapping[str, Any]) -> Any:
        """Its value among those given, or its default. Raises `Invalid` where it is missing."""
        if self.name not in given and self.default is REQUIRED:
            raise Invalid(f"{self.name} is missing")
        return self.read(given[self.name]) if self.name in given else self.default

    def send(self, value: Any) -> Any:
        """A value as JSON."""
        return [self.kind.send(each) for each in value] if self.many else self.kind.send(value)

    @property
    def schema(self) -> Schema:
        """The schema of its values."""
        own = schema.listed(self.kind.schema) if self.many else self.kind.schema
        return schema.nullable(own) if self.default is None else own


# --- answers --------------------------------------------------------------------------------


class Answer(NamedTuple):
    """How an operation answers over HTTP where all went well. No schema: there is no body."""

    schema: Schema | None
    description: str
    status: int = 200
    media_type: str = JSON


class Command(NamedTuple):
    """How a plain operation is typed. Nothing else has to be written for it.

    `said` is the line printed for a value, and `bare` the one under `--quiet` (unless given, the value's first key):
    templates of the arguments and of the keys of the value's JSON. Without `said`, lists are tables with a column a
    key, and other values a line a key. `nothing` is said of an empty list. `confirm`, a template of the arguments, says
    what would happen: it is asked before, and where nobody can be asked, `--yes` has to be given. `makes_store`: makes
    the store where there is none. `frees_room`: on a full disk it may use the room that is kept for the way out.
    """

    name: str
    group: str
    help: str
    description: str
    examples: tuple[str, ...]
    said: str = ""
    bare: str = ""
    nothing: str = "there is none"
    confirm: str = ""
    makes_store: bool = False
    frees_room: bool = False


# --- operations -----------------------------------------------------------------------------


class Operation(NamedTuple, Generic[T]):
    """A use case. `name` is its id in the API's document, by which an interface finds what it does in a way of its own.

    `function` does it, called with the store, who asks, and the arguments by name; where it has none, each interface
    has its own way, of which `answers` and `body` tell. `kind` is what it answers. `deed` is what the audit log keeps
    of it: a kind and a template of the arguments. `fails` are statuses of failures beside those that every operation
    has. `full_only`: a read-only token may not even look. `open`: it needs no token.
    """

    name: str
    method: str
    path: str
    tag: str
    summary: str
    answers: Sequence[Answer]
    arguments: Sequence[Argument] = ()
    function: Callable[..., T] | None = None
    kind: AnswerKind | None = None
    command: Command | None = None
    deed: tuple[str, str] | None = None
    body: Mapping[str, Schema] = {}
    body_required: bool = False
    fails: Sequence[int] = ()
    full_only: bool = False
    open: bool = False

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    def filled(self, template: str, arguments: Mapping[str, Any], value: T) -> str:
        """A template of its arguments and of the keys of its answer's JSON."""
        document = self.kind.show(value) if self.kind else None
        return template.format(**{**arguments, **(document if isinstance(document, dict) else {})})

    @property
    def in_path(self) -> list[str]:
        """The names that stand in its path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def in_query(self) -> list[Argument]:
        """The arguments that stand in the query."""
        by_query = self.body or self.method in ("GET", "DELETE")
        return [each for each in self.arguments if each.name not in self.in_path] if by_query else []

    @property
    def in_body(self) -> list[Argument]:
        """The arguments that stand in the body."""
        elsewhere = (*self.in_path, *(each.name for each in self.in_query))
        return [each for each in self.arguments if each.name not in elsewhere]


def plain(
    name: str, method: str, path: str, tag: str, summary: str, function: Callable[..., T], kind: AnswerKind, told: str,
    *, status: int = 200, **more: Any,
) -> Operation[T]:  # fmt: skip
    """The row of an operation that every interface does in the same way."""
    answers = (Answer(None if status == 204 else kind.schema, told, status),)
    return Operation(name, method, API + path, tag, summary, answers, function=function, kind=kind, **more)


def rows_of(rooms: Iterable[Any]) -> list[Operation[Any]]:
    """The rows in these modules, each beside its function."""
    return [each for room in rooms for each in vars(room).values() if isinstance(each, Operation)]
