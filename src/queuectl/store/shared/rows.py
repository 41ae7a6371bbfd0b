"""Jobs, attempts and selections as rows: what every SQL store shares.

Values are exactly int, float, str, bytes or None. A driver first has to look up how to write a bool or a member of an
enum, which costs as much as writing it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter

from queuectl.domain.errors import Invalid, NotFound, not_an_id
from queuectl.domain.fields import FIELDS, SETTABLE
from queuectl.domain.job import HOOKS, Attempt, Job, JobState, Outcome, Spec
from queuectl.domain.selector import NO_FAULT, Selector
from queuectl.store.values import Change, Output
from queuectl.typed import Any, NamedTuple

COMPRESS_FROM_BYTES = 256
SPECS_KNOWN_MAX = 5000
"""How many specs a store remembers. Most jobs share a few; some have one each."""
PREFIX_MIN = 4
"""A shorter prefix does not stand for an id."""

_FIELDS = {field.name: field for field in FIELDS if field.name in Job._fields}
LISTS = [name for name, field in _FIELDS.items() if field.kind in ("names", "locks", "dependencies")]
FLAGS = [name for name, kind in Job.__annotations__.items() if kind == "bool"]

JOB_COLUMNS = ", ".join([*Job._fields, "words"])
SPEC_AT = Job._fields.index("spec")
_COMMAND_AT = Job._fields.index("command")

LIFE = (
    "unmet", "cancel_requested", "starts", "lost_in_row", "last_line", "fault",
    *(name for name, field in _FIELDS.items() if field.place == "life" and name != "lease"),
)  # fmt: skip
"""The columns that change in a job's life."""

_BORN = (
    "generated_id", "state", "unmet", "updated_at",
    *(name for name, field in _FIELDS.items() if field.place == "column" or field.setter == "user"),
)  # fmt: skip
BORN = (*_BORN, "due_at", "words", "spec", "ready")
"""The columns that a new job's row has a value for."""
AT_BIRTH = ("created_at", "run_at", "next_retry_at", "place")
"""The attributes that `due_at` follows from."""

EDITED = (
    *(field.name for field in SETTABLE if field.place == "column"),
    "batch",
    "schedule",
    "scheduled_at",
    "owner",
    "unique_until",
    "words",
    "spec",
)
"""The columns that may change while a job waits, in addition to those of a job's life."""

ABOVE_ALL = 1 << 62
"""Greater than any id, `seq`, priority and number of rows."""
UNFINISHED = "IN ('blocked', 'pending', 'processing', 'failed')"
WAITING = "IN ('blocked', 'pending', 'failed')"
"""What follows a column for jobs that have not finished, and for those of them that nobody runs. As literals, not as
parameters: only then may a prepared plan use a partial index."""

ATTEMPT_COLUMNS = ", ".join(Attempt._fields)
OUTPUT_COLUMNS = "stream, head, tail, cut_bytes, compressed"


def _attributes(*names: str) -> attrgetter[tuple[Any, ...]]:
    """A getter of these attributes of a job, with plain values for flags and states."""
    plain = {"state": "state._value_", **{name: f"{name}.real" for name in FLAGS}}
    return attrgetter(*(plain.get(name, name) for name in names))


_STATES = {state.value: state for state in JobState}
_CONVERTED: list[tuple[int, Callable[[Any], Any]]] = [
    (Job._fields.index("state"), _STATES.__getitem__),
    *((Job._fields.index(name), bool) for name in FLAGS),
    *((Job._fields.index(name), lambda text: tuple(json.loads(text)) if text else ()) for name in LISTS),
]
"""The columns whose values are converted for a `Job`."""


def job_from_row(row: Sequence[Any], spec_of: Callable[[int], Spec]) -> Job:
    """The job in a row of `JOB_COLUMNS`."""
    *values, words = row
    if words:
        values[_COMMAND_AT] = tuple(json.loads(words))
    values[SPEC_AT] = spec_of(values[SPEC_AT])
    for at, convert in _CONVERTED:
        values[at] = convert(values[at])
    return Job._make(values)


