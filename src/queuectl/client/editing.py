"""Changes jobs that are not running, each as a whole: by keys of a job's JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from queuectl.client.acting import DETAIL_MAX, in_batches
from queuectl.client.enqueueing import check_units_of
from queuectl.client.values import Changed, Progress
from queuectl.domain.batch import lock_of, needs, with_lock
from queuectl.domain.errors import Conflict, Invalid, not_an_id
from queuectl.domain.fields import SETTABLE, Field
from queuectl.domain.job import Job, JobState
from queuectl.domain.proposed import named
from queuectl.factory import JobFactory, with_command
from queuectl.settings import Settings
from queuectl.store.port import Store
from queuectl.store.selections import Refs
from queuectl.typed import Any
from queuectl.wire.jobs import command_line
from queuectl.wire.kinds import check_command, check_script
from queuectl.wire.requests import COLUMNS, JobChanges, emptied, not_a_list
from queuectl.wire.sizes import format_size
from queuectl.wire.times import format_duration, format_second

TIMES = ("run_at", "delay", "start_by", "expires")
"""Keys that only a job that waits can have."""
SHOWN_MAX = 300
"""Most characters of a value in the audit log."""

_WORDS: Mapping[str, Callable[[Any], str]] = {
    "command": command_line, "time": format_second, "duration": format_duration,
    "positive duration": format_duration, "duration or none": format_duration,
    "size": format_size, "umask": "{:04o}".format, "number": "{:g}".format,
    "script": lambda text: f"{len(text.encode()):,} bytes", "flag": lambda flag: "true" if flag else "false",
}  # fmt: skip
_FIELDS = {field.name: field for field in SETTABLE}


def change(store: Store, who: str, refs: Refs, changes: JobChanges, progress: Progress | None = None) -> Changed:
    """Changes the jobs. Refuses those that run or have completed."""
    edited = Editor(store, who, changes)
    return in_batches(store, refs, lambda batch: store.edit(batch, edited, who), progress)


def move(store: Store, who: str, ref: str, before: str | None, front: bool) -> Job:
    """Moves a job in line; see `Client.move`."""
    if front == (before is not None):
        raise Invalid("give either front or before", "move it to the front, or before another job")
    for each in (ref, before if before is not None else ref):
        if not isinstance(each, str):
            raise not_an_id(each)
    return store.move(ref, before, who)


class Editor:
    """Makes the new values of a job's attributes, and tells what was changed into what."""

    def __init__(self, store: Store, who: str, changes: JobChanges) -> None:
        self._store, self._who, self._changes = store, who, changes
        self._now = store.now()
        self._locks = {lock.name: lock for lock in store.locks()} if "locks" in changes.given else {}

    @cached_property
    def _factory(self) -> JobFactory:
        return JobFactory(Settings(self._store.config(), self._store.defaults), self._now, self._who)

    def __call__(self, job: Job) -> tuple[Mapping[str, Any], str]:
        """The values, and the words. Raises `Conflict`, `Invalid`."""
        _check_state(job, self._changes.given)
        values = {**self._columns(job), **self._spec(job)}
        if "locks" in values and job.batch is not None and needs(job.locks, lock_of(job.batch)):
            values["locks"] = with_lock(values["locks"], lock_of(job.batch))  # a limit of the batch is not the job's
        after = job._replace(**values)
        if "locks" in values:
            check_units_of(after, self._locks)
        values |= self._start_by(job, after)
        return values, "; ".join(self._told(job, after))[:DETAIL_MAX]

    def _columns(self, job: Job) -> dict[str, Any]:
        request, lifted = self._changes.request, self._changes.lifted
        values = {**request.columns, **dict.fromkeys(lifted & COLUMNS, ())}
        if "command" in self._changes.given:
            values["command"] = request.command
        if self._changes.replace is not None:
            values["command"] = _replaced(job, *self._changes.replace)
        if request.delay is not None:
            values["run_at"] = self._now + request.delay
        if request.run_at is not None:
            values["run_at"] = request.run_at
        return values

    def _spec(self, job: Job) -> dict[str, Any]:
        given = {**with_command(self._changes.given, self._changes.request.spec), **emptied(self._changes.lifted)}
        if self._changes.replace is not None and job.spec.script is not None:
            given["script"] = check_script(job.spec.script.replace(*self._changes.replace), "script")
        if "start_by" in self._changes.given:
            given["expires"] = None
        if not given or all(getattr(job.spec, key) == value for key, value in given.items()):
            return {}
        spec = self._factory.spec_with(job.spec, given)
        if unset := self._changes.unset:
            spec = spec._replace(env={name: text for name, text in spec.env.items() if name not in unset})
        if both := sorted({*spec.retry_on} & {*spec.fatal_on}):
            raise Invalid(f"exit code {both[0]} is in retry_on and in fatal_on", "either it retries, or it never does")
        if spec.script is not None and isinstance(self._columns(job).get("command", job.command), str):
            raise not_a_list()
        return {"spec": spec}

    def _start_by(self, job: Job, after: Job) -> dict[str, Any]:
        """By when it has to start: as given, or so long after it is due."""
        given = self._changes.given
        if "start_by" in given or ("expires" in given and after.spec.expires is None):
            return {"start_by": self._changes.request.start_by}
        moved = job.start_by is not None and after.run_at != job.run_at
        if after.spec.expires is not None and ("expires" in given or moved):
            return {"start_by": after.due_at + after.spec.expires}
        return {}

    def _told(self, job: Job, after: Job) -> Iterator[str]:
        keys = {"run_at" if key == "delay" else key: None for key in self._changes.given}
        if self._changes.replace is not None:
            keys["command"] = None
        if keys.keys() & {"command", "script"}:
            keys |= {"command": None, "script": None}
        after = after._replace(**self._start_by(job, after))
        for key in keys:
            field = _FIELDS[key]
            was, now = (getattr(each.spec if field.place == "spec" else each, key) for each in (job, after))
            if was != now:
                yield _told(field, was, now)


