"""The store side of a worker: claims, hands out, records.

One loop, one thread. `step` does all that is due and returns how long there is nothing to do; `run` sleeps that
long in one selector over the supervisors' sockets, the store's wake-up and the signals. Its rules:

- Finishes and the next claims share one transaction; nothing is acknowledged or started before it is committed.
- It holds no more unstarted claims than it expects to start within a moment, so that others get their share.
- A store that is locked, full or away ends no command: what is known is kept and recorded when it is back.
- Refused as superseded, it touches no job and no command any more.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from queuectl import events
from queuectl.clock import Clock
from queuectl.domain.errors import QueuectlError, StoreUnavailable
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import GivenBack, Started
from queuectl.engine import process
from queuectl.engine.link import Flight, Key, Link, Plan, has_died, launch
from queuectl.engine.protocol import Message
from queuectl.engine.reaper import LOOK_EVERY_S, Adopted, Frozen, Reaper, Settled, Witness
from queuectl.engine.report import change_of
from queuectl.engine.wakeup import POLL_EVERY_S, Wakeup
from queuectl.store.port import Change, Store, Superseded, WorkerRow

TICK_S = 1.0
PING_EVERY_S = 3.0
COMMIT_GAP_S = 0.005
"""Commits are at least this far apart, and at least twice as far as one takes: results of a busy time share one."""
RECORD_START_AFTER_S = 0.1
"""A command that has ended by then needs no transaction for its start."""
AHEAD_S = 0.02
"""Claims are held ready for as long at the measured rate; more would starve other workers."""
AHEAD_MAX = 64
UNSTARTED_MAX_S = 0.1
"""A claim that could not be started by then is given back."""
STORE_RETRY_S = (0.05, 1.0)
"""First and longest pause before a failed transaction is tried again."""
GRACEFUL, NOW = "graceful", "now"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a worker serves. No queues: all. `poll` is how often to look at the store without being woken."""

    name: str
    slots: int
    queues: tuple[str, ...] = ()
    poll: float = 5.0
    drain: bool = False
    stop_timeout: float | None = None
    supervisors: int = 1
    version: str = ""
    output_bytes_max: int = 10 << 20
    max_lost: int = 3


