"""What the end, the retry or the failures of a batch's jobs lead to: for those that wait for it, and for its own rest.

It is looked at from the work list alone, by whoever comes next, after the transaction in which a job of it has turned.
So two last jobs that end at once on two hosts cannot miss each other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from queuectl.domain.batch import Batch, lock_of, needs, with_lock
from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import CancelRequested, apply
from queuectl.store.shared import rows
from queuectl.store.shared.session import Session
from queuectl.store.shared.settling import (
    LIMITED,
    LISTED,
    SLICE,
    Parent,
    note_cancels,
    settle_edges,
    settle_ends,
    settle_some,
)


def counted(store: Session, names: Sequence[str] | None = None) -> list[Batch]:
    """The batches that a job or a setting names, by name."""
    given = [] if names is None else [store._dialect.array(names)]
    among = {column: "" if names is None else f"AND {column} {store._dialect.any_of}" for column in ("batch", "name")}
    text = f"SELECT batch, state, count(*) FROM {{schema}}.jobs WHERE batch IS NOT NULL {among['batch']} "
    counts: dict[str, dict[JobState, int]] = {}
    for name, state, jobs in store._select(f"{text} GROUP BY batch, state", given):
        counts.setdefault(name, {})[JobState(state)] = jobs
    text = f"SELECT name, at_most, max_fails FROM {{schema}}.batches WHERE 1 = 1 {among['name']}"
    limits = {name: (at_most, max_fails) for name, at_most, max_fails in store._select(text, given)}
    return [Batch(name, counts.get(name, {}), *limits.get(name, ())) for name in sorted(counts.keys() | limits.keys())]


def settle_listed(store: Session) -> bool:
    """Works on the whole list, inside a transaction. Returns whether it did anything."""
    has_done = settle_some(store)
    has_done = settle_batches(store, SLICE) or has_done
    settle_ends(store)
    return has_done


def settle_batches(store: Session, limit: int) -> bool:
    """Works on the list's batches, inside a transaction, for at most `limit` jobs. Returns whether it did anything."""
    text = f"SELECT id, batch, meant FROM {{schema}}.settlements WHERE batch IS NOT NULL ORDER BY id LIMIT {LISTED} "
    listed = [row for row in store._select(text + store._dialect.skip_locked) if row[0] not in store._newly_listed]
    newly_limited = {name for _, name, meant in listed if meant == LIMITED}
    left, done = limit, []
    for name in dict.fromkeys(name for _, name, _ in listed):
        if left <= 0:
            break
        is_calm = store._ask_if_calm(name, joined=True) if name in newly_limited else None
        looked, is_done = _settle_one(store, name, left)
        left -= looked
        if is_calm is not None:
            is_done = is_calm() and _limit(store, name) and is_done
        if is_done:
            done += [id_ for id_, batch, _ in listed if batch == name]
    if done:
        text = f"DELETE FROM {{schema}}.settlements WHERE id {store._dialect.any_of}"
        store._execute(text, [store._dialect.array(done)])
    return bool(done) or left < limit


def _settle_one(store: Session, name: str, limit: int) -> tuple[int, bool]:
    """Returns how many jobs it looked at, and whether nothing is left to do."""
    looked, is_done = 0, True
    if batch := _failing(store, name):
        looked, is_done = _cancel_rest(store, batch, limit)
        if looked >= limit:
            return looked, False
    is_calm = store._ask_if_calm(name)
    parent = as_parent(store, name)
    settled, is_settled = settle_edges(store, parent, limit - looked, anew=True)
    is_settled = is_settled and (is_calm() or (not parent.is_over and _runs_on(store, name)))
    if is_settled:
        _forget_empty(store, name)
    return looked + settled, is_done and is_settled


def cancel_failed(store: Session) -> None:
    """Cancels the first of the rest of batches of which this transaction has seen a job die, if too many are dead now.
    Others may have seen more die, but not fewer."""
    names, store._failing = store._failing, set()
    for name in sorted(names):
        if batch := _failing(store, name):
            _cancel_rest(store, batch, SLICE)
    settle_ends(store)


def _limit(store: Session, name: str) -> bool:
    """Has all jobs of a batch need its lock, if it still has a limit. Returns whether it is done."""
    store._hold_gates()
    limited = "SELECT 1 FROM {schema}.batches WHERE name = ? AND at_most IS NOT NULL"
    return not store._select(limited, [name]) or have_need(store, name)


