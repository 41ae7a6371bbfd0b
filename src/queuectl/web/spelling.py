"""A job as the command line, or the form, that would enqueue it again; defaults are left out."""

from __future__ import annotations

from fnmatch import fnmatchcase
from shlex import join

from queuectl.domain.batch import lock_of, without_lock
from queuectl.domain.fields import INPUT, Field
from queuectl.domain.job import Job, Spec
from queuectl.settings import Settings
from queuectl.typed import Any
from queuectl.wire.jobs import command_line as wire_command_line
from queuectl.wire.sizes import format_size
from queuectl.wire.times import format_time

MASKED = "***"
"""Shown instead of a variable's value."""

_APART = ("id", "command", "run_at", "umask", "env")
_SAID = [field for field in INPUT if field.place != "nowhere" and field.name not in _APART]
"""Keys that are spelled out unless they have their default."""
_OPTIONS = {field.name: field.option for field in INPUT}


def document(job: Job, settings: Settings) -> dict[str, Any]:
    """The job's input, without its id: the command, and the keys that differ from a new job's.

    Values of variables are `MASKED`; variables that every job captures are left out.
    """
    usual = {**Job._field_defaults, **Spec._field_defaults, **settings.spec_defaults()}
    found: dict[str, Any] = {"command": job.command if isinstance(job.command, str) else list(job.command)}
    if job.spec.expires is not None:
        job = job._replace(start_by=None)  # it follows
    if job.batch is not None:
        job = job._replace(locks=without_lock(job.locks, lock_of(job.batch)))
    for field in _SAID:
        value = getattr(job.spec if field.place == "spec" else job, field.name)
        if value is not None and value != usual[field.name]:
            found[field.name] = _spelled(field, value)
    captured = settings["env-capture"]
    own = [name for name in job.spec.env if not any(fnmatchcase(name, pattern) for pattern in captured)]
    if own := [name for name in own if name != "TRACEPARENT"]:
        found["env"] = dict.fromkeys(own, MASKED)
    return found


def _spelled(field: Field, value: Any) -> Any:
    if "duration" in field.kind:
        return f"{value:g}s"
    if field.kind == "size":
        return format_size(value)
    if field.kind == "time":
        return format_time(value)
    return list(value) if isinstance(value, tuple) else value


def command_line(job: Job, settings: Settings) -> str:
    """The command to type in a shell. Variables are taken from that shell; their values are not shown."""
    if job.spec.script is not None:  # its file may be another one by now
        return join(["queuectl", "clone", job.id])
    given = document(job, settings)
    command = given.pop("command")
    words: list[str] = ["queuectl", "enqueue"]
    for key, value in given.items():
        option = _OPTIONS[key]
        if key in ("env", "tags", "secrets", "locks", "depends_on"):
            words += [part for each in value for part in (option, each)]
        elif value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, ",".join(map(str, value))]
        elif str(value).startswith("-"):
            words.append(f"{option}={value}")
        else:
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    if isinstance(command, str):
        return f"{join([*words, '-c', command])}"
    return f"{join(words)} -- {wire_command_line(tuple(command))}"
