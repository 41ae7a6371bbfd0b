"""Unique keys: who holds them, decided in the transaction that adds or changes a job.

A row of `unique_keys` says which job may hold a key; whether it does follows from that job, so no crash can leave a key
taken. Two new jobs meet on the primary key: the later one waits for the other's transaction. Who holds a row of a key
may wait for a row of a job, and never the other way round: whoever holds a job takes a key only if nobody else has it
in hand. Keys are taken in their order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from queuectl.domain.errors import Conflict, KeyTaken, KeyTwice
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import Replaced, apply, begun
from queuectl.domain.unique import Fate, Held, Rule, after, fate, state_in_words
from queuectl.store.arrivals import Admitted, Arrival
from queuectl.store.shared.rows import WAITING
from queuectl.store.shared.session import Session

WRITING = (Fate.ADDED, Fate.NEXT, Fate.MERGED)


def admit(store: Session, arrivals: Sequence[Arrival]) -> tuple[list[Admitted], list[tuple[Job, Job]]]:
    """See `ArrivalStore.admit`. Also returns the jobs to replace by others, as pairs; they are locked."""
    wanted, rules = _wanted(arrivals)
    now = store.now()
    found, new = _taken(store, {key: arrivals[wanted[key][0]].job.id for key in sorted(wanted)}, rules, now)
    deciding = _Deciding(now)
    for key in sorted(wanted):
        deciding.of_key(key, found[key], [(at, arrivals[at]) for at in wanted[key]])
    for key, held in deciding.moved.items():
        if key not in new:
            text = "UPDATE {schema}.unique_keys SET job = ?, before = ? WHERE key = ?"
            store._execute(text, [*(job and job.id for job in held), key])
    merged = [(before, after) for before, after in deciding.merged.values() if before.seq]
    return [deciding.admitted(at) for at in range(len(arrivals))], merged


def _wanted(arrivals: Sequence[Arrival]) -> tuple[dict[str, list[int]], dict[str, set[Rule]]]:
    """The places of the new jobs that want each key, and their rules."""
    wanted: dict[str, list[int]] = {}
    for at, arrival in enumerate(arrivals):
        assert arrival.job.unique_key is not None
        wanted.setdefault(arrival.job.unique_key, []).append(at)
    return wanted, {key: {arrivals[at].rule or Rule.IGNORE for at in places} for key, places in wanted.items()}


def hold(store: Session, arrivals: Sequence[Arrival]) -> list[str]:
    """Has nobody else change who holds the keys of these new jobs, where `admit` is going to, until this transaction
    ends. Locks no job. Returns the ids of those that `admit` may lock."""
    wanted, rules = _wanted(arrivals)
    _add(store, {key: arrivals[wanted[key][0]].job.id for key in sorted(wanted)})
    now, there = store.now(), _holders(store, sorted(wanted))
    changing = [key for key, held in there.items() if _may_change(held, rules[key], now)]
    text = f"SELECT job, before FROM {{schema}}.unique_keys WHERE key {store._dialect.any_of} "
    found = store._select(f"{text} ORDER BY key {store._dialect.locked}", [store._dialect.array(changing)])
    return [job for jobs in found for job in jobs if job is not None]


class _Deciding:
    """Decides about one new job after the other. `moved`: keys that others hold then; `merged`: what to rewrite."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._fates: dict[int, tuple[str, Fate]] = {}
        self._jobs: dict[str, Job] = {}
        self.moved: dict[str, Held] = {}
        self.merged: dict[str, tuple[Job, Job]] = {}

    def of_key(self, key: str, held: Held, arrivals: Sequence[tuple[int, Arrival]]) -> None:
        for at, (new, rule, delay) in arrivals:
            holder = held.by(self._now)
            what = fate(holder, rule or Rule.IGNORE)
            if what is Fate.REFUSED:
                assert holder is not None
                raise taken(key, holder) if holder.seq else KeyTwice(key)
            if holder is None:
                holder = new
                held = self.moved[key] = Held(new)
            elif what is Fate.NEXT:
                new = begun(after(new, holder))
                held = self.moved[key] = Held(new, holder)
                holder = new
            elif what is Fate.MERGED:
                merged = apply(holder, Replaced(new, delay), self._now)
                before, _ = self.merged.get(holder.id, (holder, holder))
                self.merged[holder.id] = before, merged
                held = Held(*(merged if each is holder else each for each in held))
                holder = merged
            self._jobs[holder.id] = holder
            self._fates[at] = holder.id, what

    def admitted(self, at: int) -> Admitted:
        """What became of a new job, given by its place."""
        job_id, what = self._fates[at]
        return Admitted(self._jobs[job_id], what)


def _taken(
    store: Session, wanted: Mapping[str, str], rules: Mapping[str, Collection[Rule]], now: float
) -> tuple[dict[str, Held], set[str]]:
    """Takes the free keys for these jobs. Returns who holds each, and which nobody had. Where something may change,
    nobody else changes it until this transaction ends."""
    found: dict[str, Held] = {}
    new: set[str] = set()
    while pending := {key: job for key, job in wanted.items() if key not in found}:
        taken = _add(store, pending)
        new |= taken
        found |= dict.fromkeys(taken, Held(None))
        there = _holders(store, [key for key in pending if key not in taken])
        kept = {key for key, held in there.items() if not _may_change(held, rules[key], now)}
        found |= {key: there[key] for key in kept}
        found |= _holders(store, [key for key in there if key not in kept], locked=True)
    return found, new


