"""A row of the table of operations: a use case with its arguments, answer, path and command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from queuectl.client.shapes import Kind as AnswerKind
from queuectl.client.shapes import same
from queuectl.domain.errors import Invalid, NotFound, not_an_id
from queuectl.typed import Any, Generic, NamedTuple, TypeVar
from queuectl.wire import kinds, schema
from queuectl.wire.keywords import seconds_of
from queuectl.wire.kinds import check_filled, check_flag, check_queue, check_text, may_be_id, shown, whole_number
from queuectl.wire.schema import Schema
from queuectl.wire.times import parse_duration

T = TypeVar("T")

API = "/api/v1"
JSON = "application/json"

JOBS, DLQ, ACTIVITY, ADMINISTRATION, SERVER = "Jobs", "Dead letter queue", "Activity", "Administration", "Server"
"""The parts of the API's document."""
WORKERS, LIMITS, WEB, SETUP = "Workers", "Queues and locks", "Access and interfaces", "Setup and upkeep"
SCHEDULES = "Schedules"
"""Groups of commands, in addition to `JOBS` and `DLQ`; `LIMITS` and `SCHEDULES` are parts of the document too."""


# --- arguments ------------------------------------------------------------------------------


class Kind(NamedTuple):
    """The type of an argument's values. `read` makes one from JSON or a word, and raises `Invalid`; `send` is its
    inverse."""

    schema: Schema
    read: Callable[[Any, str], Any]
    send: Callable[[Any], Any] = same


TEXT = Kind(schema.STORABLE, check_text)
FILLED = Kind(schema.STORABLE, check_filled)
NAME = Kind({"type": "string", "pattern": f"^{kinds.NAME}$"}, check_queue)
FLAG = Kind(schema.FLAG, check_flag)
DURATION = Kind(schema.DURATION, parse_duration, lambda duration: round(seconds_of(duration), 3))
SELECTION = Kind(schema.ref("Selector"), lambda given, _: given)
"""A selection of jobs, parsed by `wire.selections` once the store's time is known. Each interface has its own words."""
DEAD = SELECTION._replace(send=lambda selector: selector._replace(states=()))
"""Dead jobs: selected by anything but their state."""


def job_ref(ref: str) -> str:
    """A job's id in a path. Raises `NotFound` if it cannot be one, which could lead to another path, and `Invalid`."""
    if not isinstance(ref, str):
        raise not_an_id(ref)
    if not may_be_id(ref):
        raise NotFound(f"no job {ref}", "see the ids with: queuectl list")
    return ref


JOB = Kind(schema.TEXT, check_text, job_ref)


def number(least: int, most: int) -> Kind:
    """A whole number."""
    return Kind({"type": "integer", "minimum": least, "maximum": most}, whole_number(least, most))


ROW = number(1, 1 << 62)
"""The number that a store has given to a job or a deed."""
CURSOR = ROW._replace(schema={"type": "string", "pattern": "^[1-9][0-9]{0,17}$"})


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

    `spelled` is its form on the command line: an option such as `--limit N`, or the name of a word (default: `name`).
    `told` describes it in the API's document. `many`: its value is a list. `each`: several words may be given, for one
    call each. `typed`: the command line has it. `by_query`: it stands in the query, whatever the method.
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
    by_query: bool = False

    def read(self, value: Any, what: str = "") -> Any:
        """The value of a given one. Raises `Invalid`."""
        what = what or self.name
        if value is None and self.default is not REQUIRED:
            return self.default
        if not self.many:
            return self.kind.read(value, what)
        if not isinstance(value, (list, tuple)):
            raise Invalid(f"{what} must be a list, not {shown(value)}")
        return [self.kind.read(each, what) for each in value]

    def read_from(self, given: Mapping[str, Any]) -> Any:
        """Its value among those given, or its default. Raises `Invalid` if it is missing."""
        if self.name not in given and self.default is REQUIRED:
            raise Invalid(f"{self.name} is missing")
        return self.read(given[self.name]) if self.name in given else self.default

    def send(self, value: Any) -> Any:
        """A value as JSON."""
        if not self.many:
            return self.kind.send(value)
        return [self.kind.send(each) for each in ([value] if isinstance(value, str) else value)]

    @property
    def schema(self) -> Schema:
        """The schema of its values."""
        own = schema.listed(self.kind.schema) if self.many else self.kind.schema
        return schema.nullable(own) if self.default is None else own


# --- answers --------------------------------------------------------------------------------


class Answer(NamedTuple):
    """A successful answer over HTTP. No schema: it has no body."""

    schema: Schema | None
    description: str
    status: int = 200
    media_type: str = JSON


class Command(NamedTuple):
    """The command of a plain operation; it needs nothing else.

    `said` is the line printed for a value, `bare` the one with `--quiet` (default: the value's first key). Both are
    templates of the arguments and the keys of the value's JSON. Without `said`, a list is a table with a column for
    each key, and another value has a line for each key. `nothing` is printed for an empty list, and the template `idle`
    instead of `said` for a value that says that it has `changed` nothing. `confirm`, a template of the arguments, is
    asked first; if nobody can be asked, `--yes` is needed. `makes_store`: makes the store if it does not exist.
    `frees_room`: may use the reserved space on a full disk.
    """

    name: str
    group: str
    help: str
    description: str
    examples: tuple[str, ...]
    said: str = ""
    bare: str = ""
    nothing: str = "there is none"
    idle: str = ""
    confirm: str = ""
    makes_store: bool = False
    frees_room: bool = False


# --- operations -----------------------------------------------------------------------------


class Operation(NamedTuple, Generic[T]):
    """A use case. `name` is its id in the API's document; interfaces find their own handlers by it.

    `function` is called with the store, the user's name, and the arguments by name. Without one, each interface has its
    own handler, and `answers` describe it. `body` is the schema of a body that is more than an object of its arguments.
    `kind` is the type of the answer. `deed` is its entry in the audit log: a kind and a template of the arguments.
    `ends`: it may have running commands ended. `fails` are statuses of failures in addition to those of every
    operation. `full_only`: even reading needs a full token. `open`: it needs no token.
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
    ends: bool = False
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
        """The names in its path."""
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def in_query(self) -> list[Argument]:
        """The arguments in the query."""
        every = self.method in ("GET", "DELETE")
        return [each for each in self.arguments if each.name not in self.in_path and (every or each.by_query)]

    @property
    def in_body(self) -> list[Argument]:
        """The arguments in the body."""
        elsewhere = (*self.in_path, *(each.name for each in self.in_query))
        return [each for each in self.arguments if each.name not in elsewhere]


def plain(
    name: str, method: str, path: str, tag: str, summary: str, function: Callable[..., T], kind: AnswerKind, told: str,
    *, status: int = 200, **more: Any,
) -> Operation[T]:  # fmt: skip
    """The row of an operation that is the same in every interface."""
    answers = (Answer(None if status == 204 else kind.schema, told, status),)
    return Operation(name, method, API + path, tag, summary, answers, function=function, kind=kind, **more)


def rows_of(rooms: Iterable[Any]) -> list[Operation[Any]]:
    """The rows in these modules."""
    return [each for room in rooms for each in vars(room).values() if isinstance(each, Operation)]
