"""What was used, by whom: an execution or a job a row, as Slurm's sacct has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from queuectl.client import looking
from queuectl.domain.errors import Invalid
from queuectl.domain.job import Attempt, Job
from queuectl.domain.likeness import nearest
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.typed import Any, NamedTuple
from queuectl.wire.jobs import command_line, worker_name
from queuectl.wire.schema import COUNT, INTEGER, NUMBER, STATE, TEXT, TIME, Schema, listed, nullable
from queuectl.wire.times import format_time


class Used(NamedTuple):
    """A job and those of its executions that the row is about: one, or all."""

    job: Job
    attempts: Sequence[Attempt]

    @property
    def first(self) -> Attempt | None:
        return self.attempts[0] if self.attempts else None

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None


def _of_last(name: str) -> Callable[[Used], Any]:
    return lambda used: None if used.last is None else getattr(used.last, name)


def _sum(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 6) if known else None


def _most(values: Iterator[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _waited(used: Used) -> float | None:
    """From when the job was due to its first start; None for a retry."""
    if used.first is None or used.first.number > 1:
        return None
    return round(max(0.0, used.first.started_at - max(used.job.run_at, used.job.created_at)), 6)


COLUMNS: Mapping[str, Callable[[Used], Any]] = {
    "id": lambda used: used.job.id,
    "attempt": _of_last("number"),
    "attempts": lambda used: len(used.attempts),
    "queue": lambda used: used.job.queue,
    "state": lambda used: used.job.state.value,
    "outcome": lambda used: used.last.outcome.value if used.last and used.last.outcome else None,
    "exit_code": _of_last("exit_code"),
    "signal": _of_last("signal"),
    "error": _of_last("error"),
    "created_at": lambda used: format_time(used.job.created_at),
    "due_at": lambda used: format_time(max(used.job.run_at, used.job.created_at)),
    "started_at": lambda used: format_time(used.first.started_at) if used.first else None,
    "finished_at": lambda used: format_time(used.last.finished_at) if used.last else None,
    "wait": _waited,
    "run": lambda used: _sum(each.duration for each in used.attempts),
    "cpu_time": lambda used: _sum(each.cpu_time for each in used.attempts),
    "max_rss": lambda used: _most(each.max_rss for each in used.attempts),
    "output_bytes": lambda used: _sum(each.output_bytes for each in used.attempts),
    "worker": lambda used: worker_name(used.last.worker) if used.last else None,
    "host": _of_last("host"),
    "owner": lambda used: used.job.owner,
    "priority": lambda used: used.job.priority,
    "tags": lambda used: list(used.job.tags),
    "command": lambda used: command_line(used.job.command),
}
"""What a row may have: times in UTC, durations in seconds, sizes in bytes; None where there is none. `run`, `cpu_time`
and `output_bytes` are sums over the row's executions, `max_rss` is the most of any."""


_NUMBERS = dict.fromkeys(("attempt", "exit_code", "signal", "max_rss", "output_bytes"), COUNT)
COLUMN_SCHEMAS: Mapping[str, Schema] = {
    **{name: nullable(TEXT) for name in COLUMNS},
    **{name: nullable(schema) for name, schema in _NUMBERS.items()},
    **{name: nullable(TIME) for name in ("created_at", "due_at", "started_at", "finished_at")},
    **{name: nullable(NUMBER) for name in ("wait", "run", "cpu_time")},
    "id": TEXT, "queue": TEXT, "command": TEXT, "state": STATE, "attempts": COUNT, "priority": INTEGER,
    "tags": listed(TEXT),
}  # fmt: skip


def columns_of(text: str | None) -> Sequence[str]:
    """The columns named with commas between; all if none are. Raises `Invalid`."""
    if text is None:
        return tuple(COLUMNS)
    names = [name.strip().lower().replace("-", "_") for name in text.split(",")]
    for name in names:
        if name not in COLUMNS:
            raise Invalid(f"unknown column {name!r}", nearest(name, tuple(COLUMNS)))
    return names


def used(store: Store, selector: Selector, *, by_job: bool, since: float | None) -> Iterator[Used]:
    """The executions of matching jobs, in the order of enqueueing; with `by_job` one row a job, also of those that have
    not run. `since` leaves out executions (or jobs) that had ended by then."""
    for page in looking.pages(store, selector):
        found = store.attempts_of(page)
        for job in page:
            attempts = [each for each in found.get(job.seq, ()) if _counts(each.finished_at, since)]
            if not by_job:
                yield from (Used(job, [each]) for each in attempts)
            elif attempts or _counts(job.finished_at, since):
                yield Used(job, attempts)


def _counts(ended_at: float | None, since: float | None) -> bool:
    return since is None or ended_at is None or ended_at >= since
