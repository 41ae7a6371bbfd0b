"""Takes in jobs that were exported, as they were: their state, attempts and results too, and what they depend on.

No lifecycle event leads to these states: they are carried over, as a copy of a store carries them over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from queuectl.domain.dependency import Wants, parse
from queuectl.domain.fault import fault
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import begun
from queuectl.domain.unique import Rule, holds
from queuectl.store.arrivals import Arrival
from queuectl.store.shared import rows
from queuectl.store.shared.arriving import batches_there, edge_of, parents_of
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.jobs import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.store.arrivals import Admitted
    from queuectl.store.shared.limits import Limits

BLOCKED, PENDING, PROCESSING = JobState.BLOCKED, JobState.PENDING, JobState.PROCESSING
NEW: dict[str, Any] = {
    name: Job._field_defaults[name]
    for name in rows.LIFE
    if name in Job._field_defaults and name not in ("held", "start_by")
} | {"seq": 0, "lease": 0}
"""The life of a job that has just been added, but for what its user says of it."""
KEPT = [name for name in NEW if name not in ("seq", "lease", "unmet", "cancel_requested", "place")]
"""What of a life is carried over."""


def take_in(
    store: Limits, insert: Callable[[Iterable[Job]], object], admit: Callable[[Sequence[Arrival]], list[Admitted]],
    pages: Iterable[Sequence[Job]],
) -> int:  # fmt: skip
    """Adds them, all or none; returns how many. What they depend on is among them or in the store. `insert` and `admit`
    are the store's own."""
    number, depending = 0, list[tuple[int, Job]]()
    with store.transaction(), store.together():
        for page in pages:
            number += len(page)
            jobs = [_put_down(job) for job in page]
            insert([begun(_young(job)) for job in jobs])
            _take_keys(store, admit, jobs)
            depending += _grow(store, jobs)
        _tie(store, depending)
    return number


def _put_down(job: Job) -> Job:
    """A job that somebody ran waits again: here nobody does."""
    if job.state is not PROCESSING:
        return job
    return job._replace(
        state=PENDING, worker=None, host=None, started_at=None, next_retry_at=None, progress=None
    )  # fmt: skip


def _grow(store: Limits, jobs: Sequence[Job]) -> list[tuple[int, Job]]:
    """Gives new jobs their past. Returns those that depend on others and do not wait for them any more, with their
    `seq`."""
    if not any(_has_past(job) or job.depends_on for job in jobs):
        return []
    text = f"WHERE id {store._dialect.any_of}"
    there = {job.id: job for job in store._jobs(text, [store._dialect.array([job.id for job in jobs])])}
    pairs = [(there[job.id], _grown(there[job.id], job)) for job in jobs if _has_past(job) and job.state is not BLOCKED]
    if pairs:
        store._write(pairs, store.now())
        for before, after in pairs:  # not by `_count`: what ended long ago leads to nothing
            store._counted[before.queue, before.state.value] -= 1
            store._counted[after.queue, after.state.value] += 1
    for job in jobs:
        if job.lease:  # what commands fence themselves by goes on growing
            store._execute("UPDATE {schema}.jobs SET lease = ? WHERE seq = ?", [job.lease, there[job.id].seq])
    return [(there[job.id].seq, job) for job in jobs if job.depends_on and job.state is not BLOCKED]


def _young(job: Job) -> Job:
    """The job as it was when it was new; what it no longer waits for is tied to it later."""
    waits = job.depends_on if job.state is BLOCKED else ()
    return job._replace(**NEW, depends_on=waits)


def _has_past(job: Job) -> bool:
    return any(getattr(job, name) != NEW[name] for name in KEPT)


def _grown(young: Job, job: Job) -> Job:
    values = {name: getattr(job, name) for name in KEPT}
    values["starts"] = max(job.starts, job.attempts + job.lost)
    if job.error is not None and job.state in (JobState.DEAD, JobState.FAILED):
        values["fault"] = fault(job.queue, command_line(job.command), job.error, None)
    return young._replace(**values)


def _take_keys(store: Limits, admit: Callable[[Sequence[Arrival]], list[Admitted]], jobs: Sequence[Job]) -> None:
    """Raises `KeyTaken` for a unique key that another job holds."""
    now, arrivals = store.now(), []
    for job in jobs:
        if job.unique_key is None or not holds(job, now):
            continue
        refs = [parse(ref) for ref in job.depends_on]
        if before := next((ref.name for ref in refs if ref.wants is Wants.ANY and not ref.is_batch), None):
            text = "SELECT 1 FROM {schema}.unique_keys WHERE key = ? AND job = ?"
            if store._select(text, [job.unique_key, before]):  # it waits for the end of the key's holder
                text = "UPDATE {schema}.unique_keys SET job = ?, before = ? WHERE key = ?"
                store._execute(text, [job.id, before, job.unique_key])
                continue
        arrivals.append(Arrival(job._replace(seq=0), Rule.ERROR))
    admit(arrivals)


def _tie(store: Limits, depending: Sequence[tuple[int, Job]]) -> None:
    """Keeps what jobs depend on that do not wait for it any more. A dependency that held still holds. What one was
    cancelled for, and what it waited for besides, is as it is here: a retry revives it then as where it was."""
    if not depending:
        return
    store._shut_out_older()
    wanted = {(on.name, on.is_batch) for _, job in depending for on in map(parse, job.depends_on)}
    parents = parents_of(store, {name for name, is_batch in wanted if not is_batch})
    batches = batches_there(store, {name for name, is_batch in wanted if is_batch})
    edges, unmet = [], []
    for seq, job in depending:
        there = [on for on in map(parse, job.depends_on) if on.name in (batches if on.is_batch else parents)]
        child = job._replace(seq=seq, batch=None)  # one that has been in a batch after it is tied to it all the same
        mine = [edge_of(child, on, parents, batches) for on in there]
        if job.state is not JobState.CANCELLED or job.error not in [why for *_, why in mine if why is not None]:
            mine = [(*edge, 1, None) for *edge, _, _ in mine]  # a person has cancelled it, or it has expired
        edges += mine
        unmet.append((rows.list_text(job.depends_on), sum(1 for *_, verdict, _ in mine if verdict != 1), seq))
    for values in unmet:
        store._execute("UPDATE {schema}.jobs SET depends_on = ?, unmet = ? WHERE seq = ?", values)
    if edges:
        store._send_rows("add_edge", edges)
