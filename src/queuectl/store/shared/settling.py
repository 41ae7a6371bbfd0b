"""Settles dependencies: what the end, the retry or the removal of a job means for the jobs that depend on it.

- An edge is decided under the lock of its child, and `lifecycle.apply` says what becomes of the child.
- Nobody waits for a child's lock: what is locked is left on the work list `settlements`, and so is all beyond a slice.
- A row of that list is removed once nothing is left to do for its job. Whoever works on it reads the row first, then
  the job, then the edges: what is committed in between has a row of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from queuectl.domain.dependency import Wants, is_met, parse, why_not
from queuectl.domain.errors import Conflict
from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.domain.lifecycle import CancelRequested, Settled, apply
from queuectl.store.shared.session import Session
from queuectl.typed import NamedTuple

DEAD = JobState.DEAD
SLICE = 1000
"""The most dependents that are settled in one transaction."""
NEVER = -1.0
UNMET = "(SELECT job.unmet FROM {schema}.jobs AS job WHERE job.seq = edges.child)"
"""Of an edge's child; NULL where that is gone. No join: PostgreSQL would begin one with all edges of the parent."""
OPEN = "(edges.verdict IS NULL OR (edges.verdict = 1 AND edges.batch IS NOT NULL))"
"""Of a blocked job's edges, those it waits for. A batch that was done counts too: it may be open again before the job
starts."""
LIMITED = "limited"
"""What a row of the work list is meant for if a limit was set whose lock jobs of the batch may not need yet."""
LISTED = 100
"""The most rows of the work list that are looked at in one transaction."""


class Parent(NamedTuple):
    """A job that others depend on, or a batch. `state`: as it is now, or was when it was removed; see `Batch.end`.
    `is_over`: that is final."""

    seq: int | None
    state: JobState
    is_over: bool
    batch: str | None = None

    @property
    def key(self) -> tuple[str, object]:
        """The column of edges that names it, and the value there."""
        return ("parent", self.seq) if self.batch is None else ("batch", self.batch)

    @property
    def named(self) -> str:
        """The same column as an expression for which no index is used: edges are found by their children."""
        return "parent + 0" if self.batch is None else "batch || ''"

    def why_not(self, ref: str) -> str:
        """Why a dependency on it cannot hold."""
        if self.batch is None:
            return why_not(parse(ref).name, self.state)
        return f"batch {self.batch} has {'failed' if self.state is JobState.DEAD else 'completed'}"


def settle_ends(store: Session, most: int = SLICE) -> None:
    """Settles what depends on the jobs that have turned in this transaction, and on those that this cancels: `most`
    dependents at once. The rest goes on the work list."""
    left = most
    while store._turned:
        turned, store._turned = store._turned, {}
        if batches := {job.batch for job in turned.values() if job.batch is not None}:
            store._turn_batches(batches)
            note_batches(store, batches, {job.batch for job in turned.values() if job.batch and job.state is DEAD})
        parents = [Parent(seq, turned[seq].state, turned[seq].finished) for seq in _awaited(store, turned.values())]
        for parent in parents:
            looked, is_done = settle_edges(store, parent, left) if left > 0 else (0, False)
            left -= looked
            if not is_done:
                store._execute("INSERT INTO {schema}.settlements (job) VALUES (?)", [parent.seq])
                store._has_listed = True
                store._announce(1)


def note_batches(store: Session, names: Collection[str], failing: Collection[str], removed: bool = False) -> None:
    """Jobs of these batches have ended, run again, are new or are being removed: puts those on the work list that
    somebody watches. `failing`: those that may have too many dead jobs now."""
    which = "" if removed else "max_fails IS NOT NULL AND"
    any_of, array = store._dialect.any_of, store._dialect.array
    listing = (
        "INSERT INTO {schema}.settlements (batch) "
        f"SELECT name FROM {{schema}}.batches WHERE {which} name {any_of} UNION "
        "SELECT edges.batch FROM {schema}.edges JOIN {schema}.jobs AS child ON child.seq = edges.child "
        f"WHERE edges.batch {any_of} AND child.unmet > 0 RETURNING id"
    )
    if added := store._select(listing, [array(sorted(failing)), array(sorted(names))]):
        store._newly_listed.update(id_ for (id_,) in added)
        store._has_listed = True
        store._announce(len(added))
    store._failing.update(failing)