def have_need(store: Session, name: str) -> bool:
    """Has all jobs of a batch with a limit need its lock, also those that run or have ended: they may run again. The
    caller holds the gates. Returns whether it is done: jobs that somebody is changing are left."""
    dialect, lock = store._dialect, lock_of(name)
    store._open_lines([lock])  # its capacity may have changed
    is_done = True
    for (kept,) in store._select("SELECT DISTINCT coalesce(locks, '[]') FROM {schema}.jobs WHERE batch = ?", [name]):
        locks = json.loads(kept)
        if needs(locks, lock):
            continue
        lacking = "batch = ? AND coalesce(locks, '[]') = ?"
        text = (
            f"UPDATE {{schema}}.jobs SET locks = ?, ready = CASE WHEN {dialect.is_parked} THEN TRUE ELSE ready END "
            f"WHERE seq IN (SELECT seq FROM {{schema}}.jobs WHERE {lacking} {dialect.skip_locked})"
        )
        store._execute(text, [rows.list_text(with_lock(locks, lock)), name, kept])
        store._open_lines([each.partition("=")[0] for each in locks])
        is_done = is_done and not store._select(f"SELECT 1 FROM {{schema}}.jobs WHERE {lacking} LIMIT 1", [name, kept])
    _have_running_hold(store, name, lock)
    return is_done


def _have_running_hold(store: Session, name: str, lock: str) -> None:
    """Has the jobs of a batch that run already hold a unit of its lock each. The lock only counts them. One that
    somebody is changing, perhaps since it has ended, either holds one or lacks the need for it still."""
    text = (
        "INSERT INTO {schema}.holds (lock, job, lease, units) SELECT ?, seq, lease, '[\"0\"]' FROM {schema}.jobs "
        f"WHERE batch = ? AND state = 'processing' {store._dialect.skip_locked} "
        "ON CONFLICT (lock, job) DO UPDATE SET lease = excluded.lease, units = excluded.units "
        "WHERE holds.lease <> excluded.lease"
    )
    store._execute(text, [lock, name])


def _forget_empty(store: Session, name: str) -> None:
    """Forgets what is set for a batch whose last job was removed, unless somebody is setting it just now."""
    has_jobs = "SELECT 1 FROM {schema}.jobs WHERE batch = ? LIMIT 1"
    text = f"SELECT 1 FROM {{schema}}.batches WHERE name = ? {store._dialect.removable}"
    if store._select(has_jobs, [name]) or not store._select(text, [name]):
        return
    if not store._select(has_jobs, [name]):
        store._execute("DELETE FROM {schema}.batches WHERE name = ?", [name])
        store._execute("DELETE FROM {schema}.locks WHERE name = ?", [lock_of(name)])


def _failing(store: Session, name: str) -> Batch | None:
    """The batch, if more of its jobs are dead than may be. Batches are counted only if one is."""
    has_dead = (
        "SELECT 1 FROM {schema}.batches WHERE name = ? AND max_fails IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM {schema}.jobs WHERE batch = batches.name AND state = 'dead')"
    )
    found = counted(store, [name]) if store._select(has_dead, [name]) else []
    return next((batch for batch in found if batch.has_failed_too_often), None)


def _runs_on(store: Session, name: str) -> bool:
    """Whether a batch in which jobs end all the time has one that runs and whose end nobody is recording: who ends that
    one later sees all who wait now. No lock is kept."""
    store._execute("SAVEPOINT looked_at_batch")
    text = "SELECT 1 FROM {schema}.jobs WHERE batch = ? AND state = 'processing' LIMIT 1"
    found = store._select(f"{text} {store._dialect.shared_unlocked}", [name])
    store._execute("ROLLBACK TO SAVEPOINT looked_at_batch")
    store._execute("RELEASE SAVEPOINT looked_at_batch")
    return bool(found)


def as_parent(store: Session, name: str) -> Parent:
    """The batch as those that wait for it see it; see `Batch.end`."""
    one_of = "EXISTS (SELECT 1 FROM {schema}.jobs WHERE batch = ? AND state"
    text = f"SELECT {one_of} {rows.UNFINISHED}), {one_of} IN ('dead', 'cancelled'))"
    text += ", EXISTS (SELECT 1 FROM {schema}.batches WHERE name = ? AND lost > 0)"
    is_open, has_failed, has_lost = store._select(text, [name, name, name])[0]
    if is_open:
        return Parent(None, JobState.PENDING, False, name)
    return Parent(None, JobState.DEAD if has_failed or has_lost else JobState.COMPLETED, True, name)


def _cancel_rest(store: Session, batch: Batch, limit: int) -> tuple[int, bool]:
    """Cancels the jobs that have not begun; the others finish."""
    text = f"WHERE batch = ? AND state {rows.WAITING} ORDER BY seq LIMIT {limit} {store._dialect.skip_locked}"
    found, now = store._jobs(text, [batch.name]), store.now()
    if found:
        why = f"batch {batch.name}: more than {batch.max_fails} of its jobs are dead"
        changed = [(job, apply(job, CancelRequested(why), now)) for job in found]
        store._write(changed, now)
        store._count(changed)
        note_cancels(store, changed, now)
        store._announce()
    rest = store._select(
        f"SELECT 1 FROM {{schema}}.jobs WHERE batch = ? AND state {rows.WAITING} LIMIT 1", [batch.name]
    )
    return len(found), not rest
