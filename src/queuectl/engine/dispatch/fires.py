"""Handles due fires of schedules. Only workers of a store with schedules load this module, to save memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl import zones
from queuectl.domain.errors import OperationFailed, QueuectlError, StoreBusy, StoreUnavailable
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import CancelRequested, begun
from queuectl.domain.schedule import Act, Overlap, fire_id
from queuectl.domain.scheduled import Earlier, Fire, Look, Schedule, look
from queuectl.domain.unique import ADDED, Fate, Rule
from queuectl.engine.happenings import Observer, ZoneUnknown
from queuectl.factory import scheduled_job
from queuectl.settings import Settings
from queuectl.store.arrivals import Arrival
from queuectl.store.batches import BatchLimits
from queuectl.store.schedules import ScheduleStore
from queuectl.typed import NamedTuple
from queuectl.wire.requests import JobRequest
from queuectl.wire.schedules import rule_of

AT_ONCE = 100
"""How many schedules one transaction fires."""
HELD_UP_AT_ONCE = 3
"""How many schedules in a row a worker waits for in vain before it goes on with other things."""
TRY_FIRST_S, TRY_LAST_S = 0.5, 5.0
"""How long a schedule that is held up is left, the first time and at most; it doubles."""


class _Plan(NamedTuple):
    """A schedule, what a look at it makes of its due fires, and the jobs that these make."""

    schedule: Schedule
    look: Look
    jobs: Sequence[tuple[Job, JobRequest]] = ()

    @property
    def replaces(self) -> bool:
        return any(each.act is Act.REPLACE for each in self.look.made)

    @property
    def waits(self) -> bool:
        """Whether what it makes minds the earlier jobs."""
        return any(each.act in (Act.REPLACE, Act.QUEUE) for each in self.look.made)


class Fires:
    """Decides about due fires, in one transaction for some of them, and adds their jobs."""

    def __init__(self, store: ScheduleStore, observe: Observer = lambda *_: None) -> None:
        self._store = store
        self._observe = observe
        self._told_zones: set[str] = set()
        self.unknown_zones: set[str] = set()
        """Zones that this machine has no rules of: their schedules are left to other workers."""
        self.unread: set[str] = set()
        """Schedules whose rule this release cannot read: they are left to workers of a newer one."""
        self._held_up: dict[str, tuple[float, float]] = {}
        """Schedules that need what somebody else has in hand: until when they are left, and for how long."""
        self.has_cancelled = False
        """Whether the latest look has cancelled earlier jobs."""

    def fire(self) -> tuple[int, int]:
        """Looks at the schedules that have been due for longest. Returns how many it looked at, and how many
        jobs it added. A schedule whose jobs are refused, or that is held up, does not keep the others from firing."""
        self.has_cancelled = False
        try:
            return self._fire_all()
        except StoreBusy:
            return self._fire_each()

    @property
    def left(self) -> list[str]:
        """The schedules that are left to others, or for a while."""
        now = self._store.now()
        return sorted({*self.unread, *(name for name, (until, _) in self._held_up.items() if until > now)})

    @property
    def next_try(self) -> float | None:
        """When the first of those is tried again that are held up."""
        now = self._store.now()
        return min((until for until, _ in self._held_up.values() if until > now), default=None)

    def _fire_each(self) -> tuple[int, int]:
        """Each in a transaction of its own: some of them are held up, such as by an application's open transaction."""
        with self._store.transaction(synced=False):
            due = self._store.due_schedules(self._store.now(), AT_ONCE, sorted(self.unknown_zones), self.left)
        looked, added, in_vain = 0, 0, 0
        for name in (schedule.name for schedule in due):
            try:
                done = self._fire_all(name)
            except StoreBusy:
                _, last_s = self._held_up.get(name, (0.0, 0.0))
                wait_s = min(max(2 * last_s, TRY_FIRST_S), TRY_LAST_S)
                self._held_up[name] = self._store.now() + wait_s, wait_s
                in_vain += 1
                if in_vain == HELD_UP_AT_ONCE:
                    break
            else:
                looked, added = looked + done[0], added + done[1]
        return looked, added

    def _fire_all(self, only: str | None = None) -> tuple[int, int]:
        refused: dict[str, QueuectlError] = {}
        while True:
            try:
                return self._fire(refused, only)
            except _Refused as error:
                refused[error.schedule] = error.why

    def _fire(self, refused: Mapping[str, QueuectlError], only: str | None) -> tuple[int, int]:
        now, jobs = self._store.now(), 0
        with self._store.transaction(synced=False):
            due = self._store.due_schedules(now, AT_ONCE, sorted(self.unknown_zones), self.left, only)
            if due:
                plans = self._plans(due, now, refused)
                earlier = self._hold(plans)
                jobs = sum(self._carry_out(plan, earlier.get(plan.schedule.name, {}), now) for plan in plans)
        for schedule in due:
            self._held_up.pop(schedule.name, None)
        return len(due), jobs

    def _hold(self, plans: Sequence[_Plan]) -> Mapping[str, Mapping[str, Earlier]]:
        """Has nobody else change what these plans need, all of it before the first of them is carried out: others lock
        it in the same order. Returns the earlier jobs that they mind."""
        keyed = [Arrival(job, _rule(request)) for plan in plans for job, request in plan.jobs if job.unique_key]
        taken = self._store.taken_ids([each.job.id for each in keyed]) if keyed else ()
        keyed = [each for each in keyed if each.job.id not in taken]
        waiting = [plan.schedule.name for plan in plans if plan.waits]
        return self._store.hold(keyed, waiting) if keyed or waiting else {}

    def _plans(self, due: Sequence[Schedule], now: float, refused: Mapping[str, QueuectlError]) -> list[_Plan]:
        factories = _Factories(self._store, now)
        minding = [each.name for each in due if each.policy.overlap is not Overlap.ALLOW]
        unfinished = self._store.unfinished_of(minding) if minding else {}
        plans = []
        for schedule in due:
            try:
                zone = zones.zone(schedule.zone)
            except QueuectlError:  # this machine's rules lack it; another machine's may not
                self._leave(schedule.zone)
                continue
            try:
                rule = rule_of(schedule)
            except QueuectlError:  # a newer release has added it, and its workers fire it on time
                self.unread.add(schedule.name)
                continue
            fires = schedule.due(now, rule, zone, self._fired(schedule, now))
            earlier = unfinished.get(schedule.name, {}).values()
            begun = sum(each.has_begun for each in earlier)
            found = look(schedule, fires, now, rule, zone, len(earlier), begun)
            try:
                if schedule.name in refused:
                    raise refused[schedule.name]
                plans.append(_Plan(schedule, found, [factories.job(schedule, each.at) for each in found.made]))
            except QueuectlError as error:  # or its document was checked by another release
                plans.append(_Plan(schedule, _without_jobs(schedule, found, error, now)))
        return plans

    def _leave(self, zone: str) -> None:
        """Leaves the schedules of a zone to others for a while."""
        self.unknown_zones.add(zone)
        if zone not in self._told_zones:
            self._told_zones.add(zone)
            self._observe(ZoneUnknown(zone))

    def _fired(self, schedule: Schedule, now: float) -> set[float]:
        """Which due fires have made a job already: the clock went back."""
        if schedule.last is None or schedule.nominal is None or schedule.nominal > schedule.last:
            return set()
        return self._store.fired(schedule.name, schedule.nominal, now)

    def _carry_out(self, plan: _Plan, earlier: Mapping[str, Earlier], now: float) -> int:
        """Adds the jobs of a plan, and lines about its fires. Returns how many jobs there are more."""
        schedule, found, replaces = plan.schedule, plan.look, plan.replaces
        in_the_way = [id for id, job in earlier.items() if job.state is JobState.PROCESSING or not replaces]
        arrivals, limits = [], BatchLimits()
        for job, request in plan.jobs:
            arrivals.append(Arrival(_after(job, in_the_way), _rule(request), request.delay))
            limits.add(request)
        try:
            with limits.kept(self._store):
                jobs, lines = self._insert(schedule.name, arrivals, now)
        except (StoreUnavailable, OperationFailed):
            raise
        except QueuectlError as error:
            raise _Refused(schedule.name, error) from error
        if lines and all(line.job is None for line in lines):
            found = found._replace(after=found.after._replace(idle=schedule.idle + len(lines)))
        if not self._store.move_schedule(schedule, found.after):
            raise OperationFailed(f"schedule {schedule.name} was fired by somebody else", "it is looked at again")
        if replaces and jobs:
            replaced = [*earlier, *(job.id for job in jobs[:-1])]
            self._store.change(replaced, CancelRequested(), f"schedule {schedule.name}")
            self.has_cancelled = True
        self._store.add_fires([*found.lines, *lines])
        return len(jobs)

    def _insert(self, schedule: str, arrivals: Sequence[Arrival], now: float) -> tuple[list[Job], list[Fire]]:
        """Adds jobs. Returns those that are new, and what became of each fire: another job may have the id or the
        unique key of its job."""
        taken = self._store.taken_ids([each.job.id for each in arrivals]) if arrivals else set()
        keyed = [each for each in arrivals if each.job.unique_key is not None and each.job.id not in taken]
        met = {
            arrival.job.id: admitted
            for arrival, admitted in zip(keyed, self._store.admit(keyed) if keyed else (), strict=True)
        }
        new, lines = [], []
        for job, *_ in arrivals:
            at = job.scheduled_at or now
            admitted = met.get(job.id)
            if job.id in taken:
                lines.append(Fire(schedule, at, at, now, None, f"there is a job {job.id} already"))
            elif admitted is None or admitted.fate in ADDED:
                new.append(job if admitted is None else admitted.job)
                lines.append(Fire(schedule, at, at, now, job.id))
            elif admitted.fate is Fate.MERGED:
                reason = f"replaced what waited with the unique key {job.unique_key}"
                lines.append(Fire(schedule, at, at, now, admitted.job.id, reason))
            else:
                reason = f"job {admitted.job.id} has the unique key {job.unique_key}"
                lines.append(Fire(schedule, at, at, now, None, reason))
        if new:
            self._store.insert(new)
        return new, lines


