"""Acts on many jobs in batches of one transaction each. Returns refusals instead of raising; keeps who did what."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from queuectl.client.values import BATCH, Changed, Progress
from queuectl.domain.errors import Invalid, NotFound, QueuectlError
from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.domain.lifecycle import Event, Retried
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.store.selections import Refs
from queuectl.typed import TypeVar

DETAIL_MAX = 2000
"""Most characters of an entry's detail in the audit log."""

T = TypeVar("T")
Results = list[Job | QueuectlError]
"""For each job its new state, or why it could not be changed."""


def change(store: Store, who: str, refs: Refs, event: Event, progress: Progress | None) -> Changed:
    """Applies the event to the jobs."""
    return in_batches(store, refs, lambda batch: store.change(batch, event, who), progress)


def delete(store: Store, who: str, refs: Refs, progress: Progress | None) -> Changed:
    """Deletes jobs with their history and output. Running ones are refused."""
    return in_batches(store, refs, lambda batch: _delete(store, who, batch), progress)


def retry_down(store: Store, who: str, refs: Refs, progress: Progress | None) -> Changed:
    """Runs jobs again, and after them what depends on them and is finished or has not begun."""
    named = _ids(store, refs)
    there = [store.get(ref).id for ref in named if _is_there(store, ref)]
    below = [job.id for job in store.below(there) if job.finished or job.state is JobState.PENDING]
    known = set(there)
    return change(store, who, [*named, *(id for id in below if id not in known)], Retried(), progress)


def _ids(store: Store, refs: Refs) -> list[str]:
    if isinstance(refs, str):
        return [refs]
    seqs = [ref for ref in refs if isinstance(ref, int)]
    return [job.id for job in store.at(seqs)] if seqs else [ref for ref in refs if isinstance(ref, str)]


def _is_there(store: Store, ref: str) -> bool:
    try:
        store.get(ref)
    except (NotFound, Invalid):
        return False
    return True


def retry_dead(store: Store, who: str, refs: Refs, progress: Progress | None) -> Changed:
    """Moves dead jobs back to their queue. Others are refused."""
    return in_batches(store, refs, lambda batch: store.change(batch, Retried(), who, only_dead=True), progress)


def purge(store: Store, who: str, refs: Refs, progress: Progress | None) -> Changed:
    """Deletes dead jobs. Others are refused."""
    return in_batches(store, refs, lambda batch: _delete(store, who, batch, only_dead=True), progress)


def _delete(store: Store, who: str, refs: Refs, only_dead: bool = False) -> Results:
    with store.transaction():
        results = store.delete(refs, only_dead)
        if gone := [each.id for each in results if isinstance(each, Job)]:
            note(store, who, "Deleted", f"{len(gone)}: {', '.join(gone)}")
    return results


def in_batches(store: Store, refs: Refs, act: Callable[[Refs], Results], progress: Progress | None) -> Changed:
    """What `act` does to all these jobs, a batch at a time."""
    refs = [refs] if isinstance(refs, str) else refs  # a text is a sequence of texts too
    jobs, refused = list[Job](), list[QueuectlError]()
    for start in range(0, len(refs), BATCH):
        for result in act(refs[start : start + BATCH]):
            if isinstance(result, QueuectlError):
                refused.append(result)
            else:
                jobs.append(result)
        store.settle()  # before the next batch, whose jobs may depend on what this one has revived
        if progress:
            progress(len(jobs) + len(refused))
    return Changed(jobs=jobs, refused=refused)


class _TakenBack(Exception):
    """What was rehearsed has been done, and is to be rolled back."""


def taken_back(store: Store, act: Callable[[], T]) -> T:
    """What `act` returns: it acts in a transaction that is rolled back."""
    done = list[T]()
    with suppress(_TakenBack), store.transaction():
        done.append(act())
        raise _TakenBack
    return done[0]


def rehearsed(store: Store, act: Callable[[], Changed]) -> Changed:
    """What `act` would change and refuse: it acts in a transaction that is rolled back. The jobs are as before."""
    changed = taken_back(store, act)
    now = {job.seq: job for job in store.at([job.seq for job in changed.jobs])}
    return changed._replace(jobs=[now[job.seq] for job in changed.jobs if job.seq in now])


def prune(store: Store, who: str, selectors: Sequence[Selector], progress: Progress | None, limit: int | None) -> int:
    """Deletes finished jobs that match any selector. Returns their number. Raises `Invalid` for other states."""
    for selector in selectors:
        check_prunable(selector.states)
    done, most = 0, sys.maxsize if limit is None else limit
    for selector in selectors:
        while done < most and (removed := store.prune(selector, min(BATCH, most - done))):
            done += removed
            if progress:
                progress(done)
    store.settle()
    if done:
        note(store, who, "Pruned", f"{done} finished")
    return done


def check_prunable(states: Iterable[JobState]) -> None:
    """Raises `Invalid` if a state is not finished."""
    for state in states:
        if state not in FINISHED:
            raise Invalid(f"{state} jobs cannot be pruned", "only completed, cancelled and dead ones")


def note(store: Store, who: str, kind: str, detail: str) -> None:
    """Adds an entry to the audit log, for actions that no job's history shows."""
    from queuectl.store.past import Deed

    store.add_deed(Deed(at=store.now(), kind=kind, who=who, detail=detail[:DETAIL_MAX]))