def list_text(values: Sequence[str]) -> str | None:
    """The value of a column with a list; None for an empty one."""
    return json.dumps(values) if values else None


MANY = 50
"""From this many rows on, they are turned into jobs column by column."""


def jobs_from_rows(found: Sequence[Sequence[Any]], spec_of: Callable[[int], Spec]) -> list[Job]:
    """The jobs in rows of `JOB_COLUMNS`."""
    if len(found) < MANY:
        return [job_from_row(row, spec_of) for row in found]
    *columns, words = zip(*found, strict=True)
    values: list[Iterable[Any]] = list(columns)
    if words.count(None) < len(words):
        commands = zip(words, columns[_COMMAND_AT], strict=True)
        values[_COMMAND_AT] = [tuple(json.loads(text)) if text else command for text, command in commands]
    for at, convert in (*_CONVERTED, (SPEC_AT, spec_of)):
        column = columns[at]
        same = column[0] is column[-1] and column.count(column[0]) == len(column)
        values[at] = repeat(convert(column[0]), len(column)) if same else map(convert, column)
    return list(map(_new_job, repeat(Job), zip(*values, strict=True)))


_new_job = tuple.__new__


def is_ready(job: Job, now: float) -> bool:
    """Whether the job belongs in the claim index. A job that is due later is promoted when its time comes."""
    return job.claimable and (job.due_at <= now or job.undelayed)


_values_of_life = _attributes(*LIFE, "due_at", "seq", "lease")


def life_of(job: Job, was: JobState, holder: str | None, now: float) -> tuple[object, ...]:
    """The values of the query `write_job`: what changes in a job's life, and who must hold the job for that."""
    return (int(is_ready(job, now)), *_values_of_life(job), was._value_, holder)


def output_row(change: Change, after: Job, output: Output) -> tuple[object, ...]:
    """The values of the query `write_output`. Longer output is compressed."""
    head, tail = output.head, output.tail
    if compress := len(head) >= COMPRESS_FROM_BYTES:
        import zlib  # a library that few commands need

        head, tail = zlib.compress(head, 1), zlib.compress(tail, 1) if tail else tail
    return change.job.seq, after.starts, output.stream, head, tail or None, output.cut_bytes, int(compress)


def output_from_row(row: Sequence[Any]) -> Output:
    """The output in a row of `OUTPUT_COLUMNS`."""
    stream, head, tail, cut_bytes, compressed = row
    if compressed:
        import zlib

        head, tail = zlib.decompress(head), zlib.decompress(tail) if tail else None
    return Output(stream=stream, head=bytes(head), tail=bytes(tail or b""), cut_bytes=cut_bytes)


def attempt_from_row(row: Sequence[Any]) -> Attempt:
    """The attempt in a row of `ATTEMPT_COLUMNS`."""
    fields: dict[str, Any] = dict(zip(Attempt._fields, row, strict=True))
    fields["output_files"] = tuple(json.loads(fields["output_files"] or "[]"))
    fields["outcome"] = Outcome(fields["outcome"]) if fields["outcome"] else None
    return Attempt(**fields)


SEARCHED = " || ' ' || ".join(
    ["id", "queue", "command", *(f"coalesce({name}, '')" for name in ("tags", "error", "last_line"))]
)


