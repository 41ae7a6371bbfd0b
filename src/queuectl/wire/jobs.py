"""Jobs as JSON, the same everywhere, and specs as text for stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import attrgetter

from queuectl.domain.fields import FIELDS
from queuectl.domain.job import Job, Spec
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.times import format_duration, format_second, format_time

if TYPE_CHECKING:
    from queuectl.wire.kinds import JsonObject

FIRST = (
    "max_retries", "backoff_base", "backoff_initial", "backoff_max", "backoff_jitter", "retry_on", "fatal_on",
    "timeout", "kill_grace", "cwd", "umask", "env", "shell", "stdin", "output_path", "split_output",
)  # fmt: skip
"""Attributes of a spec that 0.1.0 has written."""
LATER = tuple(sorted({*Spec._fields} - {*FIRST}))
"""The others. They are written if they are not at their default: so a new key leaves the text of all other specs as it
was, in every release."""

PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_+=:,./-"
"""The characters that mean themselves to every shell."""
_PLAIN = frozenset(PLAIN)


def command_line(command: str | tuple[str, ...]) -> str:
    """The command as a line that a shell reads the same way."""
    if isinstance(command, str):
        return command
    if all(word and _PLAIN.issuperset(word) for word in command):
        return " ".join(command)
    from shlex import join  # most commands need no quotes, and it compiles a pattern

    return join(command)


def worker_name(supervisor_id: str | None) -> str | None:
    """The name of a supervisor's worker: the id is `NAME~SUFFIX`."""
    return None if supervisor_id is None else supervisor_id.partition("~")[0]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


TO_JSON: dict[str, Callable[[Any], Any]] = {
    "command": lambda command: command if isinstance(command, str) else list(command),
    "names": list,
    "locks": list,
    "secrets": list,
    "dependencies": list,
    "exit codes": list,
    "time": format_time,
    "umask": lambda mask: None if mask is None else f"{mask:04o}",
    "variables": dict,
    "state": attrgetter("_value_"),
    "worker": worker_name,
    "seconds": _rounded,
    "json": lambda text: None if text is None else json.loads(text),
}
"""Converters of values to JSON by kind; other kinds need none."""

COMPUTED: dict[str, Callable[[Job], Any]] = {"duration": lambda job: _rounded(job.duration)}
"""Values that no row has, by key. `reason` is not among them: it depends on others too."""

_KEPT = [field for field in FIELDS if field.shown and field.place != "nowhere"]
_NAMES = [field.name for field in _KEPT]
_VALUES = attrgetter(*(f"spec.{field.name}" if field.place == "spec" else field.name for field in _KEPT))
_CONVERTED = [(field.name, TO_JSON[field.kind]) for field in _KEPT if field.kind in TO_JSON]
_EMPTY: JsonObject = dict.fromkeys(field.name for field in FIELDS if field.shown)


def job_to_json(job: Job, reason: str | None = None) -> JsonObject:
    """The job as JSON with every key; missing values are null."""
    document = _EMPTY.copy()
    document.update(zip(_NAMES, _VALUES(job), strict=True))
    for name, to_json in _CONVERTED:
        document[name] = to_json(document[name])
    for name, value_of in COMPUTED.items():
        document[name] = value_of(job)
    document["reason"] = reason
    return document


def why_expired(job: Job, time: Callable[[float], str] = format_second) -> str:
    """What a job's `error` says once it has not started by its `start_by`."""
    if job.spec.expires is not None:
        return f"expired: not started within {format_duration(job.spec.expires)}"
    return f"expired: not started by {time(job.start_by or 0.0)}"


def spec_to_text(spec: Spec) -> str:
    """Canonical JSON: equal specs give equal text, the same as in older versions."""
    fields = {**spec._asdict(), "env": dict(spec.env)}
    for name in LATER:
        if fields[name] == Spec._field_defaults[name]:
            del fields[name]
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def spec_from_text(text: str) -> Spec:
    """The inverse of `spec_to_text`. Ignores fields of a newer version; missing ones get their default."""
    fields = json.loads(text)
    known = {name: fields[name] for name in Spec._fields if name in fields}
    for name in ("retry_on", "fatal_on", "captured", "secrets"):
        known[name] = tuple(known.get(name, ()))
    return Spec(**known)
