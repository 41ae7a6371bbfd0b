"""The lines in which jobs wait for locks, one for all jobs that need the same: whether there is something to look at,
who is first, and since when others have been served before that one. See gates.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache

from queuectl.domain import limits
from queuectl.domain.limits import Candidate
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.store.shared.limits import Limits


@lru_cache(maxsize=4096)
def requests(locks: str) -> tuple[limits.Request, ...]:
    """The requests of a job's column `locks`."""
    return limits.requests_of(json.loads(locks))


def open_lines(store: Limits) -> list[str]:
    """The lines that a claim has to look at, as `locks` of their jobs. Those in which nobody waits are removed."""
    lines, somebody = (
        [],
        f"SELECT 1 FROM {{schema}}.jobs WHERE {store._dialect.is_parked} AND jobs.locks = lock_lines.locks",
    )
    for locks, waits in store._select(f"SELECT locks, EXISTS ({somebody}) FROM {{schema}}.lock_lines WHERE open = 1"):
        if waits:
            lines.append(locks)
            continue
        for table in ("lock_lines", "line_locks"):
            store._execute(f"DELETE FROM {{schema}}.{table} WHERE locks = ?", [locks])
    return lines


def close(
    store: Limits, locks: str, first: Candidate, is_kept_out: bool, may_start_from: Callable[[str], bool]
) -> None:
    """Notes that a line has been looked at, and who is first in it. A claim has seen only what it could take: one that
    was noted before stays the first if it still waits, comes earlier, and could start but for its locks."""
    text = (
        "SELECT jobs.priority, jobs.due_at, jobs.seq, jobs.queue FROM {schema}.lock_lines JOIN {schema}.jobs "
        f"ON jobs.seq = lock_lines.seq AND jobs.{store._dialect.is_parked} WHERE lock_lines.locks = ?"
    )
    for priority, due_at, seq, queue in store._select(text, [locks]):
        if (-priority, due_at, seq) < first.order and may_start_from(queue):
            store._execute("UPDATE {schema}.lock_lines SET open = ? WHERE locks = ?", [int(is_kept_out), locks])
            return
    store._execute(
        "INSERT INTO {schema}.lock_lines (locks, open, priority, due_at, seq) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (locks) DO UPDATE SET open = excluded.open, "
        "priority = excluded.priority, due_at = excluded.due_at, seq = excluded.seq, "
        "passed_since = CASE WHEN lock_lines.seq <> excluded.seq AND lock_lines.passed_since < excluded.due_at "
        "THEN excluded.due_at ELSE lock_lines.passed_since END",  # nobody was passed by before that was due
        [locks, int(is_kept_out), first.priority, first.due_at, first.seq],
    )
    for request in requests(locks):
        text = "INSERT INTO {schema}.line_locks (lock, locks) VALUES (?, ?) ON CONFLICT DO NOTHING"
        store._execute(text, [request.lock, locks])


def pass_by(store: Limits, lock: str, job: Candidate, now: float) -> None:
    """A job gets units of a lock: it passes by those that come before it and wait for that lock too."""
    text = (
        "UPDATE {schema}.lock_lines SET passed_since = ? "
        "WHERE (passed_since IS NULL OR passed_since > ?) AND seq IS NOT NULL "  # the clock may have been set back
        "AND locks IN (SELECT locks FROM {schema}.line_locks WHERE lock = ?) "
        "AND (priority > ? OR (priority = ? AND (due_at < ? OR (due_at = ? AND seq < ?))))"
    )
    store._execute(text, [now, now, lock, job.priority, job.priority, job.due_at, job.due_at, job.seq])


def serve(store: Limits, job: Candidate) -> None:
    """A job has left its line, with its units."""
    served = "UPDATE {schema}.lock_lines SET passed_since = NULL, seq = NULL WHERE locks = ? AND seq = ?"
    store._execute(served, [job.locks, job.seq])