def note_unlimited(store: Session, names: Collection[str]) -> None:
    """New jobs of these batches do not need their locks. Somebody may have limited them since that was found out;
    whoever is about to looks again once this transaction is over."""
    store._turn_batches(names, joined=True)
    limited = f"SELECT name FROM {{schema}}.batches WHERE at_most IS NOT NULL AND name {store._dialect.any_of}"
    text = f"INSERT INTO {{schema}}.settlements (batch, meant) SELECT name, '{LIMITED}' FROM ({limited}) AS each"
    store._execute(text, [store._dialect.array(sorted(names))])


def note_lost(store: Session, seqs: Sequence[int]) -> None:
    """These jobs are being removed. What those that have not completed mean for a batch is kept while others wait for
    it: a removal counts as a cancel."""
    text = (
        "INSERT INTO {schema}.batches (name, lost) SELECT batch, count(*) FROM {schema}.jobs "
        f"WHERE seq {store._dialect.any_of} AND state <> 'completed' AND batch IN (SELECT edges.batch FROM "
        "{schema}.edges JOIN {schema}.jobs AS child ON child.seq = edges.child AND child.unmet > 0) GROUP BY batch "
        "ORDER BY batch "  # everybody locks them in this order
        "ON CONFLICT (name) DO UPDATE SET lost = batches.lost + excluded.lost"
    )
    store._execute(text, [store._dialect.array(seqs)])


def settle_some(store: Session) -> bool:
    """Works on the list, inside a transaction, for a slice at most. Returns whether it did anything."""
    text = f"SELECT id, job, meant FROM {{schema}}.settlements WHERE job IS NOT NULL ORDER BY id LIMIT {LISTED} "
    listed = store._select(text + store._dialect.skip_locked)
    meant = {job: JobState(state) for _, job, state in listed if state}
    left, done = SLICE, []
    for seq in dict.fromkeys(job for _, job, _ in listed):
        if left <= 0:
            break
        parent = _parent(store, seq, meant.get(seq, JobState.PENDING))
        if parent is None:
            continue
        is_known = seq in meant or parent.state in FINISHED or not parent.is_over
        # What was decided while somebody still saw it holds for one that is gone.
        looked, is_done = settle_edges(store, parent, left, anew=is_known)
        left -= looked
        if is_done:
            done += [id_ for id_, job, _ in listed if job == seq]
    if done:
        text = f"DELETE FROM {{schema}}.settlements WHERE id {store._dialect.any_of}"
        store._execute(text, [store._dialect.array(done)])
    settle_ends(store)
    return bool(done) or left < SLICE


def _parent(store: Session, seq: int, meant: JobState) -> Parent | None:
    """The job as it is, which stays so until this transaction ends. None: somebody is changing it just now."""
    text = "SELECT state FROM {schema}.jobs WHERE seq = ?"
    if found := store._select(f"{text} {store._dialect.shared_unlocked}", [seq]):
        state = JobState(found[0][0])
        return Parent(seq, state, state in FINISHED)
    if store._dialect.shared_unlocked and store._select(text, [seq]):
        return None
    return Parent(seq, meant, True)


def _awaited(store: Session, turned: Iterable[Job]) -> list[int]:
    """Those of these jobs with an edge that their new state changes, in the order of `seq`. One that has ended: an
    undecided edge. One that runs again: a decided one, of a dependent that is blocked or was cancelled for it."""
    array, any_of = store._dialect.array, store._dialect.any_of
    jobs = list(turned)
    ended, again = [job.seq for job in jobs if job.finished], [job.seq for job in jobs if not job.finished]
    found: list[tuple[int]] = []
    if ended:
        found += store._select(
            "SELECT seq FROM {schema}.jobs WHERE EXISTS (SELECT 1 FROM {schema}.edges WHERE verdict IS NULL) "
            f"AND seq {any_of} "
            "AND EXISTS (SELECT 1 FROM {schema}.edges WHERE parent = jobs.seq AND verdict IS NULL)",
            [array(ended)],
        )
    if again:
        found += store._select(
            f"SELECT seq FROM {{schema}}.jobs WHERE seq {any_of} AND EXISTS (SELECT 1 FROM {{schema}}.edges "
            "JOIN {schema}.jobs AS child ON child.seq = edges.child AND child.unmet > 0 "
            "WHERE edges.parent = jobs.seq AND edges.verdict IS NOT NULL)",
            [array(again)],
        )
    return sorted(seq for (seq,) in found)


