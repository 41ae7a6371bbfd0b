"""What may keep a due job from starting: its queue's pause, concurrency and rate, and the units of its locks.

Values and pure decisions. A store brings the facts, and asks inside the transaction of a claim, so that what is decided
here holds exactly, over all workers. Times are seconds since the epoch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import inf

from queuectl.typed import NamedTuple

RATE_STARTS_MAX = 10_000
CAPACITY_MAX = 10_000


class Rate(NamedTuple):
    """At most `starts` starts in any window of `window_s` seconds; `even`: one each `window_s / starts` at most."""

    starts: int
    window_s: float
    even: bool = False

    @property
    def spacing_s(self) -> float:
        return self.window_s / self.starts if self.even else 0.0


class Pause(NamedTuple):
    """A queue that starts nothing: since when, by whom, why, and until when (None: until somebody resumes it)."""

    since: float
    until: float | None = None
    by: str | None = None
    reason: str | None = None

    def lasts(self, now: float) -> bool:
        return self.until is None or now < self.until


class Queue(NamedTuple):
    """What people have set for a queue. `defaults`: values for jobs enqueued from then on, by their key."""

    name: str
    concurrency: int | None = None
    rate: Rate | None = None
    pause: Pause | None = None
    defaults: Mapping[str, object] = {}

    @property
    def is_limited(self) -> bool:
        """Whether anything may keep its jobs from starting."""
        return self.concurrency is not None or self.rate is not None or self.pause is not None


class Lock(NamedTuple):
    """A lock's units, in the order in which they are given out; a unit that stands twice is given to two jobs at a
    time. `env`: another variable that names a job's units to its command."""

    name: str
    units: tuple[str, ...] = ("0",)
    env: str | None = None
    named: bool = False
    """Whether somebody has named the units; else they are numbers."""

    @property
    def capacity(self) -> int:
        return len(self.units)

    def free(self, held: Iterable[str]) -> list[str]:
        """The units that nobody holds, in order, and no more than keep within the capacity: there may be holders of
        units that the lock has no more."""
        taken = Counter(held)
        most = max(0, self.capacity - taken.total())
        free = []
        for unit in self.units:
            if taken[unit] > 0:
                taken[unit] -= 1
            else:
                free.append(unit)
        return free[:most]


def numbered(capacity: int) -> tuple[str, ...]:
    """The units of a lock whose units nobody has named."""
    return tuple(str(number) for number in range(capacity))


def enough_for(free: int, held: Collection[str]) -> int | None:
    """The least capacity of a lock that leaves `free` numbered units free; None if it may not have as many."""
    enough = len(held) + free
    return enough if enough <= CAPACITY_MAX else None


def variables(*held: tuple[Lock, Sequence[str]]) -> dict[str, str]:
    """The variables that tell a command which units of its locks it holds. One that several locks have names the units
    of all, in the order of these."""
    import re

    found: dict[str, list[str]] = {}
    for lock, units in held:
        own = "QUEUECTL_LOCK_" + re.sub("[^A-Z0-9]", "_", lock.name.upper())
        for name in dict.fromkeys([own, lock.env or own]):
            found.setdefault(name, []).extend(units)
    return {name: ",".join(units) for name, units in found.items()}


class Request(NamedTuple):
    """Units of one lock that a job needs, all at once."""

    lock: str
    units: int

    def __str__(self) -> str:
        return self.lock if self.units == 1 else f"{self.lock}={self.units}"


def requests_of(locks: Sequence[str]) -> tuple[Request, ...]:
    """The requests that a job's `locks` spell, each `NAME` or `NAME=N`."""
    parts = (text.partition("=") for text in locks)
    return tuple(Request(name, int(units or 1)) for name, _, units in parts)


class Hold(NamedTuple):
    """A job that holds units of a lock, and since when."""

    job: str
    since: float
    units: tuple[str, ...]


class Window(NamedTuple):
    """The starts of a queue that count for its rate: how many lie in the window, the one that `Rate.starts` later ones
    would follow (None: there are fewer), and the latest one. A start that is not on record yet is at `inf`."""

    starts: int
    oldest: float | None
    latest: float | None


def rate_room(rate: Rate, window: Window, now: float) -> tuple[int, float | None]:
    """How many jobs may start now; and when the next one may, where none may (None: it is not known yet)."""
    room = rate.starts - window.starts
    opens_at = None if window.oldest is None else window.oldest + rate.window_s
    if rate.even and room > 0 and window.latest is not None:
        opens_at = window.latest + rate.spacing_s
        room = 1 if opens_at <= now else 0
    elif rate.even:
        room = min(room, 1)
    return (room, None) if room > 0 else (0, None if opens_at == inf else opens_at)


Order = tuple[int, float, int]
"""A job's place in line: (-priority, due_at, seq), the smallest first."""


