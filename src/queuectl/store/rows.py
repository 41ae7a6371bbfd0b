"""Jobs, attempts and selections as rows: what every SQL store shares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from queuectl import wire
from queuectl.domain.job import Attempt, Job, JobState, Outcome, Spec
from queuectl.domain.lifecycle import is_claimable
from queuectl.domain.selector import Selector

JOB_COLUMNS = (
    "seq, id, generated_id, spec, command, words, queue, priority, tags, owner, created_at, run_at, updated_at, "
    "state, held, cancel_requested, attempts, starts, lost, lost_in_row, lease, worker, host, started_at, "
    "finished_at, next_retry_at, exit_code, signal, error, cpu_time, max_rss, output_bytes"
)

ATTEMPT_COLUMNS = ", ".join(Attempt._fields)


def job_from_row(row: Sequence[Any], spec_of: Callable[[int], Spec]) -> Job:
    """The job in a row of `JOB_COLUMNS`."""
    (
        seq, id_, generated_id, spec, command, words, queue, priority, tags, owner, created_at, run_at, updated_at,
        state, held, cancel_requested, attempts, starts, lost, lost_in_row, lease, worker, host, started_at,
        finished_at, next_retry_at, exit_code, signal, error, cpu_time, max_rss, output_bytes,
    ) = row  # fmt: skip
    return Job(
        seq=seq, id=id_, generated_id=bool(generated_id), spec=spec_of(spec),
        command=tuple(json.loads(words)) if words else command, queue=queue, priority=priority,
        tags=tuple(json.loads(tags)) if tags else (), owner=owner, created_at=created_at, run_at=run_at,
        updated_at=updated_at, state=JobState(state), held=bool(held), cancel_requested=bool(cancel_requested),
        attempts=attempts, starts=starts, lost=lost, lost_in_row=lost_in_row, lease=lease, worker=worker, host=host,
        started_at=started_at, finished_at=finished_at, next_retry_at=next_retry_at, exit_code=exit_code,
        signal=signal, error=error, cpu_time=cpu_time, max_rss=max_rss, output_bytes=output_bytes,
    )  # fmt: skip


INSERT_JOB = (
    "INSERT INTO jobs (id, generated_id, spec, command, words, queue, priority, tags, owner, created_at, run_at, "
    "updated_at, state, held, ready, due_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def new_job_row(job: Job, spec: int, now: float) -> tuple[object, ...]:
    """The values of `INSERT_JOB`."""
    words = None if isinstance(job.command, str) else json.dumps(job.command)
    return (
        job.id, job.generated_id, spec, wire.command_line(job.command), words, job.queue, job.priority,
        json.dumps(job.tags) if job.tags else None, job.owner, job.created_at, job.run_at, job.updated_at,
        job.state.value, job.held, is_ready(job, now), job.due_at,
    )  # fmt: skip


def is_ready(job: Job, now: float) -> bool:
    """Whether the job belongs into the claim index. One that is only due later is promoted when its time comes."""
    return is_claimable(job) and job.due_at <= now


def life_of(job: Job, was: JobState, holder: str | None, now: float) -> dict[str, object]:
    """The parameters of the query `write_job`: what changes in a job's life, and in whose hands it must be for that."""
    return {
        "seq": job.seq, "lease": job.lease, "was": was.value, "holder": holder, "state": job.state.value,
        "held": job.held, "ready": is_ready(job, now), "due_at": job.due_at, "run_at": job.run_at,
        "cancel_requested": job.cancel_requested, "attempts": job.attempts, "starts": job.starts, "lost": job.lost,
        "lost_in_row": job.lost_in_row, "worker": job.worker, "host": job.host, "started_at": job.started_at,
        "finished_at": job.finished_at, "next_retry_at": job.next_retry_at, "exit_code": job.exit_code,
        "signal": job.signal, "error": job.error, "cpu_time": job.cpu_time, "max_rss": job.max_rss,
        "output_bytes": job.output_bytes, "updated_at": job.updated_at,
    }  # fmt: skip


def attempt_from_row(row: Sequence[Any]) -> Attempt:
    """The attempt in a row of `ATTEMPT_COLUMNS`."""
    fields: dict[str, Any] = dict(zip(Attempt._fields, row, strict=True))
    fields["output_files"] = tuple(json.loads(fields["output_files"] or "[]"))
    fields["outcome"] = Outcome(fields["outcome"]) if fields["outcome"] else None
    return Attempt(**fields)


def where(selector: Selector) -> tuple[str, list[object]]:
    """The selection as an SQL condition and its parameters."""
    parts: list[str] = []
    values: list[object] = []

    def any_of(condition: str, wanted: Sequence[object]) -> None:
        if wanted:
            parts.append("(" + " OR ".join([condition] * len(wanted)) + ")")
            values.extend(wanted)

    def one_of(column: str, wanted: Sequence[object]) -> None:
        if wanted:
            parts.append(f"{column} IN ({', '.join('?' * len(wanted))})")
            values.extend(wanted)

    one_of("id", selector.ids)
    one_of("state", [state.value for state in selector.states])
    one_of("queue", selector.queues)
    one_of("owner", selector.owners)
    one_of("exit_code", selector.exit_codes)
    any_of("EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", selector.tags)
    any_of("command GLOB ?", selector.commands)
    any_of("instr(lower(error), lower(?)) > 0", selector.errors)
    if selector.before is not None:
        parts.append("updated_at < ?")
        values.append(selector.before)
    return " AND ".join(parts) or "1", values


def named_queries(text: str, **names: str) -> Mapping[str, str]:
    """The queries of an `.sql` file: each begins with `-- name: NAME`. `{NAME}` in them is filled from `names`."""
    queries = {}
    for part in text.split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        for key, value in names.items():
            body = body.replace("{" + key + "}", value)
        queries[name.strip()] = body.strip().rstrip(";")
    return queries
