"""What a batch of changes leads to in any database: the jobs after it, and the rows to write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from queuectl.domain.job import Attempt, Job, JobState, Outcome
from queuectl.domain.lifecycle import Ended, LossTakenBack, Lost, Progressed, Started, Stuck, apply, outcome
from queuectl.store.shared import rows
from queuectl.store.values import Change

Touched = tuple[bool, bool, int, int]
"""What others may change in a job that a supervisor holds: held, cancel_requested, lost, lost_in_row."""

InHand = Mapping[tuple[int, int], Touched]
"""What a supervisor really holds, by seq and lease, as others left it. The jobs are locked."""


def touched(job: Job) -> Touched:
    """The job's values of what others may change."""
    return job.held, job.cancel_requested, job.lost, job.lost_in_row


def as_left(job: Job, there: Touched) -> Job:
    """The job with the changes that others made."""
    if touched(job) == there:
        return job
    held, cancel_requested, lost, lost_in_row = there
    return job._replace(held=held, cancel_requested=cancel_requested, lost=lost, lost_in_row=lost_in_row)


def applied(in_hand: InHand, changes: Sequence[Change], now: float) -> list[Job | None]:
    """The jobs after the changes. None stands for a job that the supervisor no longer holds."""
    standing = dict(in_hand)
    results: list[Job | None] = []
    for job, event, *_ in changes:
        there = standing.get((job.seq, job.lease))
        if there is None or job.state is not JobState.PROCESSING:
            results.append(None)
            continue
        after = apply(as_left(job, there), event, now)
        if after.state is not JobState.PROCESSING:
            del standing[job.seq, job.lease]
        results.append(after)
    return results


def loss_taken_back(
    job: Job, attempts: Sequence[Attempt], worker: str, lease: int, ended_at: float, now: float
) -> tuple[Job, tuple[object, ...]] | None:
    """The job without the loss of an execution that its worker had ended before, and the values of `break_attempt`.

    None if that execution is no loss, was another worker's, or was counted while it still ran.
    """
    losses = [attempt for attempt in attempts if attempt.outcome is Outcome.LOST]
    for at, loss in enumerate(losses, 1):
        in_time = loss.finished_at is not None and ended_at <= loss.finished_at
        if (loss.worker, loss.lease) == (worker, lease) and in_time:
            after = apply(job, LossTakenBack(later=len(losses) - at), now)
            return after, (ended_at, Outcome.STOPPED.value, None, job.seq, loss.number)
    return None


def attempt_rows(counts: Sequence[tuple[Change, Job]]) -> list[tuple[str, list[tuple[object, ...]]]]:
    """The rows of each query that writes executions. `counts` has the changes that count, each with its job afterwards.

    One statement with many rows costs a fraction of many statements.
    """
    starts, ends, breaks, outputs = [], [], [], []
    for change, after in counts:
        if isinstance(change.event, Started):
            starts.append(start_of(change, after))
        elif isinstance(change.event, Ended):
            ends.append(end_of(change, after))
            outputs += [rows.output_row(change, after, output) for output in change.outputs]
        elif not isinstance(change.event, Stuck | Progressed) and change.job.started_at is not None:
            breaks.append(break_of(change, after))
    kinds = [("start_attempt", starts), ("end_attempt", ends), ("break_attempt", breaks), ("write_output", outputs)]
    return [(query, values) for query, values in kinds if values]


def start_of(change: Change, after: Job) -> tuple[object, ...]:
    """The values of the query `start_attempt`."""
    job, event = change.job, change.event
    assert isinstance(event, Started)
    return job.seq, after.starts, job.lease, job.worker, job.host, event.at, json.dumps(change.output_files)


def end_of(change: Change, after: Job) -> tuple[object, ...]:
    """The values of the query `end_attempt`."""
    job, event = change.job, change.event
    assert isinstance(event, Ended)
    how = outcome(event)
    error = event.error or (None if how is Outcome.STOPPED else after.error)  # a stopped job keeps its earlier error
    return (
        job.seq, after.starts, job.lease, job.worker, job.host, event.started_at, event.finished_at, how._value_,
        event.exit_code, event.signal, error, event.cpu_time, event.max_rss, event.output_bytes, change.leftover,
        change.note,
    )  # fmt: skip


def break_of(change: Change, after: Job) -> tuple[object, ...]:
    """The values of the query `break_attempt`: an execution whose end nobody saw, or that does not count."""
    how, why = (Outcome.LOST, "its worker was lost") if isinstance(change.event, Lost) else (Outcome.STOPPED, None)
    return after.updated_at, how.value, why, change.job.seq, change.job.starts