def settle_edges(store: Session, parent: Parent, limit: int, anew: bool = False) -> tuple[int, bool]:
    """Brings at most `limit` edges of a job in line with its state. Returns how many, and whether none is left.

    `anew`: also those that were decided by an earlier end, in case nobody has looked at the retry in between.
    """
    if not parent.is_over:
        return _look(store, parent, f"verdict IS NOT NULL AND {UNMET} > 0", limit)
    looked, is_done = _look(store, parent, f"verdict IS NULL AND {UNMET} IS NOT NULL", limit)
    if is_done and anew and looked < limit:
        met = ", ".join(f"'{wants}'" for wants in Wants if is_met(wants, parent.state))
        outdated = f"{UNMET} > 0 AND verdict <> CAST(wants IN ({met}) AS integer)"
        again, is_done = _look(store, parent, outdated, limit - looked)
        looked += again
    return looked, is_done


def _look(store: Session, parent: Parent, condition: str, limit: int) -> tuple[int, bool]:
    column, key = parent.key
    found = store._select(
        f"SELECT child, ref, wants FROM {{schema}}.edges WHERE {column} = ? AND {condition} "
        f"ORDER BY {column}, verdict, child LIMIT {limit}",  # as its index has them: a slice reads no more than itself
        [key],
    )
    if not found:
        return 0, True
    any_of, array = store._dialect.any_of, store._dialect.array
    text = f"SELECT seq, queue, held, state, unmet FROM {{schema}}.jobs WHERE seq {any_of} ORDER BY seq"
    seqs = array(sorted({child for child, *_ in found}))
    locked = {row[0]: Child(*row) for row in store._select(f"{text} {store._dialect.skip_locked}", [seqs])}
    mine = [(child, ref, wants) for child, ref, wants in found if child in locked]
    changed = [locked[seq] for seq in sorted(_decide(store, parent, mine)) if locked[seq].unmet]
    if others := _settle_alike(store, changed):
        settle_children(store, store._jobs(f"WHERE seq {any_of} ORDER BY seq", [array(others)]))
    return len(found), len(found) < limit and len(mine) == len(found)


class Child(NamedTuple):
    """What tells how a dependent, which is locked, takes a change."""

    seq: int
    queue: str
    held: bool
    state: str
    unmet: int


def _settle_alike(store: Session, children: Sequence[Child]) -> list[int]:
    """Has blocked jobs go on to wait, or be free, many at once: what becomes of one becomes of all that are like it.
    Returns the others, by their `seq`."""
    blocked = {child.seq: child for child in children if child.state == JobState.BLOCKED}
    standing = standing_of(store, dict.fromkeys(blocked)) if blocked else {}
    groups: dict[tuple[bool, int], list[Child]] = {}
    for seq, child in blocked.items():
        unmet, error = standing.get(seq, Settled(0))
        if error is None and unmet != child.unmet:
            groups.setdefault((bool(child.held), unmet), []).append(child)
    now = store.now()
    for (_, unmet), alike in groups.items():
        (one,) = store._jobs("WHERE seq = ?", [alike[0].seq])
        after = apply(one, Settled(unmet), now)
        ready_by = now if after.claimable else NEVER
        seqs = store._dialect.array([child.seq for child in alike])
        store.send("write_alike", state=after.state.value, unmet=unmet, now=now, ready_by=ready_by, seqs=seqs)
        if after.state is not one.state:
            for queue, jobs in Counter(child.queue for child in alike).items():
                store._counted[queue, one.state.value] -= jobs
                store._counted[queue, after.state.value] += jobs
            store._has_released = True
            store._announce(len(alike) if after.claimable else 0)
    done = {child.seq for alike in groups.values() for child in alike}
    return [child.seq for child in children if child.seq not in done]


def _decide(store: Session, parent: Parent, found: Sequence[tuple[int, str, str]]) -> set[int]:
    """Gives these edges the verdict that follows from the state of what they depend on; the children concerned."""
    changed: set[int] = set()
    _, key = parent.key
    for wants in sorted({wants for *_, wants in found}):
        mine = [(child, ref) for child, ref, wanted in found if wanted == wants]
        verdict, why = None, None
        if parent.is_over:
            verdict = int(is_met(Wants(wants), parent.state))
            why = None if verdict else parent.why_not(mine[0][1])
        text = (
            f"UPDATE {{schema}}.edges SET verdict = ?, why = ? WHERE child {store._dialect.any_of} "
            f"AND {parent.named} = ? AND wants = ? RETURNING child"
        )
        children = store._dialect.array([child for child, _ in mine])
        changed.update(child for (child,) in store._select(text, [verdict, why, children, key, wants]))
    return changed