def _may_change(held: Held, rules: Collection[Rule], now: float) -> bool:
    return any(fate(held.by(now), rule) in WRITING for rule in rules)


def _add(store: Session, wanted: Mapping[str, str], at_once: bool = False) -> set[str]:
    """Adds rows for keys that have none, and returns these; `at_once`: but for those that others are adding."""
    pairs = store._dialect.pairs
    text = f"INSERT INTO {{schema}}.unique_keys (key, job) {pairs} ON CONFLICT (key) DO NOTHING RETURNING key"
    arrays = [store._dialect.array(list(part)) for part in (wanted, wanted.values())]
    found = store._select_at_once(text, arrays) if at_once else store._select(text, arrays)
    return {key for (key,) in found or ()}


def _holders(store: Session, keys: Sequence[str], locked: bool = False) -> dict[str, Held]:
    """Who may hold each of these keys; those that are in no row any more are missing. If they are to be `locked`, so
    are those jobs that wait; none is removed."""
    if not keys:
        return {}
    lock = store._dialect.locked if locked else ""
    text = f"SELECT key, job, before FROM {{schema}}.unique_keys WHERE key {store._dialect.any_of} ORDER BY key {lock}"
    rows = store._select(text, [store._dialect.array(keys)])
    ids = sorted({job for _, *jobs in rows for job in jobs if job is not None})
    found = _jobs_to_wait(store, ids) if locked else _jobs_of(store, ids)
    jobs = {(job.id, job.unique_key): job for job in found}
    return {key: Held(jobs.get((job, key)), jobs.get((before, key))) for key, job, before in rows}


def _jobs_of(store: Session, ids: Sequence[str], lock: str = "") -> list[Job]:
    text = f"WHERE id {store._dialect.any_of} AND unique_key IS NOT NULL ORDER BY seq {lock}"
    return store._jobs(text, [store._dialect.array(ids)])


def _jobs_to_wait(store: Session, ids: Sequence[str]) -> list[Job]:
    """These jobs, of which those that wait are locked, and stay so. One that runs may end meanwhile: a worker does not
    wait for whoever has its key in hand, perhaps for long."""
    found, locked = _jobs_of(store, ids, store._dialect.kept), set[int]()
    text = f"SELECT seq FROM {{schema}}.jobs WHERE seq {store._dialect.any_of} AND state {WAITING} "
    while waiting := [job.seq for job in found if _waits(job) and job.seq not in locked]:
        locking = f"{text} ORDER BY seq {store._dialect.locked}"
        locked.update(seq for (seq,) in store._select(locking, [store._dialect.array(waiting)]))
        found = _jobs_of(store, ids)
    return found


def _waits(job: Job) -> bool:
    return not job.finished and job.state is not JobState.PROCESSING


def take_again(store: Session, job: Job, again: dict[str, Job], now: float) -> None:
    """A finished job is to run again. Raises `Conflict` if another one holds its unique key.

    `again`: the jobs that are to run again and are not written yet, by their keys. The job is locked, so this waits for
    nobody who has the key in hand.
    """
    key = job.unique_key
    assert key is not None
    if first := again.get(key):
        raise taken(key, first, job)
    text = f"SELECT job, before FROM {{schema}}.unique_keys WHERE key = ? {store._dialect.skip_locked}"
    found = store._select(text, [key])
    if not found:
        if not _add(store, {key: job.id}, at_once=True):
            raise Conflict(f"job {job.id} cannot run again: another job is taking its unique key {key!r}", "try again")
        again[key] = job
        return
    ((newest, _),) = found
    holder = _holders(store, [key])[key].by(now)
    if holder is None or holder.id == job.id:
        if newest != job.id:
            store._execute("UPDATE {schema}.unique_keys SET job = ?, before = NULL WHERE key = ?", [job.id, key])
        again[key] = job
        return
    raise taken(key, holder, job)


def forget(store: Session, job_ids: Sequence[str]) -> None:
    """These jobs are being removed. A key that somebody has in hand at the moment stays with him."""
    among, values = store._dialect.any_of, [store._dialect.array(job_ids)]
    mine = f"key IN (SELECT key FROM {{schema}}.unique_keys WHERE job {among} {store._dialect.skip_locked})"
    store._execute(f"DELETE FROM {{schema}}.unique_keys WHERE {mine} AND before IS NULL", values)
    store._execute(f"UPDATE {{schema}}.unique_keys SET job = before, before = NULL WHERE {mine}", values)


def taken(key: str, holder: Job, again: Job | None = None) -> KeyTaken:
    """The error for a new job, or for one that is to run again, whose key another one holds."""
    return KeyTaken(key, f"{holder.id} ({state_in_words(holder)})", again.id if again else None, holder.finished)
