"""What a user asks for: a job's JSON, checked here and only here. Options and fields arrive as the same keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from queuectl.domain.errors import Invalid
from queuectl.domain.likeness import KEYS, nearest
from queuectl.wire import kinds
from queuectl.wire.kinds import PRIORITY_MAX, RETRIES_MAX
from queuectl.wire.times import format_duration as format_duration
from queuectl.wire.times import format_second as format_second
from queuectl.wire.times import format_time as format_time
from queuectl.wire.times import parse_duration as parse_duration
from queuectl.wire.times import parse_time as parse_time

NOTHING: Mapping[str, Any] = MappingProxyType({})


class JobRequest(NamedTuple):
    """What a user asks for: only what was given. `spec` holds the given fields of `Spec`."""

    command: str | tuple[str, ...]
    id: str | None = None
    queue: str | None = None
    priority: int = 0
    run_at: float | None = None
    delay: float | None = None
    tags: tuple[str, ...] = ()
    held: bool = False
    spec: Mapping[str, Any] = NOTHING


_JOB_KEYS: dict[str, Callable[[Any, str], Any]] = {
    "id": kinds.check_id,
    "command": kinds.check_command,
    "queue": kinds.check_queue,
    "priority": kinds.whole_number(-PRIORITY_MAX, PRIORITY_MAX),
    "run_at": lambda value, key: value,
    "delay": parse_duration,
    "tags": kinds.check_tags,
    "held": kinds.check_flag,
}

SPEC_KEYS: dict[str, Callable[[Any, str], Any]] = {
    "max_retries": kinds.whole_number(0, RETRIES_MAX),
    "backoff_base": kinds.number(1, 1000),
    "backoff_initial": parse_duration,
    "backoff_max": parse_duration,
    "backoff_jitter": kinds.number(0, 1),
    "retry_on": kinds.check_exit_codes,
    "fatal_on": kinds.check_exit_codes,
    "timeout": kinds.check_positive_duration,
    "kill_grace": parse_duration,
    "cwd": kinds.check_filled,
    "umask": kinds.check_umask,
    "env": kinds.check_env,
    "shell": kinds.check_filled,
    "stdin": kinds.check_filled,
    "output_path": kinds.check_filled,
    "split_output": kinds.check_flag,
}

_ALIASES = {"base_backoff_seconds": "backoff_initial"}
_IGNORED = frozenset({"created_at", "updated_at"})
_LATER = frozenset({"secrets", "batch", "unique_key", "depends_on", "locks", "on_success", "on_failure", "on_dead"})
"""Keys of the contract that this version cannot honour: refused rather than silently dropped."""

_WRITTEN = frozenset(
    {
        "schedule", "owner", "worker", "host", "lease", "lost", "started_at", "finished_at", "duration",
        "next_retry_at", "exit_code", "signal", "error", "progress", "result", "output_bytes", "cpu_time",
        "max_rss", "reason",
    }
)  # fmt: skip

PRINTED_BESIDE = frozenset({"executions", "events", "output_tail"})
"""Keys that listings print with a job's own."""

INPUT_KEYS = (*_JOB_KEYS, *SPEC_KEYS, *_ALIASES)
"""Every key that a job's JSON may bring."""


def parse_request(document: object, now: float, spelled: Mapping[str, str] = NOTHING) -> JobRequest:
    """What a job's JSON asks for. Raises `Invalid` naming the key, or how it was `spelled`, and the value."""
    if not isinstance(document, dict):
        raise Invalid(f"a job must be a JSON object, not {kinds.shown(document)}", 'e.g. {"command": "echo hello"}')
    job: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    for given, value in document.items():
        key = given.replace("-", "_")
        key = _ALIASES.get(key, key)
        if (key in job or key in spec) and value is not None:
            raise Invalid(f"{key} comes twice", "give it once")
        if key in _JOB_KEYS:
            if value is not None:
                job[key] = _JOB_KEYS[key](value, spelled.get(key, key))
        elif key in SPEC_KEYS:
            if value is not None:
                spec[key] = SPEC_KEYS[key](value, spelled.get(key, key))
        else:
            _check_other(given, key, value)
    if "command" not in job:
        raise Invalid("a job needs a command", 'e.g. {"command": "echo hello"}')
    if both := sorted({*spec.get("retry_on", ())} & {*spec.get("fatal_on", ())}):
        named = " and in ".join(spelled.get(key, key) for key in ("retry_on", "fatal_on"))
        raise Invalid(f"exit code {both[0]} is in {named}", "either it retries, or it never does")
    if "run_at" in job:
        named = spelled.get("run_at", "run_at")
        if "delay" in job:
            raise Invalid(f"{named} and {spelled.get('delay', 'delay')} exclude each other", "give one of them")
        job["run_at"] = parse_time(job["run_at"], now, named)
    return JobRequest(spec=spec, **job)


def of_printed(document: object) -> tuple[object, list[str]]:
    """What a job as queuectl prints it asks for when it is enqueued anew: all but its id and what queuectl writes.

    And which keys with a value that leaves out. Any other document stands as it is.
    """
    if not isinstance(document, dict) or not document.keys() & (_WRITTEN | PRINTED_BESIDE):
        return document, []
    asked = {key: value for key, value in document.items() if key.replace("-", "_") in INPUT_KEYS and key != "id"}
    return asked, [key for key, value in document.items() if key not in asked and value is not None]


def _check_other(given: str, key: str, value: object) -> None:
    if key in _IGNORED or (value is None and (key in _LATER or key in _WRITTEN)):
        return
    if key == "state":
        if value != "pending":
            raise Invalid(
                f"state cannot be set to {kinds.shown(value)}", "a new job is always pending; leave the key out"
            )
    elif key == "attempts":
        if value != 0 or isinstance(value, bool):
            raise Invalid(
                f"attempts cannot be set to {kinds.shown(value)}", "a new job has had none; leave the key out"
            )
    elif key in _LATER:
        raise Invalid(f"{key} is not supported by this version of queuectl", "leave the key out")
    elif key in _WRITTEN:
        raise Invalid(f"{key} is written by queuectl and cannot be set", "leave the key out")
    else:
        raise Invalid(f"unknown key {given!r}", nearest(key, INPUT_KEYS, KEYS))
