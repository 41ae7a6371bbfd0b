"""Why a job is not running yet: the gates that are closed to it, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

from queuectl.domain.batch import batch_of
from queuectl.domain.job import FINISHED, HOOKS, Job, JobState
from queuectl.domain.limits import Hold, Lock, Queue, requests_of
from queuectl.typed import NamedTuple, Protocol

NAMED_MAX = 2
"""The most jobs that a phrase names."""

RUNNING_OR_DONE = (JobState.COMPLETED, JobState.CANCELLED, JobState.PROCESSING)


class Code(StrEnum):
    """What kind of gate it is, for programs."""

    SCHEDULED = "scheduled"
    RETRY = "retry"
    HELD = "held"
    PAUSED = "paused"
    CONCURRENCY = "concurrency"
    RATE = "rate"
    BLOCKED = "blocked"
    LOCK = "lock"
    NO_WORKER = "no_worker"
    BUSY = "busy"
    LINE = "line"
    NEXT = "next"
    EXPIRED = "expired"
    CANCELLING = "cancelling"


class Gate(NamedTuple):
    """A closed gate.

    `reason` is a phrase. `opens_at`: when it opens by itself, if known. `name`: which lock. `holders`: who keeps it
    closed. `width`: how many jobs behind it run at the same time. `place`: the job's place in line, of `waiting`
    jobs. `told`: all of that in words. `fix`: the command that would bring the job forward.
    """

    code: Code
    reason: str
    opens_at: float | None = None
    name: str | None = None
    holders: Sequence[Hold] = ()
    width: int | None = None
    place: int | None = None
    waiting: int | None = None
    told: str = ""
    fix: str | None = None


class Slots(NamedTuple):
    """How many slots serve a queue, and how many of them are busy. Those of a worker that waits for its machine are;
    `waits`: what for."""

    all: int
    busy: int
    waits: str | None = None

    @property
    def in_words(self) -> str:
        return "the only slot" if self.all == 1 else f"all {self.all} slots"


class Facts(Protocol):
    """What is known of a job's surroundings. Each is asked for only if the job itself does not explain it."""

    @property
    def queues(self) -> Mapping[str, Queue]:
        """What is set for queues."""

    def running_in(self, queue: str) -> int:
        """How many jobs of a queue are in process."""

    def rate_opens_at(self, queue: Queue) -> float | None:
        """When the next job of a rated queue may start: 0.0 if now, None if nobody knows."""

    def lock(self, name: str) -> Lock:
        """A lock as it is set."""

    @property
    def held(self) -> Mapping[str, Sequence[Hold]]:
        """Who holds units of each lock."""

    def kept(self, job: Job, lock: str) -> Sequence[Hold]:
        """The jobs before this one that keep freed units of a lock for themselves, as far as somebody looked."""

    def awaited(self, job: Job) -> str:
        """The oldest thing that a blocked job waits for, in words."""

    def slots(self, queue: str) -> Slots:
        """The slots of the workers that serve a queue."""

    most: int
    """The longest line that is counted: counting takes as long as the line."""

    def ahead(self, job: Job) -> int | None:
        """The number of jobs before this one in the line for a slot, up to `most` + 1; None if nobody counted."""


class Format(NamedTuple):
    """How phrases show durations and times, and why a job has expired."""

    duration: Callable[[float], str]
    time: Callable[[float], str]
    expiry: Callable[[Job], str]


def reason(job: Job, now: float, facts: Facts, form: Format) -> str | None:
    """A phrase, or None if the job runs normally, is completed or cancelled."""
    if job.state is JobState.DEAD:
        return job.error
    first = next(closed_gates(job, now, facts, form), None)
    return first.reason if first else None


def alike(job: Job, now: float) -> tuple[object, ...] | None:
    """Jobs with the same value have the same reason, apart from their place in line; None: nobody is like this one."""
    if job.state in (JobState.PENDING, JobState.FAILED):
        is_plain = job.start_by is None and not job.held and job.due_at <= now
        return (job.queue, job.locks) if is_plain else None
    return (job.state, job.cancel_requested) if job.state in RUNNING_OR_DONE else None


