"""Jobs as JSON, in both directions.

A job's JSON is the same object everywhere (`--json`, files, later the API). Input is checked here and
only here: the command line's options arrive as the same keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from queuectl.domain.errors import Invalid
from queuectl.domain.job import COMMAND_BYTES_MAX, COMMAND_STRING_BYTES_MAX, Attempt, Job, Spec
from queuectl.domain.likeness import KEYS, nearest
from queuectl.times import format_duration as format_duration
from queuectl.times import format_second as format_second
from queuectl.times import format_time as format_time
from queuectl.times import parse_duration as parse_duration
from queuectl.times import parse_time as parse_time

JsonObject = dict[str, Any]

# --- input: JSON -> what a user wants -------------------------------------------------------


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


_ID = r"[A-Za-z0-9._:-]{1,128}"
_NAME = r"[A-Za-z0-9._:/@+-]{1,128}"
PRIORITY_MAX = 1_000_000
RETRIES_MAX = 1_000_000


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{key} must be text, not {_shown(value)}")
    if "\0" in value:
        raise Invalid(f"{key} contains a NUL byte", "no command or path can carry one")
    return utf8(value, key, "put them into a script or a file")


def utf8(text: str, what: str, hint: str) -> str:
    """Text that every store and every document can hold. Raises `Invalid`."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{what} holds bytes that are not UTF-8", hint) from None
    return text


def searched(value: object, key: str) -> str:
    """Text that is looked for. Raises `Invalid` where no store can hold it."""
    return _text(value, key)


def _filled(value: object, key: str) -> str:
    text = _text(value, key)
    if not text:
        raise Invalid(f"{key} is empty")
    return text


def _integer(low: int, high: int) -> Callable[[object, str], int]:
    def check(value: object, key: str) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Invalid(f"{key} must be a whole number from {low} to {high}, not {_shown(value)}")
        return value

    return check


def _number(low: float, high: float) -> Callable[[object, str], float]:
    def check(value: object, key: str) -> float:
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]+)?", value):
            value = float(value) if "." in value else int(value)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            raise Invalid(f"{key} must be a number from {low:g} to {high:g}, not {_shown(value)}")
        return float(value) + 0.0  # no minus before a zero

    return check


