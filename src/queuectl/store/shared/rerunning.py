"""What jobs that are to run again wait for: what they depend on, as it is now."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.dependency import Wants, is_met, parse, why_not
from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.store.shared.rows import UNFINISHED
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
    reopened = _reopen(store, children)
    for parent in sorted(changing):  # somebody else is; what that comes to is looked at later
        store._execute("INSERT INTO {schema}.settlements (job) VALUES (?)", [parent])
    standing = standing_of(store, dict.fromkeys(job.seq for job in children))
    open_again = [job._replace(unmet=standing[job.seq].unmet) for job in children if job.seq in standing]
    changed = settle_children(store, open_again)
    circular = {job.seq for job in changed if job.finished}
    for child, batch in reopened:
        if child in circular:  # it does not wait for that batch
            store._execute("UPDATE {schema}.edges SET verdict = 1 WHERE child = ? AND batch = ?", [child, batch])
    return {job.seq: job for job in changed}


def _reopen(store: Session, children: Sequence[Job]) -> list[tuple[int, str]]:
    """Has those of these jobs whose batches are open again wait for them. Returns which for which."""
    text = (
        f"UPDATE {{schema}}.edges SET verdict = NULL WHERE child {store._dialect.any_of} AND verdict = 1 AND EXISTS "
        f"(SELECT 1 FROM {{schema}}.jobs WHERE jobs.batch = edges.batch AND state {UNFINISHED}) RETURNING child, batch"
    )
    found = store._select(text, [store._dialect.array([job.seq for job in children])])
    for name in sorted({name for _, name in found}):  # its last job may be ending just now
        added = store._select("INSERT INTO {schema}.settlements (batch) VALUES (?) RETURNING id", [name])
        store._newly_listed.update(id_ for (id_,) in added)
        store._has_listed = True
    return found