class _Refused(Exception):
    """The store has refused the jobs of a schedule; all else of the transaction is undone with them."""

    def __init__(self, schedule: str, why: QueuectlError) -> None:
        self.schedule = schedule
        self.why = why


def _rule(request: JobRequest) -> Rule:
    """What to do with a job whose unique key is taken. There is nobody to refuse it to: it is left out instead."""
    return Rule.REPLACE if request.on_conflict is Rule.REPLACE else Rule.IGNORE


def _after(job: Job, earlier: Sequence[str]) -> Job:
    """The job that waits until the earlier ones have ended, with all that their commands have started."""
    refs = tuple(dict.fromkeys((*job.depends_on, *(f"{each}:any" for each in earlier))))
    return begun(job._replace(depends_on=refs)) if earlier else job


def _without_jobs(schedule: Schedule, found: Look, error: QueuectlError, now: float) -> Look:
    """The look where no job could be made."""
    lines = [Fire(schedule.name, each.at, each.at, now, None, error.message) for each in found.made]
    return found._replace(made=(), lines=[*found.lines, *lines], after=found.after._replace(idle=schedule.idle + 1))


class _Factories:
    """Makes the jobs of schedules, with the settings of this moment."""

    def __init__(self, store: ScheduleStore, now: float) -> None:
        settings, self._policies = store.policies()
        self._settings, self._now = Settings(settings, store.defaults), now
        self._at_most = store.at_most

    def job(self, schedule: Schedule, at: float) -> tuple[Job, JobRequest]:
        """The job of one fire, and what it was made from."""
        job_id = fire_id(schedule.name, at)
        return scheduled_job(schedule, at, job_id, self._settings, self._now, self._policies, self._at_most)
