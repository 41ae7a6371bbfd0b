"""Fires schedules: adds the jobs of due fires, and tells how these end. Each worker does, and whoever looks first at a
schedule decides about it."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from queuectl.clock import Clock
from queuectl.engine.dispatch.claiming import Claiming
from queuectl.engine.dispatch.pace import Pace
from queuectl.engine.dispatch.requests import Requests
from queuectl.engine.dispatch.stopping import Stopping
from queuectl.engine.happenings import Observer
from queuectl.store.port import WorkStore
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.engine.dispatch.alerts import Alerts
    from queuectl.engine.dispatch.fires import Fires
    from queuectl.engine.dispatch.recounting import Recounting

ASK_AFTER_S = 0.1
"""How long after somebody has committed something to ask for the next fire: most have added jobs, which come first."""
ASK_EVERY_S = 5.0
"""How often to ask for it anyway: a server may not have told of a commit."""
RECOUNT_S = 1.0
"""How often to look at the clock and at time zones, while there are schedules."""
BUSY_S = 0.02
"""Others are looking at all that is due."""


class Firing:
    """Fires the schedules of a store when they are due."""

    def __init__(
        self, store: WorkStore, pace: Pace, clock: Clock, stopping: Stopping, claiming: Claiming, requests: Requests,
        observe: Observer,
    ) -> None:  # fmt: skip
        self._store = store
        self._pace = pace
        self._clock = clock
        self._stopping = stopping
        self._claiming = claiming
        self._requests = requests
        self._observe = observe
        self._known: tuple[Fires, Alerts, Recounting] | None = None
        """Loaded once there are schedules."""
        self._ask_at = self._asked_at = self._recount_at = -inf
        self.next_at: float | None = None
        """When the next schedule is to be fired, by the store's time; None if there is none."""
        self._tell_at: float | None = None
        """When there may be something to tell of one's runs."""

    def look_again(self) -> None:
        """Something has changed, so that another fire may be the next one."""
        self._ask_at = min(self._ask_at, self._clock.monotonic() + ASK_AFTER_S)

    def told(self, scheduled: bool) -> None:
        """There is something to fire or to tell of, or there is not."""
        if not scheduled and self.next_at is None and self._tell_at is None:
            self._asked_at = self._clock.monotonic()

    def next_wake(self) -> float:
        """When there is something to do, by the clock that never jumps; infinite if there is nothing."""
        if self._stopping.has_begun:
            return inf
        if self._store.runs_ended:
            return self._pace.commit_not_before
        due = min((at for at in (self.next_at, self._tell_at) if at is not None), default=inf)
        look_at = inf if due == inf else self._clock.monotonic() + due - self._store.now()
        return max(self._pace.commit_not_before, min(look_at, self._ask_at))

    def go_on(self, now: float) -> None:
        """Fires what is due, some of it if it is much."""
        if self._stopping.has_begun or now < self._pace.commit_not_before:
            return
        if self._store.runs_ended:
            self._store.runs_ended, self._ask_at = False, -inf
        ask_at = min(self._ask_at, self._asked_at + ASK_EVERY_S)
        if now >= ask_at or (self.next_at is not None and now >= self._recount_at):
            self._ask()
        self._fire()
        self._tell()

    def _fire(self) -> None:
        if self.next_at is None or self._store.now() < self.next_at:
            return
        fires = self._with_schedules()[0]
        looked_at, jobs = fires.fire()
        if jobs:
            self._claiming.look_again()
        if fires.has_cancelled:
            self._requests.answer()  # nobody else tells of what runs here
        self._ask()
        if not looked_at and self.next_at is not None:
            self.next_at = max(self.next_at, self._store.now() + BUSY_S)

    def _tell(self) -> None:
        if self._tell_at is None or self._store.now() < self._tell_at:
            return
        looked_at = self._with_schedules()[1].tell()
        if self._store.hooks_added:
            self._claiming.ended()
        self._ask()
        if not looked_at and self._tell_at is not None:
            self._tell_at = max(self._tell_at, self._store.now() + BUSY_S)

    def _ask(self) -> None:
        self._asked_at = now = self._clock.monotonic()
        self._ask_at = inf
        self._look()
        if now >= self._recount_at and (self.next_at is not None or any(self._left())):
            self._recount_at = now + RECOUNT_S
            fires, _, recounting = self._with_schedules()
            recounting.go_on(fires.unknown_zones, fires.unread)
            self._look()

    def _look(self) -> None:
        self.next_at, self._tell_at = self._store.next_looks(*self._left())
        if self._known is not None and (next_try := self._known[0].next_try) is not None:
            self.next_at = next_try if self.next_at is None else min(next_try, self.next_at)

    def _left(self) -> tuple[Sequence[str], Sequence[str]]:
        """The zones and the schedules that are left to others."""
        return (sorted(self._known[0].unknown_zones), self._known[0].left) if self._known else ((), ())

    def _with_schedules(self) -> tuple[Fires, Alerts, Recounting]:
        if self._known is None:
            from queuectl.engine.dispatch.alerts import Alerts
            from queuectl.engine.dispatch.fires import Fires
            from queuectl.engine.dispatch.recounting import Recounting

            self._known = Fires(self._store, self._observe), Alerts(self._store), Recounting(self._store, self._clock)
        return self._known
