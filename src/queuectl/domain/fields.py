"""Every key of a job, one row each, in the order in which its JSON shows them.

From a row follow: the check of what users give, JSON in both directions, the JSON schemas, the options of `enqueue` and
their help, the dashboard's form, the command line that would enqueue a job again, what a supervisor is told, the rows
of both stores, and the SQL function `enqueue`. A new key is a row here, an attribute of `Spec` or `Job`, and what it
does.
"""

from enum import StrEnum
from typing import NamedTuple


class Shape(StrEnum):
    """What a value looks like. Each shape has one check, one schema and one form as text: see wire/kinds.py."""

    TEXT = "text"
    FILLED_TEXT = "filled text"
    PATH = "path"
    """Text that is not empty; made absolute where the job is enqueued."""
    ID = "id"
    NAME = "name"
    NAMES = "names"
    COMMAND = "command"
    WHOLE_NUMBER = "whole number"
    NUMBER = "number"
    FLAG = "flag"
    TIME = "time"
    DURATION = "duration"
    EXIT_CODES = "exit codes"
    UMASK = "umask"
    VARIABLES = "variables"
    STATE = "state"
    WORKER = "worker"
    UNSUPPORTED = "unsupported"


class Kind(NamedTuple):
    """A shape with its bounds. `nullable`: null stands for a value that is absent, not for the default."""

    shape: Shape
    low: float = 0
    high: float = 0
    above_low: bool = False
    nullable: bool = False


class Place(StrEnum):
    """Where a value is kept."""

    SPEC = "spec"
    """In the spec, which many jobs share: an attribute of `Spec`. Fixed when the job is enqueued."""
    COLUMN = "column"
    """In a column of its own, since jobs are selected or ordered by it: an attribute of `Job`."""
    LIFE = "life"
    """The same, written by what happens to the job."""
    NOWHERE = "nowhere"
    """Computed where it is shown, or only used where the job is enqueued."""


class Setter(StrEnum):
    """Who writes a value."""

    USER = "user"
    """Whoever enqueues the job."""
    QUEUECTL = "queuectl"
    """Refused as input."""
    IGNORED = "ignored"
    """Written by queuectl, and accepted as input with the value of a new job, or any."""
    LATER = "later"
    """A key of the contract that this version cannot honour: refused rather than dropped in silence."""


class Input(NamedTuple):
    """How people give a value: the option with its metavar (none for a flag), its help, and the form's label."""

    option: str
    metavar: str | None
    help: str
    label: str = ""
    hint: str = ""


class Field(NamedTuple):
    """One key. `told`: the supervisor needs it to run the command."""

    name: str
    kind: Kind
    place: Place
    setter: Setter = Setter.USER
    input: Input | None = None
    told: bool = False
    shown: bool = True


PRIORITY_MAX = 1_000_000
RETRIES_MAX = 1_000_000
BACKOFF_BASE_MAX = 1000

_text = Kind(Shape.TEXT, nullable=True)
_path = Kind(Shape.PATH, nullable=True)
_duration = Kind(Shape.DURATION)
_seconds = Kind(Shape.NUMBER, nullable=True)
_count = Kind(Shape.WHOLE_NUMBER, high=float("inf"))
_whole = Kind(Shape.WHOLE_NUMBER, high=float("inf"), nullable=True)
_time = Kind(Shape.TIME, nullable=True)
_unsupported = Kind(Shape.UNSUPPORTED, nullable=True)

_SPEC, _COLUMN, _LIFE, _NOWHERE = Place.SPEC, Place.COLUMN, Place.LIFE, Place.NOWHERE
_OURS = Setter.QUEUECTL

