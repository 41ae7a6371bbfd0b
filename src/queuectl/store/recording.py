"""What a batch of changes comes to, whatever the database: the jobs as they stand then, and the rows to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import Ended, Started, apply
from queuectl.store import rows
from queuectl.store.port import Change

InHand = Mapping[tuple[int, int], tuple[bool, bool]]
"""What a supervisor really holds, locked: (seq, lease) -> (held, cancel_requested), as people left them."""


def applied(in_hand: InHand, changes: Sequence[Change], now: float) -> list[Job | None]:
    """What becomes of the jobs that are still in the supervisor's hands; none for the others."""
    standing = dict(in_hand)
    results: list[Job | None] = []
    for job, event, *_ in changes:
        flags = standing.get((job.seq, job.lease))
        if flags is None or job.state is not JobState.PROCESSING:
            results.append(None)
            continue
        held, cancel_requested = flags
        if (job.held, job.cancel_requested) != flags:
            job = job._replace(held=held, cancel_requested=cancel_requested)
        after = apply(job, event, now)
        if after.state is not JobState.PROCESSING:
            del standing[job.seq, job.lease]
        results.append(after)
    return results


def attempt_rows(counts: Sequence[tuple[Change, Job]]) -> list[tuple[str, list[tuple[object, ...]]]]:
    """The rows of each query that writes executions, for changes that count with the jobs after them.

    Kind by kind: many rows a statement cost a fraction of one each.
    """
    starts, ends, breaks, outputs = [], [], [], []
    for change, after in counts:
        if isinstance(change.event, Started):
            starts.append(rows.start_of(change, after))
        elif isinstance(change.event, Ended):
            ends.append(rows.end_of(change, after))
            outputs += [rows.output_row(change, after, output) for output in change.outputs]
        elif change.job.started_at is not None:
            breaks.append(rows.break_of(change, after))
    kinds = [("start_attempt", starts), ("end_attempt", ends), ("break_attempt", breaks), ("write_output", outputs)]
    return [(query, values) for query, values in kinds if values]
