"""What keeps due jobs from starting, decided inside a claim's transaction: limits of queues, locks, expiry.

- A limited or paused queue is left out of a claim as a whole, so what waits in it costs nothing.
- A job whose locks are not free is *parked*: it leaves the index of what can be claimed and waits in the line of all
  jobs with the same locks. A line is looked at only while it is open: since a unit of its locks was freed.
- What holds a place or a unit follows from the jobs that are in process, so no crash can leak one.

What may be decided is in domain/limits.py. Only workers import this.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from queuectl.clock import boottime
from queuectl.domain import limits
from queuectl.domain.batch import lock_of
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import Ended, Expired, GivenBack, Lost, Started, apply
from queuectl.domain.limits import Candidate, Choice, Lock, Passed, Queue, Rate, Reservation, Supply, Wanted, merged
from queuectl.settings import Settings
from queuectl.store.shared import lock_lines
from queuectl.store.shared.limits import NOT_YET
from queuectl.store.shared.lock_lines import requests
from queuectl.store.shared.vacated import Vacated
from queuectl.store.values import Change
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.jobs import why_expired

if TYPE_CHECKING:
    from queuectl.store.shared.limits import Limits

HAS_EXPIRED = "start_by IS NOT NULL AND state IN ('blocked', 'pending') AND start_by <= ?"
EXPIRED_AT_ONCE = 1000
PARKED_AT_ONCE = 1000
"""A claim parks and expires no more, so that it stays short."""
NO_LIMIT = 1 << 30
CLOCKS_DIFFER_S = 1.0
"""How far a start may lie in the future, by the clock of whoever claims."""
TAKEN_BY_OTHERS_S = 0.05
"""How soon a claim is repeated that found jobs which somebody is changing."""
SUSPECTS_SEEN, LOOK_WIDER = 16, 8
"""How many suspects that may not be claimed now a claim looks past; if there are more, it looks again, this many times
as far."""

Lines = Callable[[dict[str, Any]], Iterable[Iterable[Candidate]]]
"""The first candidates of each line that a claim looks at, by the parameters of the queries that find them."""


class Gates:
    """The gates of a store, for one worker. Its methods are called inside the transaction of a claim or a record."""

    def __init__(self, store: Limits) -> None:
        self._store = store
        self._rated: frozenset[str] | None = None
        self._locks: dict[str, Lock] = {}
        self._closed: frozenset[str] = frozenset()
        self._free: Mapping[str, int] = {}
        self.places: frozenset[str] = frozenset()
        """The queues that limit how many of their jobs run, as the last claim found them."""
        self.vacated = Vacated(store)
        self.took_all = False
        self.awaits = False
        self.held_up = False
        """Whether the last claim left due jobs behind a gate that the end of another job can open."""
        self._slice_at = 0.0  # by a clock that nobody sets
        """Not before then the next slice of what is listed is settled."""
        self.reopens_at: float | None = None
        """When the next gate opens by itself, of those that the last claim found closed."""

    def begin(self, waits: bool, limited: bool) -> None:
        """A claim begins. `waits`: some job waits in a line, though perhaps in none that is open. `limited`: some queue
        has a limit; the claim may end before it looks which."""
        self._rated = None if limited else frozenset()
        self._closed = self.places = frozenset()
        self._free = {}
        self.took_all = self.awaits = False
        self.held_up, self.reopens_at = waits, None

    def forget_rates(self) -> None:
        """Jobs are ours now that others have claimed, by rates that may have been set since our last claim."""
        self._rated = None

    def is_rated(self, queue: str) -> bool:
        """Whether the starts of a queue are counted."""
        if self._rated is None:
            self._rated = frozenset(each.name for each in self._store.queues() if each.rate)
        return queue in self._rated

    def look_again_at(self, at: float) -> None:
        """This claim has not seen all; the next one is to follow then."""
        self._opens(at)

    def chosen(self, lines: Lines, wanted: Wanted, rooms: Mapping[str, int], now: float) -> Choice:
        """What a claim takes. Jobs that have to wait for locks are parked on the way, so that they hide nothing."""
        look, parked = wanted.limit + SUSPECTS_SEEN, 0
        self._locks.clear()
        while True:
            found = merged(*lines({"limit": look, "losses": wanted.losses, "now": now}))
            choice = limits.choose(found, wanted, rooms, lambda name: self._supply(name, now), requests)
            self.held_up = self.held_up or choice.is_held_up or bool(self._closed)
            newly_parked = self._park(choice)
            parked += newly_parked
            if newly_parked and parked < PARKED_AT_ONCE:
                look = max(look, PARKED_AT_ONCE)
            elif len(choice.taken) < wanted.limit and choice.suspects_passed >= look - wanted.limit:
                look *= LOOK_WIDER
            else:
                break
        if parked >= PARKED_AT_ONCE:
            self.look_again_at(now)
        return choice

    # --- limits of queues -------------------------------------------------------------------

    def rooms(self, now: float) -> dict[str, int]:
        """How many jobs each limited queue may start now."""
        self.reopens_at = None
        found = self.vacated.places()
        self._rated = frozenset(queue.name for queue, _ in found if queue.rate)
        self._free = {
            queue.name: queue.concurrency - running for queue, running in found if queue.concurrency is not None
        }
        self.places = frozenset(self._free)
        rooms = {queue.name: self._room(queue, running, now) for queue, running in found if queue.is_limited}
        self._closed = frozenset(queue for queue, room in rooms.items() if not room)
        return rooms

    def left_full(self, claimed: Iterable[Job]) -> set[str]:
        """The queues whose last place these jobs have taken: nobody else can use what has become free in them."""
        taken = Counter(job.queue for job in claimed)
        return {queue for queue, free in self._free.items() if free <= taken[queue]}

    def _room(self, queue: Queue, running: int, now: float) -> int:
        if queue.pause and queue.pause.lasts(now):
            self._opens(queue.pause.until)
            return 0
        room = NO_LIMIT if queue.concurrency is None else queue.concurrency - running
        if queue.rate and room > 0:
            self._forget_starts(queue.name, queue.rate, now)
            starts, opens_at = limits.rate_room(queue.rate, self._store.window(queue.name, queue.rate, now), now)
            self._opens(opens_at)
            room = min(room, starts)
        return max(0, room)

    def _forget_starts(self, queue: str, rate: Rate, now: float) -> None:
        """Forgets those that count no more. What must have happened by now did so now: a start whose claim is over and
        that nobody has noted, and one from before the clock was set back."""
        over = (
            "UPDATE {schema}.starts SET at = ? WHERE queue = ? AND at > ? AND (at < ? OR NOT EXISTS (SELECT 1 FROM "
            "{schema}.jobs WHERE jobs.seq = starts.job AND jobs.lease = starts.lease AND jobs.state = 'processing'))"
        )
        self._store._execute(over, [now, queue, now + CLOCKS_DIFFER_S, NOT_YET])
        old = "DELETE FROM {schema}.starts WHERE queue = ? AND at < ?"
        self._store._execute(old, [queue, now - rate.window_s])

    def _opens(self, at: float | None) -> None:
        if at is not None:
            self.reopens_at = at if self.reopens_at is None else min(at, self.reopens_at)

    # --- locks ------------------------------------------------------------------------------

    def _supply(self, name: str, now: float) -> Supply:
        """The units of a lock that a claim may give out. A job that others have passed by for long keeps some back."""
        held = [unit for job, units in self._store.holders(name) if job not in self.vacated.jobs for unit in units]
        reserved = [
            Reservation(passed.order, passed.units_of(name))
            for passed in self._passed_for_long(name, now)
            if self._may_start_from(passed.queue) and self._can_be_met(passed.requests)
        ]
        lock = self._locks[name] = self._store.lock(name)
        return Supply(lock.free(held), reserved)

    def _passed_for_long(self, name: str, now: float) -> list[Passed]:
        """Those that others have passed by for longer than is fair."""
        if not (passed := self._store.passed_by(now, name)):
            return []
        patience_s = Settings(self._store.config())["lock-patience"]
        return [each for each in passed if each.since < now - patience_s]

    def _may_start_from(self, queue: str) -> bool:
        """Whether a job of a queue could start, but for its locks. If not, it keeps no units from others."""
        served = any(row.served.has(queue) for row in self._store.workers())
        return served and queue not in self._closed

    def _can_be_met(self, needs: Sequence[limits.Request]) -> bool:
        """Whether the lock has as many units at all: somebody may have lowered it since."""
        return all(each.units <= self._store.lock(each.lock).capacity for each in needs)

    def _park(self, choice: Choice) -> int:
        """Has jobs that do not fit wait in line, those aside that somebody is changing; how many do so from now on."""
        for locks, first in choice.closed_lines.items():
            is_kept_out = locks in choice.lines_kept_out
            lock_lines.close(self._store, locks, first, is_kept_out, self._may_start_from)
        if not choice.parked:
            return 0
        dialect = self._store._dialect
        text = (
            f"UPDATE {{schema}}.jobs SET ready = {dialect.parked} WHERE seq IN (SELECT seq FROM {{schema}}.jobs "
            f"WHERE seq {dialect.any_of} AND ready = TRUE {dialect.skip_locked}) RETURNING 1"
        )
        return len(self._store._select(text, [dialect.array([job.seq for job in choice.parked])]))

    def take(self, choice: Choice, claimed: Sequence[Job], now: float) -> list[Job]:
        """Writes what claimed jobs take; the jobs with their units."""
        if not self._rated and not choice.units:
            return list(claimed)
        taken = []
        for job in claimed:
            if self.is_rated(job.queue):
                text = "INSERT INTO {schema}.starts (queue, at, job, lease) VALUES (?, ?, ?, ?)"
                self._store._execute(text, [job.queue, NOT_YET, job.seq, job.lease])
            if units := choice.units.get(job.seq):
                self._take_units(choice.taken[job.seq], job.lease, units, now)
                told = limits.variables(*((self._locks[name], units[name]) for name in sorted(units)))
                job = job._replace(units=json.dumps(told))
                self._store._execute("UPDATE {schema}.jobs SET units = ? WHERE seq = ?", [job.units, job.seq])
            taken.append(job)
        return taken

    def _take_units(self, job: Candidate, lease: int, units: dict[str, list[str]], now: float) -> None:
        execute = self._store._execute
        for name, taken in units.items():
            execute("DELETE FROM {schema}.holds WHERE lock = ? AND job = ?", [name, job.seq])
            text = "INSERT INTO {schema}.holds (lock, job, lease, units) VALUES (?, ?, ?, ?)"
            execute(text, [name, job.seq, lease, json.dumps(taken)])
            lock_lines.pass_by(self._store, name, job, now)
        lock_lines.serve(self._store, job)

    # --- dependencies -----------------------------------------------------------------------

    def settle(self, awaited: bool, listed: bool, now: float) -> bool:
        """Settles what this transaction has ended, if anything is awaited, and some of what is listed, so that a claim
        finds what that releases; the next one follows soon while there is more. Returns whether it looked."""
        store = self._store
        self.awaits = awaited or listed
        if not awaited:
            store._turned = {seq: job for seq, job in store._turned.items() if job.batch is not None}
        store._settle_ends()
        if store._failing:
            from queuectl.store.shared.batch_ends import cancel_failed

            cancel_failed(store)
        is_listed = listed or store._has_listed
        if is_listed and boottime() >= self._slice_at:
            from queuectl.store.shared.batch_ends import settle_listed

            began = boottime()
            has_done = settle_listed(store)
            ended = boottime()
            store._has_listed = bool(store._select("SELECT 1 FROM {schema}.settlements LIMIT 1"))
            may_go_on = has_done or store._newly_listed  # after this transaction
            self._slice_at = ended + (store.others_share * (ended - began) if may_go_on else TAKEN_BY_OTHERS_S)
            is_listed = store._has_listed
        if is_listed:
            self.look_again_at(now + max(0.0, self._slice_at - boottime()))
            return True
        return awaited or listed

    # --- what an end opens ------------------------------------------------------------------

    def note(self, counts: Sequence[tuple[Change, Job]], freed: Sequence[str], now: float) -> None:
        """Forgets units that were given back, of the locks that are `freed`, and brings the starts that count for a
        rate up to date."""
        if freed:
            ended = [after.seq for _, after in counts if after.state is not JobState.PROCESSING]
            dialect = self._store._dialect
            text = f"DELETE FROM {{schema}}.holds WHERE job {dialect.any_of}"
            self._store._execute(text, [dialect.array(ended)])
        if self._rated is None or self._rated:
            for change, after in counts:
                if self.is_rated(after.queue):
                    self._note_start(change, now)

    def _note_start(self, change: Change, now: float) -> None:
        match change.event:
            case Started(at=at, is_foreseen=False) | Ended(started_at=at):
                started = at
            case Lost():
                started = now  # nobody knows whether and when it did
            case GivenBack():
                text = "DELETE FROM {schema}.starts WHERE job = ? AND lease = ?"
                self._store._execute(text, [change.job.seq, change.job.lease])
                return
            case _:
                return
        text = "UPDATE {schema}.starts SET at = ? WHERE job = ? AND lease = ? AND at = ?"
        self._store._execute(text, [started, change.job.seq, change.job.lease, NOT_YET])


def expire(store: Limits, now: float) -> list[Job]:
    """Ends jobs that were to start by now and have not. Returns them."""
    text = f"WHERE {HAS_EXPIRED} ORDER BY start_by LIMIT {EXPIRED_AT_ONCE} {store._dialect.skip_locked}"
    changed = [(job, apply(job, Expired(why_expired(job)), now)) for job in store._jobs(text, [now])]
    if changed:
        store._write(changed, now)
        store._count(changed)
        store._send_rows("note", [(now, job.seq, Expired.__name__, None) for job, _ in changed])
        store._announce()
    return [after for _, after in changed]


def locks_freed(store: Limits, counts: Iterable[tuple[Change, Job]]) -> list[str]:
    """The locks of jobs that are in process no more, by name; with those of batches that were limited while these jobs
    ran, of which their worker does not know."""
    over = [after for _, after in counts if after.state is not JobState.PROCESSING]
    names = {request.lock for after in over if after.locks for request in limits.requests_of(after.locks)}
    if batches := {after.batch for after in over if after.batch is not None and lock_of(after.batch) not in names}:
        text = f"SELECT name FROM {{schema}}.batches WHERE at_most IS NOT NULL AND name {store._dialect.any_of}"
        limited = store._select(text, [store._dialect.array(sorted(batches))])
        names.update(lock_of(name) for (name,) in limited)
    return sorted(names)
