"""The store side of a worker: claims, hands out, records.

`step` does all that is due and returns how long there is nothing to do; `Loop` calls it. Its rules:

- Finishes and the next claims share one transaction; nothing is acknowledged or started before it is committed.
- It holds no more unstarted claims than it expects to start within a moment, so that others get their share.
- A store that is locked, full or away ends no command: what is known is kept and recorded when it is back. So it is on
  a machine that has no descriptor or memory left, or whose disk fails.
- Refused as superseded, it touches no job and no command any more.
"""

from __future__ import annotations

from collections.abc import Set

from queuectl.clock import Clock
from queuectl.domain.errors import OperationFailed, StoreUnavailable
from queuectl.engine import happenings
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch import machine
from queuectl.engine.dispatch.claiming import Claiming, Claims
from queuectl.engine.dispatch.commits import Commits
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.drain import Drain
from queuectl.engine.dispatch.firing import Firing
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.inbox import Inbox
from queuectl.engine.dispatch.outage import Outage
from queuectl.engine.dispatch.pace import Beat, Pace
from queuectl.engine.dispatch.pending import Outcome, Pending, settled
from queuectl.engine.dispatch.polling import Polling
from queuectl.engine.dispatch.pressure import Pressure
from queuectl.engine.dispatch.requests import Requests
from queuectl.engine.dispatch.stopping import GRACEFUL, Begun, Stopping
from queuectl.engine.dispatch.succession import Succession
from queuectl.engine.dispatch.upkeep import Upkeep
from queuectl.engine.dispatch.wakeup import Wakeup
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.store.values import REOPEN, REPLACED, Superseded
from queuectl.wire.workers import WorkerOptions

TICK_S = 1.0
ANSWERS_EVERY_S = 0.02
"""How often to look for the answers of other workers' supervisors, while there are any to come."""
CLOSED_EVERY_S = 0.005
"""How often to look whether a supervisor that has hung up is dead by now."""


class MustReopen(Exception):
    """The store was removed or replaced, or has to be opened again: only a new dispatcher can go on."""

    def __init__(self, options: WorkerOptions, stop: Begun | None, *, has_ended: bool) -> None:
        """`options`: what the worker was last told. `stop`: the stop that had begun, if any. `has_ended`: nothing that
        the worker ran is left."""
        self.options = options
        self.stop = stop
        self.has_stopped = stop is not None and has_ended


