"""What a dispatcher knows of its executions and has not recorded yet.

A command that dies of a signal which also asks its worker to stop did not fail: a service manager, a logout or a
reboot signals all of them at once. Which of the two is heard of first is chance. So an end by such a signal waits a
moment for the worker's own; all other ends wait for nothing. An end of which something lives on was held by the
supervisor for that moment (see engine/supervise/withheld.py), and had nothing to do with a stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from queuectl.clock import Clock
from queuectl.domain.cause import Cause
from queuectl.domain.job import CLAIMABLE, Job
from queuectl.engine import happenings
from queuectl.engine.dispatch.link import Flight, Link
from queuectl.engine.dispatch.report import change_of_flight
from queuectl.engine.protocol import End, Key, Started
from queuectl.engine.signals import may_belong_to_stop, together_s
from queuectl.store.port import WorkStore
from queuectl.typed import NamedTuple

HOLD_S = 1.0
"""How long the worker's own signal may come after the end of a command."""

Entry = tuple[Link, Flight]
Outcome = tuple[Link, Flight, Job | None]
"""What a recorded flight has become: its job as it stands now; None where the job had moved on."""


class Held(NamedTuple):
    """An end that may belong to a stop."""

    until: float
    link: Link
    flight: Flight


class Pending:
    """Ends, starts, returned claims and executions that cannot be ended, until they are in the store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ended: list[Entry] = []
        self.returned: list[Entry] = []
        self.starts: list[Entry] = []
        self.stuck: list[Entry] = []
        self.progress: dict[Key, Entry] = {}
        self.in_doubt = False
        """Whether a transaction may have been committed though we were told that it failed."""
        self._held: list[Held] = []
        self._stopped_at: float | None = None

    @property
    def is_pending(self) -> bool:
        """Whether there is something that need not wait."""
        return bool(self.ended or self.returned or self.stuck or self.in_doubt or self.progress)

    @property
    def frees(self) -> bool:
        """Whether recording it may let other jobs start."""
        return bool(self.ended or self.returned or self.in_doubt)

    def add_end(self, link: Link, flight: Flight, now: float) -> None:
        """An execution has ended; its result is in the flight."""
        assert flight.result is not None
        if _may_belong_to_stop(flight, flight.result):
            age_s = self._clock.now() - flight.result.finished_at
            together = together_s(flight.job.spec.kill_grace)
            if self._stopped_at is not None and now - self._stopped_at < together:
                _give_back(flight)
            elif age_s < HOLD_S:
                self._held.append(Held(now + HOLD_S - max(0.0, age_s), link, flight))
                return
        self.ended.append((link, flight))

    def add_start(self, link: Link, told: Started) -> Flight | None:
        """An execution has started; None where that is no news."""
        flight = link.flights.get((told.seq, told.lease))
        if flight is None or flight.pid is not None:
            return None  # recorded meanwhile, or told before
        flight.started_at, flight.pid, flight.files = told.at, told.pid, tuple(told.files.values())
        if flight.job.started_at is None or flight.is_foreseen:
            self.starts.append((link, flight))
        return flight

    def add_return(self, link: Link, flight: Flight) -> None:
        """An order will not be carried out. It may be told again while the store is away."""
        if not flight.is_returned:
            flight.is_returned = True
            self.returned.append((link, flight))

    def add_stuck(self, link: Link, key: Key, what: str) -> None:
        """An execution could not be ended; `what` of it lives on."""
        flight = link.flights.get(key)
        if flight is not None and flight.result is None:
            flight.stuck = what
            if flight.job.error != what and (link, flight) not in self.stuck:
                self.stuck.append((link, flight))

    def add_progress(self, link: Link, key: Key, text: str) -> None:
        """A running command has told how far it is."""
        flight = link.flights.get(key)
        if flight is not None:
            flight.progress = text
            if flight.has_progress:
                self.progress[key] = link, flight

    def stop_signalled(self, now: float) -> None:
        """The worker itself has got a signal to stop."""
        self._stopped_at = now
        for held in self._held:
            _give_back(held.flight)
            self.ended.append((held.link, held.flight))
        self._held.clear()

    def release(self, now: float) -> None:
        """Lets ends go on that have waited long enough."""
        if self._held and now >= self._held[0].until:
            self.ended += [(held.link, held.flight) for held in self._held if now >= held.until]
            self._held = [held for held in self._held if now < held.until]

    def next_release(self) -> float:
        """When `release` has something to do."""
        return min((held.until for held in self._held), default=inf)

    def first_sent_at(self) -> float:
        """When the first order was sent whose start is known and not recorded."""
        return self.starts[0][1].sent_at if self.starts else inf

    def batch(self) -> list[Entry]:
        """All that can be recorded now, each flight once."""
        starts = [entry for entry in self.starts if entry[1].result is None]
        stuck = [entry for entry in self.stuck if entry[1].result is None and entry not in starts]
        told = {entry[1].key for entry in (*self.returned, *starts, *stuck)} if self.progress else ()
        progress = [entry for key, entry in self.progress.items() if entry[1].has_progress and key not in told]
        return [*self.ended, *self.returned, *starts, *stuck, *progress]

    def record(self, batch: Sequence[Entry], store: WorkStore, output_bytes_max: int) -> list[Outcome]:
        """Writes a batch, inside the caller's transaction."""
        by_link: dict[Link, list[Flight]] = {}
        for link, flight in batch:
            if flight is link.flights.get(flight.key):  # else its job has moved on
                by_link.setdefault(link, []).append(flight)
        outcomes: list[Outcome] = []
        for link, flights in by_link.items():
            jobs = store.record(link.grip, [change_of_flight(flight, store, output_bytes_max) for flight in flights])
            outcomes += [(link, flight, job) for flight, job in zip(flights, jobs, strict=True)]
        return outcomes

    def recorded(self, batch: list[Entry]) -> None:
        """A batch is in the store. Where that was a start, what else is known of the flight still is to come."""
        self.stuck = [entry for entry in self.stuck if entry in batch and entry in self.starts]
        self.ended, self.returned, self.starts, self.in_doubt = [], [], [], False

    def settled(self) -> None:
        """What a batch has made of its flights is known: of some there still is progress to record."""
        if self.progress:
            self.progress = {key: entry for key, entry in self.progress.items() if entry[1].has_progress}

    def forget(self, link: Link) -> None:
        """Nothing of this supervisor is ours to record any more."""
        for waiting in (self.ended, self.returned, self.starts, self.stuck):
            waiting[:] = [entry for entry in waiting if entry[0] is not link]
        self.progress = {key: entry for key, entry in self.progress.items() if entry[0] is not link}
        self._held = [held for held in self._held if held.link is not link]


