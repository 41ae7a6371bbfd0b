"""Jobs and attempts as JSON, the same object everywhere, and specs as stores keep them."""

from __future__ import annotations

import json

from queuectl.domain.job import Attempt, Job, Spec
from queuectl.wire.kinds import JsonObject
from queuectl.wire.times import format_duration as format_duration
from queuectl.wire.times import format_second as format_second
from queuectl.wire.times import format_time as format_time
from queuectl.wire.times import parse_duration as parse_duration
from queuectl.wire.times import parse_time as parse_time


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
