"""What jobs that are to run again wait for: what they depend on, as it is now."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.dependency import Wants, is_met, parse, why_not
from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.store.shared.batch_ends import as_parent
from queuectl.store.shared.session import Session
from queuectl.store.shared.settling import settle_children, standing_of


def reconsider(store: Session, children: Sequence[Job]) -> dict[int, Job]:
    """Has jobs that are to run again, which are locked, wait for what they depend on as it is now; those that this
    changes, by their number. What is not there any more keeps its meaning."""
    array, any_of = store._dialect.array, store._dialect.any_of
    text = (
        f"SELECT child, ref, parent, wants, verdict FROM {{schema}}.edges WHERE child {any_of} AND parent IS NOT NULL"
    )
    found = store._select(text, [array([job.seq for job in children])])
    parents = array(sorted({parent for _, _, parent, *_ in found}))
    there = f"SELECT seq, state FROM {{schema}}.jobs WHERE seq {any_of}"
    known = {
        seq: JobState(state) for seq, state in store._select(f"{there} {store._dialect.shared_unlocked}", [parents])
    }
    changing = {seq for seq, _ in store._select(there, [parents])} - known.keys()
    decided = []
    for child, ref, parent, wants, verdict in found:
        if parent in changing:
            state, now_is = None, None
        elif state := known.get(parent):
            now_is = int(is_met(Wants(wants), state)) if state in FINISHED else None
        else:
            continue
        if now_is != verdict:
            why = why_not(parse(ref).name, state) if state and now_is == 0 else None
            decided.append((now_is, why, child, ref))
    if decided:
        store._send_rows("decide_edge", decided)
    reopened = _reconsider_batches(store, children)
    for parent in sorted(changing):  # somebody else is; what that comes to is looked at later
        store._execute("INSERT INTO {schema}.settlements (job) VALUES (?)", [parent])
    standing = standing_of(store, dict.fromkeys(job.seq for job in children))
    open_again = [job._replace(unmet=standing[job.seq].unmet) for job in children if job.seq in standing]
    changed = settle_children(store, open_again)
    circular = {job.seq for job in changed if job.finished}
    if as_before := [edge for edge in reopened if edge[2] in circular]:  # they do not wait for those batches
        store._send_rows("decide_edge", as_before)
    return {job.seq: job for job in changed}


def _reconsider_batches(store: Session, children: Sequence[Job]) -> list[tuple[int, str | None, int, str]]:
    """The same for the batches that these jobs depend on. Returns what was decided of those that are open again."""
    text = (
        f"SELECT verdict, why, child, ref, batch, wants FROM {{schema}}.edges WHERE child {store._dialect.any_of} "
        "AND verdict IS NOT NULL AND EXISTS (SELECT 1 FROM {schema}.jobs WHERE jobs.batch = edges.batch)"
    )
    found = store._select(text, [store._dialect.array([job.seq for job in children])])
    batches = {name: as_parent(store, name) for name in sorted({name for *_, name, _ in found})}
    reopened, decided, unmet = [], [], set[str]()
    for verdict, why, child, ref, name, wants in found:
        batch = batches[name]
        now_is = int(is_met(Wants(wants), batch.state)) if batch.is_over else None
        if now_is is None:
            reopened.append((verdict, why, child, ref))
        if not now_is:
            unmet.add(name)
        if now_is != verdict:
            decided.append((now_is, batch.why_not(ref) if now_is == 0 else None, child, ref))
    if decided:
        store._send_rows("decide_edge", decided)
    for name in sorted(unmet):  # its last job may be ending now, or one that failed be retried
        added = store._select("INSERT INTO {schema}.settlements (batch) VALUES (?) RETURNING id", [name])
        store._newly_listed.update(id_ for (id_,) in added)
        store._has_listed = True
    return reopened