class Dispatcher:
    """A worker. `start`, then `run` until it returns the exit code."""

    def __init__(self, store: Store, options: Options, clock: Clock, observe: events.Observer) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._observe = observe
        self._host = os.uname().nodename
        self._wakeup = Wakeup(None)
        self._selector = selectors.DefaultSelector()
        self._reaper = Reaper(store, options.output_bytes_max, lambda: options.max_lost)
        self._links: list[Link] = []
        self._ended: list[tuple[Link, Flight]] = []
        self._returned: list[tuple[Link, Flight]] = []
        self._starts: list[tuple[Link, Flight]] = []
        self._stopping: str | None = None
        self._stop_by: float | None = None
        self._signals = 0
        self._look = True
        self._next_due: float | None = None
        self._next_tick = self._next_poll = self._next_reap = self._next_ping = 0.0
        self._commit_not_before = 0.0
        self._store_lost_at: float | None = None
        self._store_pause = 0.0
        self._cycle_s = 1.0
        self._last_end = 0.0
        self._exit_code: int | None = None

    # --- beginning and end ------------------------------------------------------------------

    def start(self) -> None:
        """Starts the supervisors and registers them. Raises `OperationFailed` or `StoreUnavailable`."""
        process.become_subreaper()
        self._listen_to_signals()
        per, more = divmod(self._options.slots, self._options.supervisors)
        first = 0
        for number in range(self._options.supervisors):
            slots = per + (number < more)
            self._add_supervisor(first, slots)
            first += slots
        self._wakeup = Wakeup(self._store.watch)
        if self._wakeup.handle >= 0:
            self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._store.changed()
        self._observe(
            events.WorkerStarted(
                name=self._options.name, slots=self._options.slots, queues=self._options.queues, store=self._store.url
            )
        )

    def _add_supervisor(self, first_slot: int, slots: int) -> None:
        options = self._options
        plan = Plan(
            name=options.name, below=self._store.folder, store_url=self._store.url, first_slot=first_slot, slots=slots,
            output_bytes_max=options.output_bytes_max,
        )  # fmt: skip
        worker, bits, pid, channel = launch(plan)
        row = WorkerRow(
            id=worker, name=options.name, epoch=1, host=self._host, machine=process.machine_id(), pid=pid,
            dispatcher=os.getpid(), slots=slots, queues=options.queues, tag=bits, version=options.version,
            started_at=self._store.now(),
        )  # fmt: skip
        self._store.register(row)
        self._add_link(Link(row, channel, self._store.folder, pid))

    def _add_link(self, link: Link) -> None:
        link.hello()
        self._links.append(link)
        self._selector.register(link.channel, selectors.EVENT_READ, link)

    def _listen_to_signals(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ)
        self._signal_pipe = reader
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._on_signal)

    def _on_signal(self, signum: int, _frame: object) -> None:
        self._signals += 1
        self.stop(GRACEFUL if self._signals == 1 else NOW, signal.Signals(signum).name)

    def stop(self, how: str, why: str) -> None:
        """Claims nothing more; `now` also ends what runs. The loop then finishes by itself."""
        if self._stopping == NOW or self._stopping == how:
            return
        self._stopping = how
        if self._options.stop_timeout is not None and how == GRACEFUL:
            self._stop_by = self._clock.monotonic() + self._options.stop_timeout
        running = sum(link.running() for link in self._links)
        self._observe(events.WorkerStopping(why=why, how=how, running=running))
        for link in self._links:
            for flight in link.flights.values():
                if flight.pid is None and flight.result is None:
                    link.drop(flight)
                elif how == NOW and flight.result is None:
                    link.end(flight, "stop")

    def run(self) -> int:
        """Works until stopped, drained or superseded; the exit code."""
        while self._exit_code is None:
            pause = self.step()
            if self._exit_code is None:
                self._sleep(pause)
        return self._exit_code

    def _sleep(self, pause_s: float) -> None:
        if self._wakeup.handle < 0:
            pause_s = min(pause_s, POLL_EVERY_S)
        for link in self._links:
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.channel.unsent else 0)
            if self._selector.get_key(link.channel).events != wanted:
                self._selector.modify(link.channel, wanted, link)
        for key, _ in self._selector.select(max(0.0, pause_s)):
            if key.fd == self._signal_pipe:
                os.read(self._signal_pipe, 4096)
            elif key.fd == self._wakeup.handle:
                self._wakeup.clear()

    # --- one step ---------------------------------------------------------------------------

    def step(self) -> float:
        """Does all that is due; returns the seconds until something is due again."""
        for link in list(self._links):
            self._hear(link)
        now = self._clock.monotonic()
        try:
            self._notice_people()
            self._tick(now)
            self._look_after_others(now)
            if self._is_commit_due(now):
                self._commit(now)
            self._store_is_back()
        except StoreUnavailable as error:
            self._store_is_lost(error)
        except Superseded as error:
            self._give_up(error)
        self._let_go()
        return self._pause()

    def _hear(self, link: Link) -> None:
        for message in link.channel.receive():
            self._take(link, message)
        link.channel.flush()
        if link.channel.closed:
            self._hung_up(link)

    def _take(self, link: Link, message: Message) -> None:
        kind, *words = message
        match kind:
            case "started":
                seq, lease, at, pid, files = words
                if flight := link.flights.get((seq, lease)):
                    flight.pid, flight.started_at, flight.files = pid, at, tuple(files.values())
                    if flight.job.started_at is None:
                        self._starts.append((link, flight))
                    if self._stopping == NOW:
                        link.end(flight, "stop")
            case "ended":
                self._take_end(link, words[0])
            case "dropped":
                if flight := link.flights.get((words[0], words[1])):
                    self._returned.append((link, flight))
            case _:
                pass  # welcome

    def _take_end(self, link: Link, result: dict[str, object]) -> None:
        key: Key = (result["seq"], result["lease"])  # type: ignore[assignment]
        flight = link.flights.get(key)
        if flight is None:
            link.recorded([key])  # the job moved on, or it was recorded before a take-over
        elif flight.result is None:
            flight.result = result
            self._ended.append((link, flight))
            self._measure()

    def _measure(self) -> None:
        """Keeps the average time between two ends, which says how many claims to hold ready."""
        now = self._clock.monotonic()
        self._cycle_s += 0.1 * (min(1.0, now - self._last_end) - self._cycle_s)
        self._last_end = now

    def _notice_people(self) -> None:
        """Acts on what was committed by others: new jobs, wishes to cancel, requests to stop."""
        if not self._store.changed():
            return
        self._look = True
        self._obey_people()

    def _obey_people(self) -> None:
        for how in set(self._store.stop_requests([link.row.id for link in self._links if link.own]).values()):
            self.stop(how, "worker stop")
        for link in self._links:
            wishes = set(self._store.wishes(link.row.id))
            for flight in link.flights.values():
                if flight.job.seq in wishes and flight.result is None:
                    link.end(flight, "cancel")

    def _tick(self, now: float) -> None:
        if self._stop_by is not None and now >= self._stop_by:
            self.stop(NOW, "stop timeout")
        if now >= self._next_ping:
            self._next_ping = now + PING_EVERY_S
            for link in self._links:
                link.ping()
        if now >= self._next_poll:
            self._next_poll = now + self._options.poll
            self._look = True
            self._obey_people()
        if self._next_due is not None and self._store.now() >= self._next_due:
            self._look, self._next_due = True, None
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            self._give_back_stale(now)
            if self._options.drain and not self._stopping and not self._has_flights():
                self._drain()

    def _give_back_stale(self, now: float) -> None:
        for link in self._links:
            for flight in link.unstarted():
                if now - flight.sent_at > UNSTARTED_MAX_S:
                    link.drop(flight)

    def _has_flights(self) -> bool:
        return any(link.flights for link in self._links)

    def _drain(self) -> None:
        if not self._store.has_work(self._options.queues):
            self.stop(GRACEFUL, "drained")

    # --- the transaction --------------------------------------------------------------------

    def _is_commit_due(self, now: float) -> bool:
        if now < self._commit_not_before:
            return False
        if self._ended or self._returned or (self._look and self._capacity()):
            return True
        return bool(self._starts) and now >= self._starts[0][1].sent_at + RECORD_START_AFTER_S

    def _capacity(self) -> int:
        return 0 if self._stopping else sum(self._room(link) for link in self._links)

    def _room(self, link: Link) -> int:
        """How many jobs a supervisor may be given now. Slots taken by adopted commands are not there."""
        if not link.own or link.leaving:
            return 0
        ahead = min(AHEAD_MAX, int(AHEAD_S / self._cycle_s))
        in_hand = sum(flight.result is None for flight in link.flights.values())
        adopted = sum(len(other.flights) for other in self._links if not other.own)
        return max(0, link.row.slots + ahead - in_hand - adopted)

    def _commit(self, now: float) -> None:
        """Records what is known and claims what there is room for, in one transaction; then tells the supervisors."""
        ended, returned = self._ended, self._returned
        starts = [(link, flight) for link, flight in self._starts if flight.result is None]
        room = {link.row.id: self._room(link) for link in self._links} if self._look and not self._stopping else {}
        claimed: list[tuple[Link, Sequence[Job]]] = []
        after: list[tuple[Link, Flight, Job | None]] = []
        with self._store.transaction():
            for link in self._links:
                flights = [
                    flight
                    for of, flight in (*ended, *returned, *starts)
                    if of is link and link.flights.get(_key(flight)) is flight
                ]
                if flights:
                    jobs = self._store.record(link.grip, [self._change(flight) for flight in flights])
                    after += [(link, flight, job) for flight, job in zip(flights, jobs, strict=True)]
            for link in self._links:
                if limit := room.get(link.row.id, 0):
                    claimed.append((link, self._claim(link, limit)))
        self._ended, self._returned, self._starts = [], [], []
        done = self._clock.monotonic()
        self._commit_not_before = done + max(COMMIT_GAP_S, 2 * (done - now))
        self._settle(after)
        for link, orders in claimed:
            link.start(orders, done)
        if room:
            self._after_claims(sum(len(orders) for _, orders in claimed), sum(room.values()))

    def _change(self, flight: Flight) -> Change:
        if flight.result is not None:
            return change_of(flight.job, flight.result, self._store.folder, self._options.output_bytes_max)
        if flight.started_at is not None:
            return Change(job=flight.job, event=Started(at=flight.started_at), output_files=flight.files)
        return Change(job=flight.job, event=GivenBack())

    def _claim(self, link: Link, limit: int) -> list[Job]:
        jobs = self._store.claim(link.grip, self._host, limit, self._options.queues)
        return [self._start_on_record(link, job) if job.lost_in_row else job for job in jobs]

    def _start_on_record(self, link: Link, job: Job) -> Job:
        """The start of a job that may be poison counts before it happens."""
        (started,) = self._store.record(link.grip, [Change(job=job, event=Started(at=self._store.now()))])
        return started or job

    def _after_claims(self, claimed: int, room: int) -> None:
        self._look = claimed >= room
        if not self._look:
            self._next_due = self._store.next_due()
            if self._options.drain and not self._has_flights():
                self._drain()

    def _settle(self, after: Sequence[tuple[Link, Flight, Job | None]]) -> None:
        """What follows from a commit: flights go on or are over, supervisors may forget results."""
        over: dict[Link, list[Key]] = {}
        for link, flight, job in after:
            if flight.result is None and flight.started_at is not None and job is not None:
                flight.job = job
                self._observe(events.JobStarted(job=job))
                continue
            over.setdefault(link, []).append(_key(flight))
            if job is not None:
                self._told(flight, job)
        for link, keys in over.items():
            link.recorded(keys)

    def _told(self, flight: Flight, job: Job) -> None:
        if flight.result is not None:
            self._observe(events.JobEnded(job=job))
        if job.state in (JobState.FAILED, JobState.PENDING):
            self._next_due = min(job.due_at, self._next_due or job.due_at)

    # --- other supervisors, and the deaths of our own ---------------------------------------

    def _look_after_others(self, now: float) -> None:
        for found in self._reaper.hear(now, may_adopt=not self._stopping):
            match found:
                case Adopted(row=row, channel=channel):
                    self._take_over(Link(row, channel, self._store.folder))
                case Frozen(row=row):
                    self._observe(events.SupervisorFrozen(worker=row.id))
                    self._next_reap = now
        if now >= self._next_reap and not self._stopping:
            self._next_reap = now + LOOK_EVERY_S
            for settled in self._reaper.look({link.row.id for link in self._links}, now):
                self._report(settled)

    def _take_over(self, link: Link) -> None:
        for job in self._store.running(link.row.id):
            flight = Flight(job=job, sent_at=self._clock.monotonic())
            link.flights[job.seq, job.lease] = flight
        self._observe(events.TakenOver(worker=link.row.id, running=len(link.flights)))
        self._add_link(link)

    def _report(self, settled: Settled) -> None:
        self._look = True
        for job in settled.recorded:
            self._observe(events.JobEnded(job=job))
        for job in settled.lost:
            self._observe(events.JobLost(job=job))
        self._observe(events.CleanedUp(worker=settled.row.id, recorded=len(settled.recorded), lost=len(settled.lost)))

    def _hung_up(self, link: Link) -> None:
        """A supervisor's end of the line is closed: it has left, died, or follows somebody else."""
        if link.pid is not None and not has_died(link.pid):
            return  # not proven dead: look again
        self._forget(link)
        if link.leaving:
            shutil.rmtree(link.folder, ignore_errors=True)
        elif link.own:
            self._bury(link)

    def _forget(self, link: Link) -> None:
        self._links.remove(link)
        self._selector.unregister(link.channel)
        link.channel.close()
        for waiting in (self._ended, self._returned, self._starts):
            waiting[:] = [entry for entry in waiting if entry[0] is not link]

    def _bury(self, link: Link) -> None:
        self._observe(events.SupervisorDied(worker=link.row.id))
        flights = link.flights.values()
        known = [flight.result for flight in flights if flight.result is not None]
        witness = Witness(
            results=[*known, *self._ends_seen(link)],
            started={_key(flight): flight.started_at for flight in flights if flight.started_at is not None},
        )
        if settled := self._reaper.settle(link.row, witness):
            self._report(settled)
        if not self._stopping:
            self._add_supervisor(0, link.row.slots)

    def _ends_seen(self, link: Link) -> list[dict[str, object]]:
        """The ends of a dead supervisor's commands that had ended before it: their statuses came to us."""
        del link
        return []

    # --- trouble ----------------------------------------------------------------------------

    def _store_is_lost(self, error: StoreUnavailable) -> None:
        now = self._clock.monotonic()
        if self._store_lost_at is None:
            self._store_lost_at = now
            self._store_pause = STORE_RETRY_S[0]
        elif now - self._store_lost_at > 1.0 > now - self._store_lost_at - self._store_pause:
            self._observe(events.StoreLost(why=error.message))
        self._store_pause = min(2 * self._store_pause, STORE_RETRY_S[1])
        self._commit_not_before = now + self._store_pause

    def _store_is_back(self) -> None:
        if self._store_lost_at is not None:
            away = self._clock.monotonic() - self._store_lost_at
            self._store_lost_at = None
            if away > 1.0:
                self._observe(events.StoreBack(after=away))

    def _give_up(self, error: QueuectlError) -> None:
        for link in list(self._links):
            self._observe(events.Superseded(worker=link.row.id))
            self._forget(link)
        self._exit_code = error.exit_code

    # --- leaving ----------------------------------------------------------------------------

    def _let_go(self) -> None:
        for link in list(self._links):
            if not link.flights and not link.leaving and (self._stopping or not link.own):
                self._dismiss(link)
        if self._stopping and not self._links and self._exit_code is None:
            self._observe(events.WorkerStopped(name=self._options.name))
            self._exit_code = 0

    def _dismiss(self, link: Link) -> None:
        try:
            self._store.deregister(link.grip)
        except Superseded:
            self._forget(link)
        except StoreUnavailable as error:
            self._store_is_lost(error)
        else:
            link.leave()

    def _pause(self) -> float:
        """Seconds until the next thing is due."""
        now = self._clock.monotonic()
        wake = [self._next_tick]
        if self._ended or self._returned or (self._look and self._capacity()):
            wake.append(self._commit_not_before)
        if self._starts:
            wake.append(max(self._commit_not_before, self._starts[0][1].sent_at + RECORD_START_AFTER_S))
        if self._next_due is not None:
            wake.append(now + self._next_due - self._store.now())
        if self._reaper.channels():
            wake.append(now + 0.02)
        if any(link.channel.closed for link in self._links):
            wake.append(now + 0.01)
        return max(0.0, min(wake) - now)


def _key(flight: Flight) -> Key:
    return flight.job.seq, flight.job.lease
