"""Keeps the next fires of schedules right: after the clock was set back, and where the rules of a time zone change."""

from __future__ import annotations

from queuectl import zones
from queuectl.clock import Clock
from queuectl.domain.errors import QueuectlError
from queuectl.domain.scheduled import Fire, Schedule, recounted
from queuectl.store.schedules import ScheduleStore
from queuectl.wire.schedules import rule_of

PAGE = 200
"""How many schedules one call looks at."""
STEP_S = 0.5
"""A clock that goes back by more was set."""
ZONES_EVERY_S = 60.0
CLOCK_WENT_BACK = "the clock went back; fires count from now"


class Recounting:
    """Looks through all schedules when a worker starts, when the clock was set back, and when time zones change."""

    def __init__(self, store: ScheduleStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ahead_s: float | None = None
        self._stamp, self._stamped_at = zones.stamp(), clock.monotonic()
        self._after: str | None = ""
        """The name of the last schedule that was looked at; None where there is nothing to look for."""

    def go_on(self, unknown_zones: set[str], unread: set[str]) -> None:
        """Looks at some. Now and then it forgets which zones are unknown here, and which schedules cannot be read, so
        that they are tried again."""
        now = self._clock.monotonic()
        ahead_s = self._store.now() - now
        if self._ahead_s is not None and ahead_s < self._ahead_s - STEP_S:
            self._after = ""
        self._ahead_s = ahead_s
        if now >= self._stamped_at + ZONES_EVERY_S:
            stamp, self._stamped_at = zones.stamp(), now
            if stamp != self._stamp:
                zones.forget()
                self._stamp, self._after = stamp, ""
            unknown_zones.clear()
            unread.clear()
        if self._after is not None:
            page = self._store.schedules(self._after, PAGE)
            for schedule in page:
                if schedule.next_at is not None and schedule.zone not in unknown_zones:
                    self._look_at(schedule)
            self._after = page[-1].name if len(page) == PAGE else None

    def _look_at(self, schedule: Schedule) -> None:
        now = self._store.now()
        try:
            rule, zone = rule_of(schedule), zones.zone(schedule.zone)
        except QueuectlError:
            return
        if recounted(schedule, now, rule, zone) == schedule:
            return

        def counted(kept: Schedule) -> Schedule:
            same = (kept.cron, kept.every, kept.anchor, kept.zone) == (
                schedule.cron, schedule.every, schedule.anchor, schedule.zone,
            )  # fmt: skip
            return recounted(kept, now, rule, zone) if same else kept  # whoever changed it has counted

        with self._store.transaction():
            after = self._store.change_schedule(schedule.name, counted)
            if after is not None and after.last is not None and after.last > now + STEP_S:
                at = int(now) + 0.5  # when nothing fires
                line = Fire(schedule.name, at, at, now, None, CLOCK_WENT_BACK, 0)
                self._store.add_fires([line])
