"""Checks a new job's JSON. All input goes through here; options and form fields arrive as the same keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from queuectl.domain.errors import Invalid
from queuectl.domain.fields import FIELDS, INPUT, SETTABLE
from queuectl.domain.unique import Rule
from queuectl.typed import Any, NamedTuple, TypeVar
from queuectl.wire import kinds
from queuectl.wire.times import parse_time

NOTHING: Mapping[str, Any] = MappingProxyType({})
T = TypeVar("T")


class JobRequest(NamedTuple):
    """A new job's given values: `spec` has attributes of `Spec`, `columns` others of `Job`."""

    command: str | tuple[str, ...]
    id: str | None = None
    run_at: float | None = None
    delay: float | None = None
    start_by: float | None = None
    on_conflict: Rule | None = None
    at_most: int | None = None
    max_fails: str | None = None
    columns: Mapping[str, Any] = NOTHING
    spec: Mapping[str, Any] = NOTHING


_JOB_KEYS = {field.name: kinds.check_of(field) for field in INPUT if field.place != "spec"}
SPEC_KEYS = {field.name: kinds.check_of(field) for field in INPUT if field.place == "spec"}
"""The check of each key that a user may give: check(value, key)."""

COLUMNS = frozenset(_JOB_KEYS) - frozenset(JobRequest._fields)
"""Keys whose values become attributes of a `Job` unchanged."""

EXCLUSIVE = (("run_at", "delay"), ("start_by", "expires"))
"""Keys of which only one may be given."""
_TIMES = frozenset(field.name for field in INPUT if field.kind == "time")

OF_BATCH = ("at_most", "max_fails")
"""Keys that say something of a job's batch."""

LIFTED_BY_NULL = frozenset(field.name for field in INPUT if field.kind == "hook")
"""Keys for which null says that the job has none, whatever its queue has; of any other key null says nothing."""

UNLIMITED = frozenset(field.name for field in INPUT if field.kind == "duration or none")
"""Keys for which `none` says that the job has none, whatever its queue or the settings have."""

ALIASES = {"base_backoff_seconds": "backoff_initial", "after": "depends_on"}
"""Other names of keys."""


def key_named(name: str) -> str:
    """The key that a name stands for."""
    key = name.replace("-", "_")
    return ALIASES.get(key, key)


_SETTERS = {field.name: field.setter for field in FIELDS if field.shown}
_WRITTEN = frozenset(name for name, setter in _SETTERS.items() if setter == "queuectl")

ONLY = {"state": ("pending", "a new job is always pending"), "attempts": (0, "a new job has had none")}
"""Keys that are ignored if they have a new job's value and refused otherwise, and why."""

PRINTED_BESIDE = frozenset({"executions", "events", "hooks", "output_tail"})
"""Keys that listings add to a job's own."""

INPUT_KEYS = (*_JOB_KEYS, *SPEC_KEYS, *ALIASES)
"""Every key that a new job's JSON may have."""


def parse_each(given: Iterable[T], parse: Callable[[T], JobRequest]) -> list[JobRequest]:
    """Parses each job of a list. An error names its number."""
    found = []
    for number, each in enumerate(given, 1):
        try:
            found.append(parse(each))
        except Invalid as error:
            raise Invalid(f"job {number}: {error.message}", error.hint) from None
    return found