def settle_children(store: Session, children: Sequence[Job]) -> list[Job]:
    """Has these jobs, which are locked, become what their edges say. One that has begun or ended otherwise stays."""
    waiting = [job for job in children if job.unmet > 0]
    if not waiting:
        return []
    now, standing = store.now(), standing_of(store, {job.seq: job.error for job in waiting})
    changed = [(job, apply(job, standing.get(job.seq, Settled(0)), now)) for job in waiting]
    again: dict[str, Job] = {}
    changed = [(job, _if_unique(store, job, after, again, now)) for job, after in changed]
    changed = [(job, after) for job, after in changed if _told(job) != _told(after)]
    if changed:
        store._write(changed, now)
        store._count(changed)
        note_cancels(store, changed, now)
        store._has_released = True
        store._announce(sum(after.claimable for _, after in changed))
    cancelled = _in_circles(store, [after for job, after in changed if job.state is not JobState.BLOCKED], now)
    return [cancelled.get(after.seq, after) for _, after in changed]


def note_cancels(store: Session, changed: Iterable[tuple[Job, Job]], now: float) -> None:
    """Notes why jobs were cancelled that nobody has cancelled by hand."""
    ended = [after for job, after in changed if after.state is JobState.CANCELLED is not job.state]
    if ended:
        kind = CancelRequested.__name__
        store._cancelled = [*store._cancelled, *ended]
        store._send_rows("note_detail", [(now, job.seq, kind, None, job.error) for job in ended])


def _in_circles(store: Session, again: Sequence[Job], now: float) -> dict[int, Job]:
    """Cancels those of these jobs, which run again, that would wait for themselves: over a batch that got a job since
    then which waits for them. New jobs are refused for it."""
    waiting = [job for job in again if job.state is JobState.BLOCKED]
    if not waiting or not store._select("SELECT 1 FROM {schema}.edges WHERE batch IS NOT NULL LIMIT 1"):
        return {}
    if len(waiting) > 1 and not _wait_for_each_other(store, waiting):
        return {}
    changed = []
    for job in waiting:
        if _wait_for_each_other(store, [job]):
            why = f"jobs wait for each other: {job.id} after others after {job.id}"
            changed.append((job, apply(job, Settled(job.unmet, why), now)))
            store._write(changed[-1:], now)
            store._count(changed[-1:])
            note_cancels(store, changed[-1:], now)
    return {after.seq: after for _, after in changed}


def _wait_for_each_other(store: Session, jobs: Sequence[Job]) -> bool:
    """Whether one of these jobs waits for one of them, over others or their batches."""
    among, seqs = store._dialect.any_of, store._dialect.array([job.seq for job in jobs])
    step = (
        "JOIN {schema}.jobs AS next ON (next.seq = edges.parent OR next.batch = edges.batch) "
        f"AND next.state = 'blocked' WHERE {OPEN}"
    )
    text = (
        f"WITH RECURSIVE up (seq) AS (SELECT next.seq FROM {{schema}}.edges {step} AND edges.child {among} "
        f"UNION SELECT next.seq FROM up JOIN {{schema}}.edges ON edges.child = up.seq {step}) "
        f"SELECT 1 FROM up WHERE seq {among} LIMIT 1"
    )
    return bool(store._select(text, [seqs, seqs]))


def _told(job: Job) -> tuple[object, ...]:
    return job.state, job.unmet, job.error


def _if_unique(store: Session, job: Job, after: Job, again: dict[str, Job], now: float) -> Job:
    """The job after a change that may revive it. One whose unique key somebody else holds by now stays cancelled."""
    if job.unique_key is None or not job.finished or after.finished:
        return after
    from queuectl.store.shared.unique import take_again

    try:
        take_again(store, after, again, now)
    except Conflict as error:
        return apply(job, Settled(job.unmet, error.message), now)
    return after


def standing_of(store: Session, errors: Mapping[int, str | None]) -> Mapping[int, Settled]:
    """What is open or lost for each child, as its edges say, given the errors that they have."""
    text = (
        "SELECT child, why, count(*) FROM {schema}.edges "
        f"WHERE child {store._dialect.any_of} AND (verdict IS NULL OR verdict = 0) "
        "GROUP BY child, why ORDER BY child, why"
    )
    found = store._select(text, [store._dialect.array(list(errors))])
    standing: dict[int, Settled] = {}
    for child, why, edges in found:
        unmet, error = standing.get(child, Settled(0))
        if error is None or why == errors[child]:  # an error that is still true stays
            error = why if why is not None else error
        standing[child] = Settled(unmet + edges, error)
    return standing