def contains(job: Job, replace: tuple[str, str]) -> bool:
    """Whether the job's command or script has the text to replace."""
    words = (job.command,) if isinstance(job.command, str) else job.command
    return any(replace[0] in word for word in (*words, job.spec.script or ""))


def _check_state(job: Job, given: Sequence[str]) -> None:
    """Raises `Conflict` if the job is not to be changed so."""
    again = f"add it again with other values: queuectl clone {job.id}"
    if job.state is JobState.PROCESSING:
        raise Conflict(f"job {job.id} is running and cannot be changed", f"cancel it first, or {again}")
    if job.state is JobState.COMPLETED:
        raise Conflict(f"job {job.id} has completed and cannot be changed", again)
    if job.finished and (times := [key for key in TIMES if key in given]):
        raise Conflict(
            f"job {job.id} is {job.state}, so its {times[0]} cannot be changed",
            f"run it again: queuectl retry {named(job.id)}",
        )


def _replaced(job: Job, old: str, new: str) -> str | tuple[str, ...]:
    """The job's command with the text replaced, in each word of a list."""
    if not contains(job, (old, new)):
        hint = f"see it: queuectl show {named(job.id)}"
        raise Conflict(f"the command of job {job.id} does not contain {old!r}", hint)
    if isinstance(job.command, str):
        return check_command(job.command.replace(old, new), "command")
    return check_command([word.replace(old, new) for word in job.command], "command")


def _told(field: Field, was: Any, now: Any) -> str:
    if field.kind == "variables":  # their values may be secret
        names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
        return f"{field.name}: {', '.join(names)}"
    return f"{field.name}: {_shown(field, was)} → {_shown(field, now)}"


def _shown(field: Field, value: Any) -> str:
    """A value for people, short."""
    if value is None or value == ():
        return "none"
    if field.kind in _WORDS:
        text = _WORDS[field.kind](value)
    else:
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
