"""The store side of a worker: claims, hands out, records.

`step` does all that is due and returns how long there is nothing to do; `Loop` calls it. Its rules:

- Finishes and the next claims share one transaction; nothing is acknowledged or started before it is committed.
- It holds no more unstarted claims than it expects to start within a moment, so that others get their share.
- A store that is locked, full or away ends no command: what is known is kept and recorded when it is back.
- Refused as superseded, it touches no job and no command any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queuectl.clock import Clock
from queuectl.domain.errors import OperationFailed, StoreUnavailable
from queuectl.domain.job import Job
from queuectl.engine import happenings
from queuectl.engine.dispatch.crew import Claims, Crew, Options
from queuectl.engine.dispatch.drain import Drain
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.link import Flight, Link
from queuectl.engine.dispatch.outage import Outage
from queuectl.engine.dispatch.pace import Beat, Pace
from queuectl.engine.dispatch.pending import Pending, settled
from queuectl.engine.dispatch.reaper import LOOK_EVERY_S, Adopted, Frozen, Reaper, Settled
from queuectl.engine.dispatch.report import change_of_flight
from queuectl.engine.dispatch.upkeep import Upkeep
from queuectl.engine.dispatch.wakeup import Wakeup
from queuectl.engine.protocol import Channel, Message
from queuectl.settings import Settings
from queuectl.store.port import REOPEN, REPLACED, Superseded, WorkStore

TICK_S = 1.0
PINGS_A_TTL = 5
RECORD_START_AFTER_S = 0.1
"""A command that has ended by then needs no transaction for its start."""
GRACEFUL, NOW = "graceful", "now"
NOT_TOLD = (None, None)
"""What a command used, where its supervisor is of 0.1.0."""

STORE_REPLACED = -1
"""The exit code when the store was removed or replaced."""


class Dispatcher:
    """A worker. `start`, then `step` until `exit_code` is set, then `close`."""

    def __init__(
        self, store: WorkStore, options: Options, clock: Clock, host: Host, wakeup: Wakeup, observe: happenings.Observer
    ) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._host = host
        self._wakeup = wakeup
        self._observe = observe
        self._settings = Settings(store.config())
        self.pace = Pace(clock)
        self._outage = Outage(observe)
        self._crew = Crew(store, options, host, observe)
        self._drain = Drain(store, options.queues, observe)
        self._upkeep = Upkeep(store, clock)
        self._reaper = Reaper(store, host, lambda: self._settings, options.wards)
        self._known = Pending(clock)
        self._stopping: str | None = None
        self._stop_by: float | None = None
        self._look, self._passed_over, self._doubtful = True, False, False
        self._next_due: float | None = None
        self._beat = Beat()
        self.exit_code: int | None = None

    # --- beginning and end ------------------------------------------------------------------

    def start(self) -> None:
        """Starts the supervisors and registers them. Raises `OperationFailed` or `StoreUnavailable`."""
        self._host.prepare()
        self._crew.launch_all(self._settings)
        self._store.changed()
        given = self._options
        started = happenings.WorkerStarted(given.name, given.slots, given.queues, self._store.url)
        self._observe(started, *(happenings.Lacking(*lack) for lack in self._host.lacks()))

    def close(self) -> None:
        """Lets go of everything but the commands, which go on under their supervisors."""
        self._crew.ability.regained()
        for link in list(self._crew.links):
            self._forget(link)

    def channels(self) -> list[Channel]:
        """The connections over which there is something to hear."""
        return [link.channel for link in self._crew.links if not link.channel.closed]

    def take_signal(self, name: str) -> None:
        """The first one stops gracefully, a second one at once, and a third does not wait for a store that is away."""
        if self._stopping == NOW and self._outage.lasts:
            self._observe(happenings.WorkerLeft(why=name, unrecorded=len(self._known.ended)))
            self.exit_code = StoreUnavailable.exit_code
        self._known.stop_signalled(self._clock.monotonic())
        for link in self._crew.links:
            link.signalled()
        self.stop(NOW if self._stopping else GRACEFUL, name)

    def stop(self, how: str, why: str) -> None:
        """Claims nothing more; `now` also ends what runs. The loop then finishes by itself."""
        if self._stopping in (NOW, how):
            return
        self._stopping = how
        if self._options.stop_timeout is not None and how == GRACEFUL:
            self._stop_by = self._clock.monotonic() + self._options.stop_timeout
        running = sum(link.running() for link in self._crew.links)
        self._observe(happenings.WorkerStopping(why=why, how=how, running=running))
        for link in self._crew.links:
            for flight in link.flights.values():
                if flight.may_wait():
                    link.drop(flight)
                elif how == NOW and flight.result is None:
                    link.end(flight, "stop")

    # --- one step ---------------------------------------------------------------------------

    def step(self) -> float:
        """Does all that is due; returns the seconds until something is due again."""
        for link in self._crew.links:
            for message in link.channel.receive():
                self._take(link, message)
            link.channel.flush()
        now = self._clock.monotonic()
        self._known.release(now)
        self._keep_in_touch(now)
        try:
            self._crew.renew_leases(self._settings["lease-ttl"], now)
            self._look_after_the_fallen()
            self._notice_people()
            self._tick(now)
            if self._is_commit_due(now):
                self._commit(now)
            self._let_go()
            if not self._is_commit_pending() and not self._crew.is_short:
                self._outage.is_over(now)
        except (StoreUnavailable, OperationFailed) as error:
            self._suffer(error, now)
        except Superseded as error:
            self._give_up(error)
        return self._pause()

    def _take(self, link: Link, message: Message) -> None:
        kind, *words = message
        match kind:
            case "started":
                self._take_start(link, *words)
            case "ended":
                self._take_end(link, *words)
            case "dropped":
                if flight := link.flights.get((words[0], words[1])):
                    self._known.returned.append((link, flight))
                    self.pace.stalled()
            case "stuck":
                self._known.add_stuck(link, (words[0], words[1]), words[2])
            case "short":
                link.take_shortage((words[0], words[1]))
            case "welcome":
                self._take_welcome(link)
            case _:
                pass  # a word of a newer protocol that needs no answer

    def _take_start(self, link: Link, *words: Any) -> None:
        flight = self._known.add_start(link, *words)
        if flight is not None and self._stopping == NOW:
            link.end(flight, "stop")

    def _take_end(self, link: Link, result: dict[str, Any], used: Sequence[float | int | None] = NOT_TOLD) -> None:
        key = result["seq"], result["lease"]
        flight = link.flights.get(key)
        if flight is None:
            link.recorded([key])  # its job moved on, or it was recorded before a take-over
        elif flight.result is None:
            link.take_end(flight, {**result, "cpu_time": used[0], "max_rss": used[1]})
            now = self._clock.monotonic()
            self._known.add_end(link, flight, now)
            self.pace.ended(now, result["finished_at"] - result["started_at"])

    def _take_welcome(self, link: Link) -> None:
        """All that a taken-over supervisor knows has been told. What it does not know was claimed, but never sent."""
        if not link.own:
            running = sum(flight.pid is not None for flight in link.flights.values())
            self._observe(happenings.TakenOver(worker=link.row.id, running=running))
            flights = link.flights.values()
            self._known.returned += [(link, each) for each in flights if each.pid is None and each.result is None]

    def _notice_people(self) -> None:
        """Acts on what others have committed: new jobs, requests to cancel and to stop."""
        if self._store.changed():
            self._wakeup.echo.end()
            self._obey_people()

    def _obey_people(self) -> None:
        self._look = True
        for how in set(self._store.stop_requests([link.row.id for link in self._crew.links if link.own]).values()):
            self.stop(how, "worker stop")
        for link in self._crew.links:
            asked = set(self._store.cancel_requests(link.row.id)) if link.flights else ()
            for flight in link.flights.values():
                if flight.job.seq in asked and flight.result is None:
                    link.end(flight, "cancel")

    def _keep_in_touch(self, now: float) -> None:
        """What must not wait for the store: a worker that says nothing is replaced."""
        if self._stop_by is not None and now >= self._stop_by:
            self.stop(NOW, "stop timeout")
        if self._beat.is_due("ping", self._settings["lease-ttl"] / PINGS_A_TTL, now):
            self._crew.ping()

    def _tick(self, now: float) -> None:
        if not self._stopping and now >= self.pace.commit_not_before:
            self._crew.fill(self._settings)
        if self._next_due is not None and self._store.now() >= self._next_due:
            self._look, self._next_due = True, None
        if self._beat.is_due("poll", self._options.poll, now):
            self._settings = Settings(self._store.config())
            self._obey_people()
        if self._beat.is_due("tick", TICK_S, now):
            self._check_store()
            self._crew.attend(now)
            self._host.reap_strays({link.pid for link in self._crew.links if link.pid})
            self._stop_if_drained()
            if not self._stopping and self._options.slots:
                self._look = self._upkeep.go_on(self._settings, now) or self._look
        self._look_after_others(now)

    def _stop_if_drained(self) -> None:
        idle = self._options.drain and not self._stopping and not any(link.flights for link in self._crew.links)
        if idle and self._drain.is_over(self._next_due):
            self.stop(GRACEFUL, "drained")

    # --- the transaction --------------------------------------------------------------------

    def _is_commit_pending(self) -> bool:
        return self._known.is_pending or self._doubtful or self._wants_claims()

    def _is_commit_due(self, now: float) -> bool:
        if now < self._commit_not_before():
            return False
        if self._is_commit_pending():
            return True
        return now >= self._known.first_sent_at() + RECORD_START_AFTER_S

    def _commit_not_before(self) -> float:
        """Slots that lie idle while there is work do not wait for a full transaction, nor does the last result."""
        starved = self._look and not self._stopping and self._crew.room() > 0
        return self.pace.hurry_not_before if starved or self._crew.is_idle else self.pace.commit_not_before

    def _wants_claims(self) -> bool:
        return self._look and not self._stopping and self._crew.room(self.pace.ahead) > 0

    def _commit(self, now: float) -> None:
        """Records what is known and claims what there is room for, in one transaction; then tells the supervisors.

        Results are synced with their commit, claims alone while their commands start.
        """
        known = self._known.batch()
        wants_claims = self._wants_claims()
        after: list[tuple[Link, Flight, Job | None]] = []
        claims, bytes_max = Claims(), self._settings["output-max"]
        synced = bool(known) or self._doubtful
        with self._store.transaction(synced=synced):
            if self._doubtful:
                self._crew.give_back_unknown()
            for link in self._crew.links:
                flights = [flight for of, flight in known if of is link and flight is link.flights.get(flight.key)]
                if flights:
                    changes = [change_of_flight(flight, self._store, bytes_max) for flight in flights]
                    jobs = self._store.record(link.grip, changes)
                    after += [(link, flight, job) for flight, job in zip(flights, jobs, strict=True)]
            if wants_claims:
                claims = self._crew.claim(self.pace.ahead, self._settings["max-lost"])
        self._known.recorded(known)
        self._doubtful = False
        done = self._clock.monotonic()
        self._crew.start(claims, done, synced=synced)
        if claims.gave_back:
            self.pace.stalled()
        if known or claims.jobs:
            self._wakeup.own_commit()
        self.pace.committed(now, done, len(known))
        self._passed_over = self._passed_over or claims.passed_over
        if wants_claims:
            self._look = len(claims.jobs) >= claims.room
        self._settle(after)  # may want another look: what ended was still in hand when these claims passed others over
        if wants_claims and not self._look:
            self._next_due = self._store.next_due()
        self._notice_people()  # their commit may have been signalled together with ours
        self._stop_if_drained()

    def _settle(self, after: Sequence[tuple[Link, Flight, Job | None]]) -> None:
        """What follows from a commit: flights go on or are over, supervisors may forget results."""
        over, told, due = settled(after)
        if due is not None:
            self._next_due = min(due, self._next_due or due)
        if over and self._passed_over:
            self._look, self._passed_over = True, False
        for link, keys in over.items():
            link.recorded(keys)
        if told:
            self._observe(*told)

    # --- other supervisors, and the deaths of our own ---------------------------------------

    def _look_after_others(self, now: float) -> None:
        for found in self._reaper.hear(now, may_adopt=not self._stopping):
            match found:
                case Adopted(row=row, channel=channel, lease=lease):
                    self._crew.take_over(row, channel, lease, now)
                    self._obey_people()  # who asked for something while nobody drove it waits for that
                case Frozen(row=row):
                    self._observe(happenings.SupervisorFrozen(worker=row.id))
        if self._reaper.fenced or (not self._stopping and self._beat.is_due("others", LOOK_EVERY_S, now)):
            for settled in self._reaper.look({link.row.id: bool(link.flights) for link in self._crew.links}, now):
                self._tell_settled(settled)

    def _tell_settled(self, settled: Settled) -> None:
        self._look = True
        self._observe(*settled.happenings())

    def _look_after_the_fallen(self) -> None:
        for link in self._crew.fallen():
            if self._crew.is_dead(link):
                self._bury(link)
            elif not link.leaving and not self._store.holds(link.grip):
                raise Superseded(f"worker {link.row.id} is driven by another process now")

    def _bury(self, link: Link) -> None:
        """A supervisor is dead: it left as told, or its jobs are settled and another one takes its place."""
        if link.leaving:
            self._forget(link)
            self._host.remove(link.row.id)
            return
        settled = self._reaper.settle(link.row, lambda: self._host.testify(link.flights.values()))
        self._observe(happenings.SupervisorDied(worker=link.row.id))
        self._forget(link)
        if settled:
            self._tell_settled(settled)
        if link.own and not self._stopping:
            self._crew.replace(link)

    def _forget(self, link: Link) -> None:
        self._crew.forget(link)
        self._known.forget(link)

    # --- trouble ----------------------------------------------------------------------------

    def _check_store(self) -> None:
        """A store that was replaced ends all that came from it. One to be opened again has its commands go on."""
        if not (become := self._store.replaced()):
            return
        self._observe(happenings.StoreReplaced(url=self._store.url, saved=become == REOPEN))
        for link in list(self._crew.links):
            if become == REPLACED:
                self._crew.destroy(link)
            self._forget(link)
        self.exit_code = STORE_REPLACED

    def _suffer(self, error: StoreUnavailable | OperationFailed, now: float) -> None:
        self._outage.goes_on(error, now)
        self._doubtful = True
        self.pace.failed(now)
        self._check_store()
        if how := self._crew.ability.stop_wanted():
            self.stop(how, "worker stop")

    def _give_up(self, error: Superseded) -> None:
        self._check_store()
        if self.exit_code is not None:
            return
        lapsed = self._crew.lapsed()
        for link in lapsed or list(self._crew.links):
            told = happenings.LeaseLost if lapsed else happenings.Superseded
            self._observe(told(worker=link.row.id))
            if lapsed and link.own:
                self._crew.kill(link)
                self._reaper.fenced.add(link.row.id)
                if not self._stopping:
                    self._crew.replace(link)
            self._forget(link)
        if not lapsed:
            self.exit_code = error.exit_code

    # --- leaving ----------------------------------------------------------------------------

    def _let_go(self) -> None:
        """Dismisses supervisors that nothing ties to us any more, as far as is known."""
        for link in self._crew.links if not self._doubtful else ():
            if not link.flights and not link.leaving and (self._stopping or not link.own):
                self._crew.dismiss(link)
        may_leave = self._stopping == NOW and not self._store.shared_by_machines and not self._is_commit_pending()
        if may_leave and (stuck := self._crew.only_stuck()):  # their supervisors keep them, for as long as they live
            self._observe(happenings.StuckLeft(stuck=sum(len(link.flights) for link in stuck)))
            for link in stuck:
                self._forget(link)
        if self._stopping and not self._crew.links and self.exit_code is None:
            self._observe(happenings.WorkerStopped(name=self._options.name))
            self.exit_code = 0

    def _pause(self) -> float:
        """Seconds until the next thing is due."""
        now = self._clock.monotonic()
        if self._outage.lasts:  # what is due waits for the store
            return max(0.0, self._commit_not_before() - now)
        start_at = max(self.pace.commit_not_before, self._known.first_sent_at() + RECORD_START_AFTER_S)
        wake = [self._beat.next("tick", now), start_at, self._known.next_release()]
        if self._is_commit_pending() or self._crew.is_short:
            wake.append(self._commit_not_before())
        if self._next_due is not None:
            wake.append(now + self._next_due - self._store.now())
        if self._reaper.is_waiting():
            wake.append(now + 0.02)
        if any(link.channel.closed for link in self._crew.links):
            wake.append(now + 0.005)
        return max(0.0, min(wake) - now)