FIELDS: tuple[Field, ...] = (
    Field("id", Kind(Shape.ID), _COLUMN, input=Input("--id", "ID", "the job's id (default: a random one)", "Id")),
    Field("command", Kind(Shape.COMMAND), _COLUMN, told=True),
    Field("state", Kind(Shape.STATE), _LIFE, Setter.IGNORED),
    Field("attempts", _count, _LIFE, Setter.IGNORED),
    Field(
        "max_retries", Kind(Shape.WHOLE_NUMBER, high=RETRIES_MAX), _SPEC,
        input=Input("--max-retries", "N", "retries after the first run", "Retries"),
    ),
    Field("created_at", Kind(Shape.TIME), _COLUMN, Setter.IGNORED),
    Field("updated_at", Kind(Shape.TIME), _LIFE, Setter.IGNORED),
    Field("queue", Kind(Shape.NAME), _COLUMN, input=Input("--queue", "QUEUE", "the queue (default: default)", "Queue")),
    Field(
        "priority", Kind(Shape.WHOLE_NUMBER, -PRIORITY_MAX, PRIORITY_MAX), _COLUMN,
        input=Input("--priority", "N", "higher runs first (default: 0)", "Priority", "higher runs first"),
    ),
    Field(
        "run_at", Kind(Shape.TIME), _COLUMN,
        input=Input("--at", "TIME", "not before: 18:00, '2026-11-21 18:00', RFC 3339", "Not before"),
    ),
    Field(
        "delay", _duration, _NOWHERE, shown=False,
        input=Input("--delay", "DURATION", "not before this has passed: 90, 10m, 1h30m", "Delay"),
    ),
    Field(
        "timeout", Kind(Shape.DURATION, above_low=True, nullable=True), _SPEC,
        input=Input("--timeout", "DURATION", "time limit of one attempt", "Time limit"),
    ),
    Field(
        "kill_grace", _duration, _SPEC,
        input=Input("--kill-grace", "DURATION", "from SIGTERM to SIGKILL when it is ended", "From SIGTERM to SIGKILL"),
    ),
    Field(
        "backoff_base", Kind(Shape.NUMBER, 1, BACKOFF_BASE_MAX), _SPEC,
        input=Input("--backoff-base", "X", "each delay is X times the one before", "Each delay times"),
    ),
    Field(
        "backoff_initial", _duration, _SPEC,
        input=Input("--backoff-initial", "DURATION", "delay before the first retry", "First retry after"),
    ),
    Field(
        "backoff_max", _duration, _SPEC,
        input=Input("--backoff-max", "DURATION", "longest delay between retries", "Longest delay"),
    ),
    Field(
        "backoff_jitter", Kind(Shape.NUMBER, 0, 1), _SPEC,
        input=Input("--backoff-jitter", "FRACTION", "0..1 of a delay taken off at random", "Jitter"),
    ),
    Field(
        "retry_on", Kind(Shape.EXIT_CODES), _SPEC,
        input=Input("--retry-on", "CODES", "retry only on these exit codes, e.g. 75,111", "Retry only on exit codes"),
    ),
    Field(
        "fatal_on", Kind(Shape.EXIT_CODES), _SPEC,
        input=Input(
            "--fatal-on", "CODES", "never retry on these exit codes; 128+n means signal n", "Never retry on exit codes"
        ),
    ),
    Field("cwd", _path, _SPEC, input=Input("--cwd", "FOLDER", "where it runs (default: here)", "Folder"), told=True),
    Field("umask", Kind(Shape.UMASK, nullable=True), _SPEC, told=True),
    Field(
        "env", Kind(Shape.VARIABLES), _SPEC, told=True,
        input=Input("--env", "NAME[=VALUE]", "a variable for the command (without =: as it is here)", "Variables"),
    ),
    Field("captured", Kind(Shape.NAMES), _SPEC, _OURS, told=True, shown=False),
    Field("secrets", _unsupported, _NOWHERE, Setter.LATER),
    Field(
        "shell", Kind(Shape.FILLED_TEXT), _SPEC, told=True,
        input=Input("--shell", "PATH", "what runs a command that is a string (default: /bin/sh)", "Shell"),
    ),
    Field(
        "stdin", _path, _SPEC, told=True,
        input=Input("--stdin", "FILE", "its input, opened at each attempt (default: empty)", "Input from file"),
    ),
    Field(
        "output_path", _path, _SPEC, told=True,
        input=Input("--output", "PATH", "also write its output to this file", "Output also to file"),
    ),
    Field(
        "split_output", Kind(Shape.FLAG), _SPEC, told=True,
        input=Input("--split-output", None, "keep stdout and stderr apart", "Keep stdout and stderr apart"),
    ),
    Field(
        "tags", Kind(Shape.NAMES), _COLUMN,
        input=Input("--tag", "TAG", "a mark to select it by; may be repeated", "Tags"),
    ),
    Field("batch", _unsupported, _NOWHERE, Setter.LATER),
    Field("schedule", _unsupported, _NOWHERE, _OURS),
    Field("unique_key", _unsupported, _NOWHERE, Setter.LATER),
    Field("depends_on", _unsupported, _NOWHERE, Setter.LATER),
    Field("locks", _unsupported, _NOWHERE, Setter.LATER),
    Field(
        "held", Kind(Shape.FLAG), _COLUMN,
        input=Input("--hold", None, "do not run it until it is released", "Hold it until it is released"),
    ),
    Field("on_success", _unsupported, _NOWHERE, Setter.LATER),
    Field("on_failure", _unsupported, _NOWHERE, Setter.LATER),
    Field("on_dead", _unsupported, _NOWHERE, Setter.LATER),
    Field("owner", _text, _COLUMN, _OURS),
    Field("worker", Kind(Shape.WORKER, nullable=True), _LIFE, _OURS),
    Field("host", _text, _LIFE, _OURS),
    Field("lease", _count, _LIFE, _OURS),
    Field("lost", _count, _LIFE, _OURS),
    Field("started_at", _time, _LIFE, _OURS),
    Field("finished_at", _time, _LIFE, _OURS),
    Field("duration", _seconds, _NOWHERE, _OURS),
    Field("next_retry_at", _time, _LIFE, _OURS),
    Field("exit_code", _whole, _LIFE, _OURS),
    Field("signal", _whole, _LIFE, _OURS),
    Field("error", _text, _LIFE, _OURS),
    Field("progress", _unsupported, _NOWHERE, _OURS),
    Field("result", _unsupported, _NOWHERE, _OURS),
    Field("output_bytes", _whole, _LIFE, _OURS),
    Field("cpu_time", _seconds, _LIFE, _OURS),
    Field("max_rss", _whole, _LIFE, _OURS),
    Field("reason", _text, _NOWHERE, _OURS),
)  # fmt: skip