class Dialect(NamedTuple):
    """What the databases spell differently within a statement, with `?` for each parameter.

    - `integer`: an integer parameter.
    - `any_of`: the condition, after a column, that it equals any value of a list. `array` makes the parameter.
    - `tag`, `command`, `error`: conditions on these columns; `text` on all that is searched. `pattern`
      converts a GLOB for `command`.
    - `is_parked`, `parked`: whether a job waits in the line of its locks, and what `ready` is then.
    - `locked`: the end of a query that locks its jobs until this transaction ends.
    - `pairs`: a query of two columns of text, each from an array.
    - `retries`: the beginning of what follows `FROM jobs` for failed jobs that run again.
    - `shared_unlocked`: the end of a query for one job that stays as it is until this transaction ends, unless somebody
      else is changing it, in which case it is not found.
    - `greatest`: the function that returns its greatest argument.
    - `each_of`: a query of one column of text, `each`, from an array.
    - `first_unlocked`: the end of a query that locks the first few jobs that nobody else is changing.
    - `kept`: the end of a query for rows that nobody removes until this transaction ends. `removable`: of one that
      locks rows to remove them, but for those that somebody keeps or is changing.
    """

    integer: str
    any_of: str
    array: Callable[[Sequence[object]], object]
    tag: str
    command: str
    error: str
    text: str
    pattern: Callable[[str], str]
    is_parked: str
    parked: str
    locked: str
    skip_locked: str
    shared_unlocked: str
    first_unlocked: str
    kept: str
    removable: str
    pairs: str
    retries: str
    greatest: str
    each_of: str


# Only one transaction writes to the file at a time, so nothing is locked.
SQLITE = Dialect(
    integer="?",
    any_of="IN (SELECT value FROM json_each(?))",
    array=json.dumps,
    tag="EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)",
    command="command GLOB ?",
    error="instr(lower(error), lower(?)) > 0",
    text=f"instr(lower({SEARCHED}), lower(?)) > 0",
    pattern=str,
    is_parked="ready = 2",
    parked="2",
    locked="",
    skip_locked="",
    shared_unlocked="",
    first_unlocked="LIMIT ?",
    kept="",
    removable="",
    pairs="SELECT one.value, other.value FROM json_each(?) AS one JOIN json_each(?) AS other USING (key) WHERE true",
    retries="INDEXED BY jobs_retries WHERE state = 'failed' AND held = 0",
    greatest="max",
    each_of="SELECT value AS each FROM json_each(?)",
)


def where(selector: Selector, dialect: Dialect) -> tuple[str, list[object]]:
    """The selection as an SQL condition and its parameters."""
    parts: list[str] = []
    values: list[object] = []

    def any_of(condition: str, wanted: Sequence[object]) -> None:
        if wanted:
            parts.append("(" + " OR ".join([condition] * len(wanted)) + ")")
            values.extend(wanted)

    def one_of(column: str, wanted: Sequence[object], mark: str = "?") -> None:
        if wanted:
            parts.append(f"{column} IN ({', '.join([mark] * len(wanted))})")
            values.extend(wanted)

    one_of("id", selector.ids)
    if selector.hooks is not None and not selector.ids and HOOKS not in selector.queues:
        parts.append(f"queue {'=' if selector.hooks else '<>'} '{HOOKS}'")
    if selector.states:  # as literals, see `UNFINISHED`
        parts.append("(" + " OR ".join(f"state = '{state_of(state)}'" for state in selector.states) + ")")
    if selector.states and JobState.COMPLETED not in selector.states:
        parts.append("state <> 'completed'")
    one_of("queue", selector.queues)
    one_of("batch", selector.batches)
    one_of("schedule", selector.schedules)
    one_of("owner", selector.owners)
    one_of("exit_code", selector.exit_codes, dialect.integer)
    one_of(f"coalesce(fault, '{NO_FAULT}')" if NO_FAULT in selector.faults else "fault", selector.faults)
    any_of(dialect.tag, selector.tags)
    any_of(dialect.command, [dialect.pattern(glob) for glob in selector.commands])
    any_of(dialect.error, selector.errors)
    any_of(dialect.text, selector.texts)
    if selector.outcomes or selector.ended_after is not None or selector.ended_before is not None:
        ended, bounds = _ended(selector)
        parts.append(ended)
        values += bounds
    if selector.held is not None:
        parts.append(f"held = {selector.held}")
    if selector.before is not None:
        parts.append("updated_at < ?")
        values.append(selector.before)
    return " AND ".join(parts) or "1 = 1", values


