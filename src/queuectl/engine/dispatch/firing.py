"""Fires schedules: adds the jobs of due fires. Each worker does, and whoever looks first at a fire decides about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from queuectl import zones
from queuectl.clock import Clock
from queuectl.domain.errors import Invalid, OperationFailed, QueuectlError, StoreUnavailable
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import CancelRequested
from queuectl.domain.schedule import Act, Due, Overlap, fire_id
from queuectl.domain.scheduled import Fire, Look, Schedule, look
from queuectl.engine.dispatch.claiming import Claiming
from queuectl.engine.dispatch.pace import Pace
from queuectl.engine.dispatch.stopping import Stopping
from queuectl.factory import scheduled_job
from queuectl.settings import Settings
from queuectl.store.schedules import ScheduleStore
from queuectl.wire.schedules import rule_of

AT_ONCE = 100
"""How many schedules one transaction fires."""
ASK_S, ASK_CHANGED_S = 1.0, 0.1
"""How often to ask for the next fire, and at most where somebody has committed something."""
BUSY_S = 0.02
"""Others are looking at all that is due."""


class _Plan(NamedTuple):
    """A schedule, what a look at it makes of its due fires, and the jobs that these make."""

    schedule: Schedule
    look: Look
    jobs: Sequence[Job] = ()


class Firing:
    """Fires the schedules of a store when they are due."""

    def __init__(
        self, store: ScheduleStore, pace: Pace, clock: Clock, stopping: Stopping, claiming: Claiming
    ) -> None:  # fmt: skip
        self._store = store
        self._pace = pace
        self._clock = clock
        self._stopping = stopping
        self._claiming = claiming
        self._fires = Fires(store)
        self._is_stale = True
        self._asked_at = float("-inf")
        self.next_at: float | None = None
        """When the next schedule is to be looked at, by the store's time."""

    def look_again(self) -> None:
        """Something has changed: the next fire may be another one."""
        self._is_stale = True

    def next_wake(self) -> float:
        """When there is something to do, by the clock that never jumps; infinite if there is nothing."""
        if self._stopping.has_begun:
            return float("inf")
        fire_at = float("inf") if self.next_at is None else self._clock.monotonic() + self.next_at - self._store.now()
        ask_at = self._asked_at + ASK_CHANGED_S if self._is_stale else float("inf")
        return max(self._pace.commit_not_before, min(fire_at, ask_at))

    def go_on(self, now: float) -> None:
        """Fires what is due, some of it if it is much."""
        if self._stopping.has_begun or now < self._pace.commit_not_before:
            return
        if now >= self._asked_at + (ASK_CHANGED_S if self._is_stale else ASK_S):
            self._ask()
        if self.next_at is None or self._store.now() < self.next_at:
            return
        looked_at, jobs = self._fires.fire()
        if jobs:
            self._claiming.look_again()
        self._ask()
        if not looked_at and self.next_at is not None:
            self.next_at = max(self.next_at, self._store.now() + BUSY_S)

    def _ask(self) -> None:
        self._asked_at, self._is_stale = self._clock.monotonic(), False
        self.next_at = self._store.next_fire(sorted(self._fires.unknown_zones))


class Fires:
    """Decides about due fires, in one transaction for some of them, and adds their jobs."""

    def __init__(self, store: ScheduleStore) -> None:
        self._store = store
        self.unknown_zones: set[str] = set()
        """Zones that this machine has no rules of: their schedules are left to other workers."""

    def fire(self) -> tuple[int, int]:
        """Looks at the schedules that have been due for longest. Returns how many they are, and how many jobs there are
        now. One that cannot fire does not keep the others from it."""
        try:
            return self._fire(AT_ONCE)
        except (StoreUnavailable, OperationFailed):
            raise
        except QueuectlError:
            return self._fire(1, alone=True)

    def _fire(self, limit: int, alone: bool = False) -> tuple[int, int]:
        now = self._store.now()
        with self._store.transaction(synced=False):
            due = self._store.due_schedules(now, limit, sorted(self.unknown_zones))
            if not due:
                return 0, 0
            plans = self._plans(due, now)
            jobs = 0
            for plan in plans:
                if self._store.move_schedule(plan.schedule, plan.look.after):
                    jobs += self._carry_out(plan, now, alone)
        return len(due), jobs

    def _plans(self, due: Sequence[Schedule], now: float) -> list[_Plan]:
        factories = _Factories(self._store, now)
        minding = [each.name for each in due if each.policy.overlap is not Overlap.ALLOW]
        unfinished = self._store.unfinished_of(minding) if minding else {}
        plans = []
        for schedule in due:
            try:
                zone = zones.zone(schedule.zone)
            except QueuectlError:  # this machine's rules lack it; another machine's may not
                self.unknown_zones.add(schedule.zone)
                continue
            rule = rule_of(schedule)
            fires = schedule.due(now, rule, zone)
            states = list(unfinished.get(schedule.name, {}).values())
            found = look(
                schedule, fires, now, rule, zone, len(states), states.count(JobState.PROCESSING),
                self._fired(schedule, fires),
            )  # fmt: skip
            try:
                plans.append(_Plan(schedule, found, [factories.job(schedule, each.at) for each in found.made]))
            except Invalid as error:  # its document was checked by another release
                plans.append(_Plan(schedule, _refused(schedule, found, error, now)))
        return plans

    def _fired(self, schedule: Schedule, due: Due) -> set[float]:
        """Which of these fires have made a job already: the clock went back."""
        if schedule.last is None or not due.fires or due.fires[0] > schedule.last:
            return set()
        return self._store.fired(schedule.name, due.fires)

    def _carry_out(self, plan: _Plan, now: float, alone: bool) -> int:
        """Adds the jobs of a plan, and lines about its fires. Returns how many jobs there are more."""
        schedule, lines = plan.schedule, list(plan.look.lines)
        taken = self._store.taken_ids([job.id for job in plan.jobs]) if plan.jobs else set()
        jobs = [job for job in plan.jobs if job.id not in taken]
        if jobs:
            try:
                self._store.insert(jobs)
            except (StoreUnavailable, OperationFailed):
                raise
            except QueuectlError as error:
                if not alone:
                    raise
                lines += _refused(schedule, plan.look, error, now).lines
                jobs = []
        if any(each.act is Act.REPLACE for each in plan.look.made) and jobs:
            earlier = [*self._store.unfinished_of([schedule.name])[schedule.name]]
            replaced = [each for each in earlier if each != jobs[-1].id]
            self._store.change(replaced, CancelRequested(), f"schedule {schedule.name}")
        lines += [Fire(schedule.name, job.scheduled_at or now, job.scheduled_at or now, now, job.id) for job in jobs]
        self._store.add_fires(lines)
        return len(jobs)


def _refused(schedule: Schedule, found: Look, error: QueuectlError, now: float) -> Look:
    """The look where no job could be made."""
    lines = [Fire(schedule.name, each.at, each.at, now, None, error.message) for each in found.made]
    return found._replace(made=(), lines=[*found.lines, *lines], after=found.after._replace(idle=schedule.idle + 1))


class _Factories:
    """Makes the jobs of schedules, with the settings of this moment."""

    def __init__(self, store: ScheduleStore, now: float) -> None:
        settings, self._policies = store.policies()
        self._settings, self._now = Settings(settings, store.defaults), now

    def job(self, schedule: Schedule, at: float) -> Job:
        """The job of one fire."""
        return scheduled_job(schedule, at, fire_id(schedule.name, at), self._settings, self._now, self._policies)