def parse_request(document: object, now: float, spelled: Mapping[str, str] = NOTHING) -> JobRequest:
    """Parses a new job's JSON. Raises `Invalid` with the key, or as it was `spelled`, and the value."""
    if not isinstance(document, dict):
        raise Invalid(f"a job must be a JSON object, not {kinds.shown(document)}", 'e.g. {"command": "echo hello"}')
    job: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    for given, value in document.items():
        key = given.replace("-", "_")
        key = ALIASES.get(key, key)
        is_given = value is not None or key in LIFTED_BY_NULL
        if is_given and (key in job or key in spec):
            raise Invalid(f"{key} comes twice", "give it once")
        if key in _JOB_KEYS:
            if value is not None:
                job[key] = _JOB_KEYS[key](value, spelled.get(key, key))
        elif key in SPEC_KEYS:
            if is_given:
                spec[key] = None if value is None else SPEC_KEYS[key](value, spelled.get(key, key))
        else:
            _check_other(given, key, value)
    if "command" not in job:
        raise Invalid("a job needs a command", 'e.g. {"command": "echo hello"}')
    if "script" in spec and isinstance(job["command"], str):
        raise not_a_list()
    if both := sorted({*spec.get("retry_on", ())} & {*spec.get("fatal_on", ())}):
        named = " and in ".join(spelled.get(key, key) for key in ("retry_on", "fatal_on"))
        raise Invalid(f"exit code {both[0]} is in {named}", "either it retries, or it never does")
    if known := sorted({*spec.get("env", ())} & {*spec.get("secrets", ())}):
        named = " and in ".join(spelled.get(key, key) for key in ("env", "secrets"))
        raise Invalid(f"variable {known[0]} is in {named}", "a secret's value is the worker's alone")
    for one, other in EXCLUSIVE:
        if one in job and (other in job or other in spec):
            named = f"{spelled.get(one, one)} and {spelled.get(other, other)}"
            raise Invalid(f"{named} exclude each other", "give one of them")
    if "unique_key" not in job:
        _check_unique(job, spec, spelled)
    if "batch" not in job and (alone := next((key for key in OF_BATCH if key in job), None)):
        named = spelled.get(alone, alone)
        raise Invalid(f"{named} needs a batch", f"give {'--batch' if '--' in named else 'batch'} too")
    for key in _TIMES & job.keys():
        job[key] = parse_time(job[key], now, spelled.get(key, key))
    columns = {key: job.pop(key) for key in COLUMNS if key in job}
    return JobRequest(spec=spec, columns=columns, **job)


def _check_unique(job: Mapping[str, Any], spec: Mapping[str, Any], spelled: Mapping[str, str]) -> None:
    """Raises `Invalid` for what goes with a unique key alone."""
    named = spelled.get("unique_for", "unique_for") if "unique_for" in spec else ""
    if job.get("on_conflict") is Rule.REPLACE:
        named = f"{spelled.get('on_conflict', 'on_conflict')} replace"
    if named:
        raise Invalid(f"{named} needs a unique key", f"give {'--unique-key' if '--' in named else 'unique_key'} too")


class JobChanges(NamedTuple):
    """Changes of a job that waits: `request` has what is set, `lifted` the keys to be emptied, `given` all keys.

    `replace` is a text and another one to stand in its place in the command. `unset` are variables that go.
    """

    request: JobRequest
    lifted: frozenset[str] = frozenset()
    given: tuple[str, ...] = ()
    replace: tuple[str, str] | None = None
    unset: tuple[str, ...] = ()


_SETTABLE = {field.name: field for field in SETTABLE}
LISTS = ("names", "locks", "secrets", "exit codes")
LIFTABLE = frozenset(field.name for field in SETTABLE if field.nullable or field.kind in LISTS)
"""Keys that may be empty."""


def emptied(keys: Iterable[str]) -> dict[str, Any]:
    """What those of these keys that are of a spec, and may be empty, are without a value."""
    kinds_of = {key: _SETTABLE[key].kind for key in keys if key in SPEC_KEYS and key in LIFTABLE}
    return {key: () if kind in LISTS else None for key, kind in kinds_of.items()}


REPLACE = "replace"
"""In changes: `{"old": TEXT, "new": TEXT}`, for the command."""