def _ended(selector: Selector) -> tuple[str, list[object]]:
    """The condition that a job has an execution that ended so and then."""
    since, until = selector.ended_after, selector.ended_before
    text = "finished_at >= ? AND finished_at < ?"
    if selector.outcomes:
        text += f" AND outcome IN ({', '.join('?' * len(selector.outcomes))})"
    values = [0.0 if since is None else since, 1e12 if until is None else until]
    return f"seq IN (SELECT job FROM {{schema}}.attempts WHERE {text})", [*values, *map(str, selector.outcomes)]


def state_of(name: str) -> str:
    """The state's name; a program may have given it as text. Raises `Invalid`."""
    if name not in tuple(JobState):
        raise Invalid(f"unknown state {name!r}", f"one of {', '.join(JobState)}")
    return str(name)


def page(
    selector: Selector, dialect: Dialect, *, limit: int | None, newest_first: bool, after_seq: int | None,
    up_to_seq: int | None = None,
) -> tuple[str, list[object]]:  # fmt: skip
    """What follows `SELECT … FROM jobs` for a page of a selection, and its parameters.

    Several states are searched one by one, since each state has its own order in an index.
    """
    order = "DESC" if newest_first else "ASC"

    def of(some: Selector) -> tuple[str, list[object]]:
        condition, values = where(some, dialect)
        if after_seq is not None:
            condition += f" AND seq {'<' if newest_first else '>'} ?"
            values.append(after_seq)
        if up_to_seq is not None:
            condition += " AND seq <= ?"
            values.append(up_to_seq)
        if limit is None:
            return f"WHERE {condition} ORDER BY seq {order}", values
        return f"WHERE {condition} ORDER BY seq {order} LIMIT ?", [*values, limit]

    states = set(selector.states)
    if limit is None or len(states) < 2:
        return of(selector)
    parts = [of(selector._replace(states=(state,))) for state in sorted(states)]
    each = " UNION ALL ".join(
        f"SELECT seq FROM (SELECT seq FROM {{schema}}.jobs {rest}) AS of_state" for rest, _ in parts
    )
    values = [value for _, part in parts for value in part]
    first = f"SELECT seq FROM ({each}) AS of_states ORDER BY seq {order} LIMIT ?"
    return f"WHERE seq IN ({first}) ORDER BY seq {order}", [*values, limit]


def only_one(ref: str, find: Callable[[str, list[str]], list[Job]]) -> Job:
    """The job whose id is `ref`, or the only one whose generated id begins with it. Raises `NotFound` or `Invalid`.

    `find` returns the jobs of a condition, given its parameters.
    """
    if not isinstance(ref, str):
        raise not_an_id(ref)
    found = find("id = ?", [ref]) if can_be_id(ref) else []
    if not found and can_be_id(ref) and len(ref) >= PREFIX_MIN:
        beyond = ref[:-1] + chr(ord(ref[-1]) + 1)
        found = find("generated_id AND id >= ? AND id < ? LIMIT 3", [ref, beyond])
    if not found:
        raise NotFound(f"no job {ref}", "see the ids with: queuectl list")
    if len(found) > 1:
        raise Invalid(f"{ref} could be {' or '.join(job.id for job in found)}", "type more of the id")
    return found[0]


def can_be_id(ref: str) -> bool:
    """Whether a database can be asked for this id. Ids are ASCII."""
    return ref.isascii() and "\0" not in ref


def named_queries(text: str, **names: str) -> Mapping[str, str]:
    """The queries of an `.sql` file, each of which begins with `-- name: NAME`. `names` fills in `{NAME}`."""
    for key, value in names.items():
        text = text.replace("{" + key + "}", value)
    queries = {}
    for part in text.split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        queries[name.strip()] = body.strip().rstrip(";")
    return queries