class After(NamedTuple):
    """What follows from a commit: executions that are over, what there is to tell, and when one is due again."""

    over: dict[Link, list[Key]]
    told: list[happenings.Happening]
    due: float | None


def settled(outcomes: Sequence[Outcome]) -> After:
    """What became of flights: they go on with their jobs as they stand now, or are over."""
    over: dict[Link, list[Key]] = {}
    told: list[happenings.Happening] = []
    due: float | None = None
    for link, flight, job in outcomes:
        if flight.result is None and flight.started_at is not None and job is not None:
            if flight.job.started_at is None or flight.is_foreseen:
                told.append(happenings.JobStarted(job=job))
            elif job.progress == flight.job.progress:
                told.append(happenings.JobStuck(job=job))
            flight.job, flight.is_foreseen = job, False
            continue
        over.setdefault(link, []).append(flight.key)
        if job is not None and flight.result is not None:
            told.append(happenings.JobEnded(job=job))
        if job is not None and job.state in CLAIMABLE:
            due = job.due_at if due is None else min(job.due_at, due)
    return After(over, told, due)


def _may_belong_to_stop(flight: Flight, end: End) -> bool:
    """Also where a cancel was on its way: without a cause, the command ended before that. A stop that nobody here has
    asked for is one of which the supervisor has heard first: the job must not start again before we hear of it."""
    if end.cause is Cause.STOP:
        return flight.end_sent is None
    return may_belong_to_stop(end.exit_code, end.signal) and not (end.cause or end.leftover)


def _give_back(flight: Flight) -> None:
    assert flight.result is not None
    flight.result = flight.result._replace(cause=Cause.STOP)