def closed_gates(job: Job, now: float, facts: Facts, form: Format) -> Iterator[Gate]:
    """The gates that keep a job from starting, the most decisive first. If no other is closed, there is its place in
    line. A job that has started or finished has none."""
    if job.state in FINISHED:
        return
    if job.state is JobState.PROCESSING:
        if job.cancel_requested:
            yield Gate(Code.CANCELLING, "being cancelled")
        return
    if job.has_expired(now):
        yield Gate(Code.EXPIRED, form.expiry(job))
        return
    if job.held:
        yield Gate(Code.HELD, "held")
    is_due = job.state is not JobState.BLOCKED and job.due_at <= now
    if job.state is JobState.BLOCKED:
        more = f" and {job.unmet - 1:,} more" if job.unmet > 1 else ""
        yield Gate(Code.BLOCKED, f"waits for {facts.awaited(job)}{more}")
    elif not is_due and job.state is JobState.FAILED:
        text = f"retry {job.attempts}/{job.spec.max_retries} in {form.duration(job.due_at - now)}"
        yield Gate(Code.RETRY, text, opens_at=job.due_at)
    elif not is_due:
        yield Gate(Code.SCHEDULED, f"scheduled for {form.time(job.due_at)}", opens_at=job.due_at)
    queue = facts.queues.get(job.queue) or Queue(job.queue)
    is_paused = queue.pause is not None and queue.pause.lasts(now)
    if queue.pause and is_paused:
        yield Gate(Code.PAUSED, "queue paused", opens_at=queue.pause.until)
    slots = facts.slots(job.queue)
    if not slots.all:
        serves = "runs hooks" if job.queue == HOOKS else f'serves queue "{job.queue}"'
        yield Gate(Code.NO_WORKER, f"no live worker {serves}")
    if is_due and not job.held:
        yield from _of_the_moment(job, queue, now, facts, slots, is_alone=not is_paused)


def _of_the_moment(job: Job, queue: Queue, now: float, facts: Facts, slots: Slots, is_alone: bool) -> Iterator[Gate]:
    """The gates that open and close while jobs run. `is_alone`: no other gate is closed."""
    for gate in (*_of_queue(queue, now, facts), *_of_locks(job, facts)):
        is_alone = False
        yield gate
    if slots.all and (is_alone or slots.busy >= slots.all):
        yield _in_line(slots, facts.ahead(job), facts.most, is_alone)


def _of_queue(queue: Queue, now: float, facts: Facts) -> Iterator[Gate]:
    limit = queue.concurrency
    if limit is not None and facts.running_in(queue.name) >= limit:
        yield Gate(Code.CONCURRENCY, f"queue at its concurrency limit ({limit})", width=limit)
    if queue.rate:
        opens_at = facts.rate_opens_at(queue)
        if opens_at is None or opens_at > now:
            yield Gate(Code.RATE, "rate limit", opens_at=opens_at)


def _of_locks(job: Job, facts: Facts) -> Iterator[Gate]:
    for request in requests_of(job.locks):
        lock, holders = facts.lock(request.lock), facts.held.get(request.lock, ())
        free = len(lock.free(unit for hold in holders for unit in hold.units))
        if free < request.units:
            is_short = request.units > lock.capacity
            why = f"there are {lock.capacity}" if is_short else f"held by {named([hold.job for hold in holders])}"
        else:
            keepers = facts.kept(job, lock.name)
            if free >= request.units + sum(len(keeper.units) for keeper in keepers):
                continue
            why = f"kept for {named([keeper.job for keeper in keepers])}"
        width = lock.capacity // request.units or None  # None: only a person can let it start
        what = f"lock {request}"
        if batch := batch_of(lock.name):
            what = f"its turn in batch {batch}, of which at most {lock.capacity} run at once"
        yield Gate(Code.LOCK, f"waits for {what} ({why})", name=lock.name, holders=holders, width=width)


def _in_line(slots: Slots, ahead: int | None, most: int, is_alone: bool) -> Gate:
    """The job's place in the line for a slot."""
    if ahead is None:
        return Gate(Code.LINE, "in line", width=slots.all)
    place = ahead + 1
    if slots.waits and slots.busy >= slots.all:
        words = f"{ordinal(place)} in line" if ahead <= most else f"over {most:,} before it"
        return Gate(Code.BUSY, f"{slots.waits}; {words}", width=slots.all, place=place)
    if not ahead and is_alone:
        return Gate(Code.NEXT, "next in line", width=slots.all, place=place)
    words = f"{ordinal(place)} in line" if ahead <= most else f"over {most:,} before it"
    if slots.busy < slots.all:
        return Gate(Code.LINE, words, width=slots.all, place=place)
    return Gate(Code.BUSY, f"{slots.in_words} busy, {words}", width=slots.all, place=place)


def named(jobs: Sequence[str], most: int = NAMED_MAX) -> str:
    """`a`, `a and b`, `a, b and 3 more`."""
    if len(jobs) <= most:
        return " and ".join(jobs)
    return f"{', '.join(jobs[:most])} and {len(jobs) - most:,} more"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{suffix}"