def _flag(value: object, key: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false, not {_shown(value)}")
    return value


def _positive_duration(value: object, key: str) -> float:
    seconds = parse_duration(value, key)
    if seconds <= 0:
        raise Invalid(f"{key} must be longer than 0, not {_shown(value)}")
    return seconds


def _id(value: object, key: str) -> str:
    if isinstance(value, str) and may_be_id(value):
        return value
    raise Invalid(f"{key} {_shown(value)} is not valid", "1 to 128 of A-Z a-z 0-9 . _ : -")


def may_be_id(ref: str) -> bool:
    """Whether a job can have an id that begins so."""
    return re.fullmatch(_ID, ref) is not None


def _queue(value: object, key: str) -> str:
    if isinstance(value, str) and re.fullmatch(_NAME, value):
        return value
    raise Invalid(f"{key} {_shown(value)} is not valid", "1 to 128 of A-Z a-z 0-9 . _ : / @ + -")


def _command(value: object, key: str) -> str | tuple[str, ...]:
    if not isinstance(value, list):
        line = _text(value, key)
        if not line or line.isspace():
            raise Invalid("command is empty", 'give one, e.g. {"command": "echo hello"}')
        _check_size(line, COMMAND_STRING_BYTES_MAX)
        return line
    if not value:
        raise Invalid("command is an empty list", "its first word is the program to run")
    words = tuple(_text(word, "a word of command") for word in value)
    if not words[0]:
        raise Invalid("command's first word is empty", "it is the program to run")
    for word in words:
        _check_size(word, COMMAND_STRING_BYTES_MAX)
    _check_size("\0".join(words), COMMAND_BYTES_MAX)
    return words


def _check_size(text: str, limit: int) -> None:
    if len(text) * 4 > limit and (size := len(text.encode())) > limit:
        raise Invalid(
            f"command is {size:,} bytes long; the limit is {limit:,}",
            "put it into a script file, or feed the data with --stdin FILE",
        )


def _exit_codes(value: object, key: str) -> tuple[int, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if isinstance(value, int):
        value = [value]
    if not isinstance(value, list):
        raise Invalid(f"{key} must be a list of exit codes, not {_shown(value)}")
    one = _integer(1, 255)
    return tuple(one(code, f"an exit code of {key}") for code in value)


def _tags(value: object, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise Invalid(f"{key} must be a list of words, not {_shown(value)}")
    return tuple(dict.fromkeys(_queue(tag, "tag") for tag in value))


def _env(value: object, key: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise Invalid(f"{key} must be an object of names and values, not {_shown(value)}")
    for name, text in value.items():
        if not name or re.search(r"[=\0 \t\n\r\v\f]", name):
            raise Invalid(f"{key} has a variable named {name!r}; a name has neither blanks nor =")
        utf8(name, f"{key} has a variable whose name", "rename it")
        _text(text, f"{key} variable {name}")
    return value


def _umask(value: object, key: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"0?o?[0-7]{1,4}", value):
        mask = int(value.replace("o", ""), 8)
        if mask <= 0o777:
            return mask
    raise Invalid(f"{key} must be octal text from 000 to 777, not {_shown(value)}", 'write it as "022"')


_JOB_KEYS: dict[str, Callable[[Any, str], Any]] = {
    "id": _id,
    "command": _command,
    "queue": _queue,
    "priority": _integer(-PRIORITY_MAX, PRIORITY_MAX),
    "run_at": lambda value, key: value,
    "delay": parse_duration,
    "tags": _tags,
    "held": _flag,
}

SPEC_KEYS: dict[str, Callable[[Any, str], Any]] = {
    "max_retries": _integer(0, RETRIES_MAX),
    "backoff_base": _number(1, 1000),
    "backoff_initial": parse_duration,
    "backoff_max": parse_duration,
    "backoff_jitter": _number(0, 1),
    "retry_on": _exit_codes,
    "fatal_on": _exit_codes,
    "timeout": _positive_duration,
    "kill_grace": parse_duration,
    "cwd": _filled,
    "umask": _umask,
    "env": _env,
    "shell": _filled,
    "stdin": _filled,
    "output_path": _filled,
    "split_output": _flag,
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
        raise Invalid(f"a job must be a JSON object, not {_shown(document)}", 'e.g. {"command": "echo hello"}')
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
            raise Invalid(f"state cannot be set to {_shown(value)}", "a new job is always pending; leave the key out")
    elif key == "attempts":
        if value != 0 or isinstance(value, bool):
            raise Invalid(f"attempts cannot be set to {_shown(value)}", "a new job has had none; leave the key out")
    elif key in _LATER:
        raise Invalid(f"{key} is not supported by this version of queuectl", "leave the key out")
    elif key in _WRITTEN:
        raise Invalid(f"{key} is written by queuectl and cannot be set", "leave the key out")
    else:
        raise Invalid(f"unknown key {given!r}", nearest(key, INPUT_KEYS, KEYS))


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr).encode(errors="backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


# --- output: what is known -> JSON ----------------------------------------------------------


def command_line(command: str | tuple[str, ...]) -> str:
    """The command as one line that a shell would read the same way."""
    if isinstance(command, str):
        return command
    from shlex import join

    return join(command)


def job_to_json(job: Job, reason: str | None = None) -> JsonObject:
    """The job as the contract shows it: every key, absent values null."""
    spec = job.spec
    return {
        "id": job.id,
        "command": job.command if isinstance(job.command, str) else list(job.command),
        "state": job.state.value,
        "attempts": job.attempts,
        "max_retries": spec.max_retries,
        "created_at": format_time(job.created_at),
        "updated_at": format_time(job.updated_at),
        "queue": job.queue,
        "priority": job.priority,
        "run_at": format_time(job.run_at),
        "timeout": spec.timeout,
        "kill_grace": spec.kill_grace,
        "backoff_base": spec.backoff_base,
        "backoff_initial": spec.backoff_initial,
        "backoff_max": spec.backoff_max,
        "backoff_jitter": spec.backoff_jitter,
        "retry_on": list(spec.retry_on),
        "fatal_on": list(spec.fatal_on),
        "cwd": spec.cwd,
        "umask": None if spec.umask is None else f"{spec.umask:04o}",
        "env": dict(spec.env),
        "secrets": None,
        "shell": spec.shell,
        "stdin": spec.stdin,
        "output_path": spec.output_path,
        "split_output": spec.split_output,
        "tags": list(job.tags),
        "batch": None,
        "schedule": None,
        "unique_key": None,
        "depends_on": None,
        "locks": None,
        "held": job.held,
        "on_success": None,
        "on_failure": None,
        "on_dead": None,
        "owner": job.owner,
        "worker": worker_name(job.worker),
        "host": job.host,
        "lease": job.lease,
        "lost": job.lost,
        "started_at": format_time(job.started_at),
        "finished_at": format_time(job.finished_at),
        "duration": _rounded(job.duration),
        "next_retry_at": format_time(job.next_retry_at),
        "exit_code": job.exit_code,
        "signal": job.signal,
        "error": job.error,
        "progress": None,
        "result": None,
        "output_bytes": job.output_bytes,
        "cpu_time": _rounded(job.cpu_time),
        "max_rss": job.max_rss,
        "reason": reason,
    }


def attempt_to_json(attempt: Attempt) -> JsonObject:
    """One execution as `show --json` lists it."""
    duration = None if attempt.finished_at is None else max(0.0, attempt.finished_at - attempt.started_at)
    return {
        "number": attempt.number,
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "started_at": format_time(attempt.started_at),
        "finished_at": format_time(attempt.finished_at),
        "duration": _rounded(duration),
        "worker": worker_name(attempt.worker),
        "host": attempt.host,
        "lease": attempt.lease,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "error": attempt.error,
        "cpu_time": _rounded(attempt.cpu_time),
        "max_rss": attempt.max_rss,
        "output_bytes": attempt.output_bytes,
        "leftover": attempt.leftover,
    }


def worker_name(supervisor_id: str | None) -> str | None:
    """The worker a supervisor belongs to: its id is `NAME~SUFFIX`."""
    return None if supervisor_id is None else supervisor_id.partition("~")[0]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


# --- specs, as stores keep them -------------------------------------------------------------


def spec_to_text(spec: Spec) -> str:
    """Canonical JSON: equal specs give equal text, whether an older version has written it or this one."""
    fields = {**spec._asdict(), "env": dict(spec.env)}
    if not spec.captured:
        del fields["captured"]  # older versions do not write it
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def spec_from_text(text: str) -> Spec:
    """The inverse of `spec_to_text`. Fields of a newer version are ignored, missing ones get their default."""
    fields = json.loads(text)
    known = {name: fields[name] for name in Spec._fields if name in fields}
    for name in ("retry_on", "fatal_on", "captured"):
        known[name] = tuple(known.get(name, ()))
    return Spec(**known)