def parse_changes(document: object, now: float, spelled: Mapping[str, str] = NOTHING) -> JobChanges:
    """Parses changes of a job: keys of its JSON with their new values, null for none. Raises `Invalid`."""
    if not isinstance(document, dict):
        raise Invalid(f"changes must be a JSON object, not {kinds.shown(document)}", 'e.g. {"priority": 5}')
    given: dict[str, Any] = {}
    replace: tuple[str, str] | None = None
    for typed, value in document.items():
        key = typed.replace("-", "_")
        key = ALIASES.get(key, key)
        if key in given:
            raise Invalid(f"{key} comes twice", "give it once")
        if key == REPLACE:
            replace = _replacement(value)
        elif key not in _SETTABLE:
            raise _not_settable(typed, key)
        elif value is None and key not in LIFTABLE:
            raise Invalid(f"{spelled.get(key, key)} cannot be none", "give it a value")
        else:
            given[key] = value
    if not given and replace is None:
        raise Invalid("nothing to change", "name a key and its new value, such as priority=5")
    excluding = [*EXCLUSIVE, ("command", REPLACE)]
    for one, other in excluding:
        if one in given and (other in given or (other == REPLACE and replace)):
            named = f"{spelled.get(one, one)} and {spelled.get(other, other)}"
            raise Invalid(f"{named} exclude each other", "give one of them")
    lifted = frozenset(key for key, value in given.items() if value is None)
    wanted = {key: value for key, value in given.items() if key not in lifted}
    unset: tuple[str, ...] = ()
    if isinstance(env := wanted.get("env"), dict):
        unset = tuple(name for name, text in env.items() if text is None)
        wanted["env"] = {name: text for name, text in env.items() if text is not None}
    request = parse_request({"command": ["true"], **wanted}, now, spelled)
    return JobChanges(request, lifted, tuple(given), replace, unset)


def _replacement(value: object) -> tuple[str, str]:
    if not isinstance(value, dict) or value.keys() != {"old", "new"}:
        raise Invalid(f"replace must have old and new, not {kinds.shown(value)}", '{"old": "a.mov", "new": "b.mov"}')
    old, new = (kinds.check_text(value[key], f"replace's {key}") for key in ("old", "new"))
    if not old:
        raise Invalid("the text to replace is empty", "give a text that stands in the command")
    return old, new


def _not_settable(typed: str, key: str) -> Invalid:
    setter = _SETTERS.get(key)
    if setter is None:
        from queuectl.domain.likeness import KEYS, nearest

        return Invalid(f"unknown key {typed!r}", nearest(key, tuple(_SETTABLE), KEYS))
    if setter != "user":
        return Invalid(f"{key} is written by queuectl and cannot be set", "leave the key out")
    return Invalid(f"{key} cannot be changed later", "add the job again with another one: queuectl clone ID")


def not_a_list() -> Invalid:
    """The error for a script with a line for its command."""
    return Invalid("the command of a script is not a list", 'its name and arguments, e.g. ["train.sh", "--fast"]')


def of_printed(document: object) -> tuple[object, list[str]]:
    """Turns a job as queuectl prints it into a new job's JSON, without its id and the keys that queuectl writes: also
    `start_by`, where that follows from `expires`.

    Also returns the keys left out that had a value. Any other document is returned unchanged.
    """
    if not isinstance(document, dict) or not document.keys() & (_WRITTEN | PRINTED_BESIDE):
        return document, []
    left = {"id", "start_by"} if document.get("expires") is not None else {"id"}
    asked = {
        key: kinds.NONE if value is None and key in UNLIMITED else value
        for key, value in document.items() if key.replace("-", "_") in INPUT_KEYS and key not in left
    }  # fmt: skip
    return asked, [key for key, value in document.items() if key not in asked and value is not None]


def _check_other(given: str, key: str, value: object) -> None:
    setter = _SETTERS.get(key)
    if setter is None:
        raise unknown_key(given)
    if key in ONLY:
        only, rule = ONLY[key]
        if value != only or isinstance(value, bool):
            raise Invalid(f"{key} cannot be set to {kinds.shown(value)}", f"{rule}; leave the key out")
    elif value is None or setter == "ignored":
        return
    else:
        raise Invalid(f"{key} is written by queuectl and cannot be set", "leave the key out")


def unknown_key(given: str) -> Invalid:
    """The error for an unknown key, with the nearest known one."""
    from queuectl.domain.likeness import KEYS, nearest

    return Invalid(f"unknown key {given!r}", nearest(given.replace("-", "_"), INPUT_KEYS, KEYS))
