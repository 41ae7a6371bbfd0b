"""What a worker claims: when there may be jobs for it, for how much room, and what a claim may take.

The store decides within the claim which jobs may start (see `WorkStore.claim`). What the worker itself knows against a
start is decided here: its queues, its free slots, and `Terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from math import inf

from queuectl.domain.job import Job
from queuectl.domain.lifecycle import GivenBack, Started
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.hooks import Claimed, Hooks
from queuectl.engine.dispatch.link import Link, may_be_poison
from queuectl.engine.dispatch.pace import Pace
from queuectl.engine.dispatch.turn import Turn
from queuectl.engine.happenings import JobExpired, Observer
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.store.values import Change
from queuectl.typed import NamedTuple

Ahead = Callable[[int], int]
"""The number of claims that a supervisor with this number of slots may hold ready."""


def none_ahead(slots: int) -> int:
    """Claims are made for free slots alone."""
    return 0


class Supply(Enum):
    """What the store may have for this worker.

    - UNKNOWN: something has changed since the last claim, or that claim took all there was room for.
    - AFTER_AN_END: there are only jobs that wait until one of this worker's executions has ended.
    - NONE: nothing before the next due time, or somebody's commit.
    """

    UNKNOWN, AFTER_AN_END, NONE = range(3)


class Terms(NamedTuple):
    """What one claim may take: at most `suspects` jobs that have lost `losses` workers in a row, or more. `ahead`: only
    jobs that may wait for a slot."""

    suspects: int
    losses: int
    ahead: bool = False


FOR_LATER = Terms(suspects=0, losses=1, ahead=True)
"""What may wait in line for a slot. Nothing that may be poison: its start would be on record too late."""


class Claims:
    """What was claimed, for whom, and out of how much room. `passed_over`: jobs may have been left for later that
    the end of another one lets in. `passed_suspects`: some were left since others are in hand here. `gave_back`: some
    were given back at once. `took_all`: nothing due was left. `expired`: jobs that were cancelled instead."""

    def __init__(self) -> None:
        self.orders: list[tuple[Link, list[Job]]] = []
        self.room = 0
        self.passed_over = self.passed_suspects = self.gave_back = self.took_all = False
        self.expired: list[Job] = []
        self.hook: Claimed | None = None
        """The hook that was claimed too; it takes no slot."""
        self.at_once: int | None = None
        """How many of the orders are for free slots; None: all of them."""

    def add(self, link: Link, limit: int, jobs: list[Job]) -> None:
        """Adds what was claimed for a supervisor that had room for `limit` jobs."""
        self.orders.append((link, jobs))
        self.room += limit

    @property
    def jobs(self) -> list[Job]:
        """All claimed jobs, with the hook if one was claimed."""
        found = [job for _, jobs in self.orders for job in jobs]
        return found if self.hook is None else [*found, self.hook[1]]


class Claiming:
    """Claims for all supervisors of a worker, and has their jobs started."""

    def __init__(self, store: WorkStore, crew: Crew, pace: Pace, observe: Observer) -> None:
        self._store = store
        self._observe = observe
        self._crew = crew
        self._pace = pace
        self._turn = Turn(pace.clock)
        self._supply = Supply.UNKNOWN
        self._ahead: Ahead = pace.ahead
        self.hooks = Hooks(store, crew)
        self.next_due: float | None = None
        """When the store's next job becomes due, as far as is known."""

    # --- when -------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Something has changed: there may be jobs to claim."""
        self._supply, self._ahead = Supply.UNKNOWN, self._pace.ahead
        self.hooks.look_again()

    def hear(self, jobs: int) -> None:
        """About so many jobs can be claimed that could not before, and all workers know: looks when it is our turn. A
        worker that is full looks with the next end that it records."""
        if self._supply is Supply.UNKNOWN or self.is_full() or self._turn.comes_at_once(jobs, self._crew.workers):
            self.look_again()

    def _take_turn(self) -> None:
        """Looks, by one question, whether others have left something."""
        if self._supply is not Supply.UNKNOWN:
            claimable, due_at = self._store.outlook()
            self.note_due(due_at)
            if claimable:
                self.look_again()
        self._turn.is_over()

    def poll(self, claimable: bool | None = None) -> None:
        """Nobody has told of a change; yet there may have been one. `claimable`: see `has_claimable`, where that is
        known."""
        if self._supply is not Supply.UNKNOWN and (self._store.has_claimable() if claimable is None else claimable):
            self.look_again()

    def attend(self, settings: Settings, now: float, *, stops: bool) -> None:
        """Looks again where a job has become due, or it is our turn; looks for hooks. A worker that stops does not.
        Raises what starting another supervisor raises."""
        self._check_due()
        if stops:
            self._turn.is_over()
        else:
            if now >= self._turn_at():
                self._take_turn()
            self.hooks.attend(settings, now)

    def _check_due(self) -> None:
        if self.next_due is not None and self._store.now() >= self.next_due:
            self.hear(1)  # others know of that time, too
            self.next_due = None

    def next_look(self, now: float) -> float:
        """When to look again though nobody has told of anything, by the clock that never jumps."""
        due_at = inf if self.next_due is None else now + self.next_due - self._store.now()
        return min(self._turn_at(), due_at)

    def _turn_at(self) -> float:
        return max(self._turn.at, self._pace.hurry_not_before)  # a store that is away is not asked all the time

    def is_wanted(self) -> bool:
        """Whether there may be jobs, and room for one, even if it is only held ready."""
        return (self._supply is Supply.UNKNOWN and self._has_room(self._ahead)) or self.hooks.is_wanted()

    def is_full(self) -> bool:
        """Whether no slot is idle, so that a claim may be far off."""
        return not self._has_room(none_ahead)

    def is_starved(self) -> bool:
        """Whether there may be jobs while a slot lies idle."""
        return (self._supply is Supply.UNKNOWN and self._has_room(none_ahead)) or self.hooks.is_wanted()

    def may_follow(self, ended: Iterable[Job]) -> bool:
        """Whether a slot is idle and the ends of these jobs may let other jobs start."""
        may_claim = self._supply is Supply.UNKNOWN and self._has_room(none_ahead)
        return may_claim and any(map(self._store.holds_back, ended))

    def vacated(self, job: Job) -> None:
        """An execution has ended, which is not recorded yet: others may have what it held."""
        if self._supply is Supply.AFTER_AN_END and self._store.holds_back(job):
            self._supply = Supply.UNKNOWN

    def settled(self, claims: Claims) -> None:
        """Takes from a committed claim whether the store may have more, and tells what it has cancelled."""
        if claims.expired:
            self._observe(*map(JobExpired, claims.expired))
        if not claims.orders:
            return
        self._turn.is_over()
        if len(claims.jobs) - (claims.hook is not None) >= claims.room and not claims.took_all:
            self._supply = Supply.UNKNOWN
        else:
            self._supply = Supply.AFTER_AN_END if claims.passed_over else Supply.NONE

    def ended(self, seen: Claims | None = None, *, in_doubt: bool = False) -> None:
        """Executions of this worker have ended. `seen`: these claims were made when that was on record already.
        `in_doubt`: some ends may be on record since before, and nobody has told when their jobs run again."""
        if self._store.has_listed() or in_doubt:
            self.look_again()
        if self._store.hooks_added:
            self._store.hooks_added = False
            self.hooks.added()
        if self._supply is Supply.AFTER_AN_END and (seen is None or seen.passed_suspects):
            self._supply = Supply.UNKNOWN

    def note_due(self, at: float | None) -> None:
        """A job becomes due at this time of the store's clock. None changes nothing."""
        if at is not None:
            self.next_due = min(at, self.next_due or at)

    def ask_next_due(self) -> None:
        """Asks the store when its next job becomes due, unless the next claim comes before that anyway."""
        if self._supply is not Supply.UNKNOWN:
            self.next_due = self._store.next_due()

    # --- how much ---------------------------------------------------------------------------

    def _rooms(self, ahead: Ahead) -> Iterator[tuple[Link, int]]:
        """For how many jobs each supervisor has room, so that it holds that many `ahead` of its slots. Slots taken by
        adopted commands are not there."""
        links = self._crew.links
        adopted = sum(len(link.flights) for link in links if not link.own)
        for link in links:
            room = link.free_slots() + ahead(link.row.slots)
            if room > 0 and link.own and not (link.for_hooks or link.leaving or link.channel.closed or link.is_short()):
                taken = min(room, adopted)
                adopted -= taken
                if room > taken:
                    yield link, room - taken

    def _has_room(self, ahead: Ahead) -> bool:
        return next(self._rooms(ahead), None) is not None

    # --- what -------------------------------------------------------------------------------

    def claim(self, max_lost: int) -> Claims:
        """Claims what there is room for, inside the caller's transaction: for all free slots first, then ahead."""
        claims = Claims()
        claims.hook = self.hooks.claim()
        if self._supply is not Supply.UNKNOWN:
            return claims
        self._store.take_expired()  # of a claim that was rolled back
        free = dict(self._rooms(none_ahead))
        if self._claim_for_slots(list(free.items()), max(1, max_lost - 1), claims):
            rooms = self._rooms(self._ahead)
            self._claim_ahead([(link, more) for link, room in rooms if (more := room - free.get(link, 0))], claims)
        claims.expired = self._store.take_expired()
        return claims

    def _claim_for_slots(self, rooms: Sequence[tuple[Link, int]], losses: int, claims: Claims) -> bool:
        """Claims what starts at once. Returns whether there may be more. A job that may be poison starts with its start
        on record. Jobs that one more loss would condemn run one at a time, so that no neighbour causes that loss.
        """
        for link, limit in rooms:
            suspects = int(not link.has_suspect(losses))
            jobs = self._claim(link, limit, Terms(suspects, losses))
            claims.add(link, limit, [self._start_on_record(link, job) if may_be_poison(job) else job for job in jobs])
            may_pass_over = not suspects or any(job.lost_in_row >= losses for job in jobs)
            claims.passed_suspects |= may_pass_over
            claims.passed_over |= may_pass_over or self._store.held_up or self._store.awaits
            if self._store.took_all:
                claims.took_all = True
                return False
            if len(jobs) < limit and not may_pass_over:
                return False
        return True

    def _claim_ahead(self, rooms: Sequence[tuple[Link, int]], claims: Claims) -> None:
        """Claims what waits in line for a slot, and gives back what may not wait there."""
        claims.at_once = len(claims.orders)
        for link, limit in rooms:
            jobs = self._claim(link, limit, FOR_LATER)
            strict = self._store.strict_batches({job.batch for job in jobs if job.batch is not None})
            kept = [job for job in jobs if not may_be_poison(job) and job.batch not in strict]
            if len(kept) < len(jobs):
                back = [Change(job=job, event=GivenBack()) for job in jobs if job not in kept]
                self._store.record(link.grip, back)
                claims.gave_back = claims.passed_over = True
            claims.add(link, limit, kept)
            if strict:  # how many of them may start is known after each end
                self._ahead = none_ahead
                return
            if len(jobs) < limit:
                claims.passed_over = True
                if not jobs and self._store.held_up:  # what an end then lets in is not claimed ahead
                    self._ahead = none_ahead
                return

    def _claim(self, link: Link, limit: int, terms: Terms) -> list[Job]:
        options = self._crew.options
        return self._store.claim(link.grip, link.row.host, limit, options.queues, *terms, options.not_queues)

    def _start_on_record(self, link: Link, job: Job) -> Job:
        (started,) = self._store.record(
            link.grip, [Change(job=job, event=Started(self._store.now(), is_foreseen=True))]
        )
        return started or job

    def start(self, claims: Claims, now: float, *, synced: bool) -> bool:
        """Starts committed claims. Returns whether they still have to be synced. They may reach the disk while their
        commands start, since a machine that fails ends these too. A start on record that may be what makes the machine
        fail is synced first.
        """
        jobs = claims.jobs
        synced = synced or not (jobs or claims.gave_back)
        if not synced and any(job.started_at is not None for job in jobs):
            self._store.sync()
            synced = True
        for number, (link, orders) in enumerate(claims.orders):
            link.start(orders, now, ahead=claims.at_once is not None and number >= claims.at_once)
        if claims.hook is not None:
            self.hooks.start(claims.hook, now)
        if claims.gave_back:
            self._pace.stalled()
        return not synced