class Passed(NamedTuple):
    """A job that others have passed by in the line of its locks since then."""

    job: str
    since: float
    queue: str
    requests: tuple[Request, ...]
    order: Order

    def units_of(self, lock: str) -> int:
        """How many units of a lock it needs."""
        return sum(each.units for each in self.requests if each.lock == lock)


class Candidate(NamedTuple):
    """A due job that a claim may take. `suspect`: it lost its workers before. `locks`: as the store keeps them, or
    None. `expires`: it may start only up to a time. `parked`: it waits in the line of its locks."""

    seq: int
    priority: int
    due_at: float
    suspect: bool
    state: str
    queue: str
    locks: str | None
    expires: bool
    parked: bool = False

    @property
    def order(self) -> Order:
        return -self.priority, self.due_at, self.seq


class Reservation(NamedTuple):
    """Units that a job which was passed by for long keeps for itself: those of it that are free already."""

    order: Order
    units: int


class Supply:
    """The units of one lock while a claim chooses."""

    def __init__(self, free: Sequence[str], reserved: Sequence[Reservation]) -> None:
        self._free = list(free)
        self._reserved = reserved

    def has(self, units: int, order: Order) -> bool:
        """Whether this many are free for a job with this place in line. Reservations bind only those behind them."""
        kept = sum(each.units for each in self._reserved if each.order < order)
        return units + kept <= len(self._free)

    def are_free(self, units: int) -> bool:
        """Whether this many are free, whoever they are kept for."""
        return units <= len(self._free)

    def take(self, units: int, order: Order) -> list[str]:
        """Gives units to the job with this place in line, which then keeps back none."""
        self._reserved = [each for each in self._reserved if each.order != order]
        taken, self._free = self._free[:units], self._free[units:]
        return taken


class Choice:
    """What a claim takes: jobs in the order of claiming, with the units of their locks, and those that have to wait."""

    def __init__(self) -> None:
        self.taken: dict[int, Candidate] = {}
        self.units: dict[int, dict[str, list[str]]] = {}
        self.parked: list[Candidate] = []
        self.closed_lines: dict[str, Candidate] = {}
        """The first job in each line that does not fit."""
        self.lines_kept_out: set[str] = set()
        """Those of them that only another job's reservation keeps from their units: it may end by itself."""
        self.full: set[str] = set()
        """The limited queues that have no room for a job that is due."""
        self.suspects_passed = 0
        self.is_held_up = False
        """Whether a due job waits for a gate to open that an end can open."""


class Wanted(NamedTuple):
    """How much a claim wants: `limit` jobs, of which `suspects` may have lost `losses` workers in a row or more.

    `ahead`: what it takes may have to wait for a slot. So it takes nothing that uses a place, a start or a unit, nor
    anything behind that, which would then start first.
    """

    limit: int
    suspects: int
    losses: int = 1
    ahead: bool = False


def choose(
    candidates: Iterable[Candidate], wanted: Wanted, rooms: Mapping[str, int],
    supply_of: Callable[[str], Supply], requests: Callable[[str], Sequence[Request]],
) -> Choice:  # fmt: skip
    """What a claim takes of the jobs that are due, given in the order of claiming.

    `rooms`: how many jobs each limited queue may start.
    """
    choice, left, supplies = Choice(), dict(rooms), dict[str, Supply]()
    suspects = wanted.suspects
    for job in candidates:
        if len(choice.taken) >= wanted.limit:
            break
        if job.suspect and suspects <= 0:
            choice.suspects_passed += 1
            continue
        if wanted.ahead and (job.queue in left or job.locks or job.expires):
            break
        if left.get(job.queue, 1) <= 0:
            choice.is_held_up = True
            choice.full.add(job.queue)
            continue
        if job.locks:
            if job.locks in choice.closed_lines:
                _park(choice, job)
                continue
            needs = requests(job.locks)
            for request in needs:
                if request.lock not in supplies:
                    supplies[request.lock] = supply_of(request.lock)
            if not all(supplies[each.lock].has(each.units, job.order) for each in needs):
                choice.closed_lines[job.locks] = job
                if all(supplies[each.lock].are_free(each.units) for each in needs):
                    choice.lines_kept_out.add(job.locks)
                _park(choice, job)
                continue
            choice.units[job.seq] = {each.lock: supplies[each.lock].take(each.units, job.order) for each in needs}
        if job.queue in left:
            left[job.queue] -= 1
        choice.taken[job.seq] = job
        suspects -= job.suspect
    return choice


def _park(choice: Choice, job: Candidate) -> None:
    choice.is_held_up = True
    if not job.parked:
        choice.parked.append(job)


def merged(*lines: Iterable[Candidate]) -> Iterator[Candidate]:
    """The candidates of several lines, each in its order, in one."""
    if len(lines) == 1:
        return iter(lines[0])
    from heapq import merge

    return merge(*lines, key=lambda job: job.order)