class Dispatcher:
    """A worker. `start`, then `step` until `exit_code` is set, then `close`."""

    def __init__(
        self, store: WorkStore, options: WorkerOptions, clock: Clock, host: Host, wakeup: Wakeup,
        observe: happenings.Observer, wards: Set[str] | None = None, unfinished: Begun | None = None,
    ) -> None:  # fmt: skip
        """`wards`: see `Reaper`. `unfinished`: a stop to go on with once the commands of before are taken over."""
        self._store, self._options = store, options
        self._clock, self._host = clock, host
        self._wakeup, self._observe = wakeup, observe
        self._settings = Settings(store.config())
        self._outage = Outage(observe, leased=store.shared_by_machines)
        self._known, self.pace = Pending(clock), Pace(clock)
        crew = self._crew = Crew(store, options, host, observe)
        self.stopping = self._stopping = Stopping(self._crew, options.stop_timeout, clock, observe, unfinished)
        self.stop = self._stopping.begin
        self._claiming = Claiming(store, crew, self.pace, observe)
        self._inbox = Inbox(self._crew, self._known, self.pace, self._claiming, self._stopping, clock, observe)
        self._succession = Succession(
            store, host, self._crew, self._known, self._claiming, self._stopping, lambda: self._settings, wards, observe
        )  # fmt: skip
        self._pressure = Pressure(store, self._crew, host, observe)
        self._requests = Requests(store, self._crew, self._claiming, self._stopping, self._settings, observe)
        self._drain, self._beat = Drain(store, self._crew, observe), Beat()
        self._upkeep = Upkeep(store, clock, lambda: self._claiming.is_full() or bool(self._pressure.waits), observe)
        self._commits = Commits(
            self._known, self._crew, self._claiming, self._stopping, self._pressure, self.pace, self._outage,
            syncs_all=store.shared_by_machines,
        )  # fmt: skip
        self._firing = Firing(store, self.pace, clock, self._stopping, self._claiming, self._requests, observe)
        self._polls = Polling(store, self._settings, options.poll, crew, self._succession, self._firing, self._requests)
        self.exit_code: int | None = None

    # --- beginning and end ------------------------------------------------------------------

    def start(self) -> None:
        """Starts the supervisors and registers them. Raises `OperationFailed` or `StoreUnavailable`."""
        self._host.prepare()
        self._crew.launch_all(self._settings)
        self._store.changed()
        options = self._options
        started = happenings.WorkerStarted(options.name, options.slots, options.served, self._store.url)
        self._observe(started, *(happenings.Lacking(*lack) for lack in self._host.lacks()))

    def close(self) -> None:
        """Lets go of everything but the commands, which go on under their supervisors."""
        self._crew.ability.regained()
        self._succession.close()

    def channels(self) -> list[Channel]:
        """The connections over which there is something to hear."""
        return [link.channel for link in self._crew.links if not link.channel.closed]

    def take_signal(self, name: str) -> None:
        """Stops gracefully, or the second time at once. The third time it does not wait for a store that is away."""
        now = self._clock.monotonic()
        self._leave_without_store(now, name)
        self._known.stop_signalled(now)
        self._stopping.signalled(name)
        self._requests.unanswered = True  # there, the store is told

    # --- one step ---------------------------------------------------------------------------

    def step(self, heard: Set[Channel] | None = None) -> float:
        """Does what is due; returns seconds until more is. `heard`: see `Inbox`. Raises `MustReopen`, `MustRestart`."""
        self._inbox.receive(heard)
        now = self._clock.monotonic()
        self._known.release(now)
        self._stopping.check_timeout(now)
        self._succession.ping(now)  # before the store is asked, which may take long: who says nothing is replaced
        try:
            with machine.Faults():
                self._polls.renew(now)
                self._succession.check_closed_links()
                self._notice_commits()
                self._tick(now)
                self._hand_over()
                if self._commits.is_due(now):
                    self._commit(now)
                if self._requests.unanswered:
                    self._requests.answer()  # only now: a job that waits for an idle slot comes first
                self._dismiss_idle()
                if not self._commits.is_pending and not self._crew.is_short:
                    self._outage.is_over(now)
        except (StoreUnavailable, OperationFailed) as error:
            self._note_store_failure(error, now)
        except Superseded as error:
            self._stand_down(error)
        return self._pause()

    def _notice_commits(self) -> None:
        """Looks at what others have committed: new jobs, requests to cancel and to stop."""
        if heard := self._store.changed():
            self._wakeup.echo.end()
            self._claiming.hear(heard.jobs)
            self._succession.others_committed()
            if heard.more:
                self._requests.unanswered = True
                self._firing.look_again()

    def _tick(self, now: float) -> None:
        if not self._stopping.has_begun and now >= self.pace.commit_not_before:
            self._crew.fill(self._settings)
        self._claiming.attend(self._settings, now, stops=self._stopping.has_begun)
        was_expecting = self._options.drain and self._succession.expects_news(now)
        if self._succession.hear_others(now):
            self._requests.look_again()  # what was asked for while nobody drove the supervisor waits for that
        self._succession.look_for_others(now)
        self._stopping.go_on(expects_commands=self._succession.expects_news(now))
        self._polls.poll(now)
        self._firing.go_on(now)
        if self._polls.is_check_due(now):
            self._check_store()
        if self._beat.is_due("tick", TICK_S, now):
            self._crew.attend(now)
            self._pressure.attend()
            self._host.reap_strays(self._crew.processes())
            if not self._stopping.has_begun and self._options.slots and self._upkeep.go_on(self._settings, now):
                self._claiming.look_again()
            self._stop_if_drained(now)
        elif was_expecting:
            self._stop_if_drained(now)

    def _stop_if_drained(self, now: float) -> None:
        drains = self._options.drain and not self._stopping.has_begun
        if drains and not self._succession.expects_news(now) and self._drain.is_over(self._claiming.next_due):
            self.stop(GRACEFUL, "drained")

    # --- the transaction --------------------------------------------------------------------

    def _commit(self, now: float) -> None:
        """Records what is known and claims what there is room for, in one transaction; then tells the supervisors.

        Results are synced with their commit, claims alone while their commands start.
        """
        known = self._known.batch()
        claims, synced = None, bool(known) or self._known.in_doubt
        with self._store.transaction(synced=synced):
            if self._known.in_doubt:
                self._crew.give_back_unknown()
            outcomes = self._known.record(known, self._store, self._settings["output-max"])
            if self._known.frees:
                self._claiming.ended(in_doubt=self._known.in_doubt)  # what these have freed is claimed here
            if self._commits.wants_claims() and self._pressure.allows():
                claims = self._claiming.claim(self._settings["max-lost"])
        self._known.recorded(known)
        done = self._clock.monotonic()
        if claims is not None and self._claiming.start(claims, done, synced=synced):
            self._store.sync()
        if known or (claims and claims.jobs):
            self._wakeup.own_commit()
        self.pace.committed(now, done, len(known))
        self._follow_up(outcomes, claims)
        self._notice_commits()  # others' commits may have been signalled together with ours
        self._stop_if_drained(done)

    def _hand_over(self) -> None:
        """Claims for a place or lock that has just become free here: its result is on its way to the disk meanwhile."""
        if not (ended := self._commits.to_follow()):
            return
        with self._store.transaction(synced=False), self._store.vacating(ended):
            claims = self._claiming.claim(self._settings["max-lost"])
        if self._claiming.start(claims, self._clock.monotonic(), synced=False):
            self._store.sync()
        if claims.jobs:
            self._wakeup.own_commit()
        self._follow_up([], claims)
        self._notice_commits()

    def _follow_up(self, outcomes: list[Outcome], claims: Claims | None) -> None:
        """Does what follows from a commit: flights go on or are over, supervisors may forget results."""
        if claims is not None:
            self._claiming.settled(claims)
        over, told, due = settled(outcomes)
        self._known.settled()
        self._claiming.note_due(due)
        if over:
            self._claiming.ended(claims)  # suspects were still in hand when these claims passed others over
        for link, keys in over.items():
            link.recorded(keys)
        if told := [*told, *map(happenings.JobCancelled, self._store.cancelled())]:
            self._observe(*told)
        if claims is not None:
            self._claiming.ask_next_due()

    # --- trouble, and leaving ---------------------------------------------------------------

    def _check_store(self) -> None:
        """A store that was replaced ends all that came from it. One to be opened again has its commands go on."""
        if become := self._store.replaced():
            self._observe(happenings.StoreReplaced(url=self._store.url, saved=become == REOPEN))
            for link in self._crew.links if become == REPLACED else ():
                self._crew.destroy(link)
            self._succession.forget(*self._crew.links)
            raise MustReopen(self._crew.options, self._stopping.begun, has_ended=become == REPLACED)

    def _note_store_failure(self, error: StoreUnavailable | OperationFailed, now: float) -> None:
        self._outage.goes_on(error, now)
        self._known.in_doubt = True
        self.pace.failed(now)
        self._check_store()
        if how := self._crew.ability.stop_wanted():
            self.stop(how, "worker stop")
        self._leave_without_store(now)

    def _leave_without_store(self, now: float, signal: str | None = None) -> None:
        if self.exit_code is None and (why := self._stopping.why_leave(self._outage, now, signal)):
            self._observe(happenings.WorkerLeft(why=why, unrecorded=len(self._known.ended)))
            self.exit_code = StoreUnavailable.exit_code

    def _stand_down(self, error: Superseded) -> None:
        """Another worker has taken a supervisor of ours: its lease expired, or all were taken over on this machine."""
        self._check_store()
        if not self._succession.replace_lapsed():
            self._observe(*(happenings.Superseded(worker=link.row.id) for link in self._crew.links))
            self._succession.forget(*self._crew.links)
            self.exit_code = error.exit_code

    def _dismiss_idle(self) -> None:
        """Dismisses supervisors that nothing ties to us any more, as far as is known."""
        stops = self._stopping.has_begun
        for link in self._crew.links if not self._known.in_doubt else ():
            if not link.flights and not link.leaving and (stops or not link.own or not link.is_used):
                self._crew.dismiss(link)
        may_leave = self._stopping.is_at_once and not self._store.shared_by_machines and not self._commits.is_pending
        if may_leave and (stuck := self._crew.only_stuck()):  # their supervisors keep them, for as long as they live
            self._observe(happenings.StuckLeft(stuck=sum(len(link.flights) for link in stuck)))
            self._succession.forget(*stuck)
        if stops and not self._crew.links and self.exit_code is None:
            self._observe(happenings.WorkerStopped(name=self._options.name))
            self.exit_code = 0

    def _pause(self) -> float:
        """Seconds until the next thing is due."""
        now = self._clock.monotonic()
        if self._outage.lasts:  # what is due waits for the store
            return max(0.0, self._commits.not_before() - now)
        start_at = max(self.pace.commit_not_before, self._commits.starts_due_at())
        wake = [self._beat.next("tick", now), start_at, self._known.next_release(), self._firing.next_wake()]
        wake.append(self._claiming.next_look(now))
        if self._commits.is_pending or self._crew.is_short:
            wake.append(self._commits.not_before())
        if self._succession.is_waiting:
            wake.append(now + ANSWERS_EVERY_S)
        if self._crew.fallen():
            wake.append(now + CLOSED_EVERY_S)
        return max(0.0, min(wake) - now)
