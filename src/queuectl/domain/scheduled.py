"""Schedules as they are kept, and what a look at one makes of its due fires. When they fire is in schedule.py."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import tzinfo
from itertools import groupby

from queuectl.domain.alerts import REMIND_EACH_S, Streak, Watch
from queuectl.domain.job import JobState
from queuectl.domain.limits import Pause
from queuectl.domain.schedule import (
    CATCH_UP_MAX,
    Act,
    Decision,
    Due,
    Policy,
    Rule,
    decide,
    due_fires,
    next_fire,
    offset,
    why_missed,
)
from queuectl.typed import NamedTuple

FIRES_KEPT = 500
"""How many lines about the fires of a schedule are kept."""
IDLE_TOLD = 3
"""How many fires in a row without a job are a finding."""


class Schedule(NamedTuple):
    """A schedule. It fires by `cron`, or each `every` seconds counted from `anchor`, and up to `jitter` later.

    `zone` is the name of the time zone of `cron`. `document` has the keys of its jobs as JSON, `surroundings` what they
    were given with besides: folder, umask, variables. `nominal` is the next fire by the rule, `next_at` when that is
    looked at; None: it does not fire. `last` is the latest fire that was looked at; `idle` counts those since the last
    one that made a job. `judged` is the latest fire of which it is known whether it was late, `tell_at` when to look at
    what there is to tell of its runs.
    """

    name: str
    cron: str | None
    every: float | None
    anchor: float
    zone: str
    policy: Policy
    jitter: float
    document: str
    surroundings: str
    created_at: float
    created_by: str | None
    updated_at: float
    updated_by: str | None
    pause: Pause | None = None
    nominal: float | None = None
    next_at: float | None = None
    last: float | None = None
    idle: int = 0
    watch: Watch = Watch()
    streak: Streak | None = None
    judged: float | None = None
    tell_at: float | None = None

    @property
    def offset(self) -> float:
        """How much later than its rule says it fires."""
        return offset(self.name, self.jitter) if self.jitter else 0.0

    def counted_from(self, now: float, rule: Rule, zone: tzinfo) -> Schedule:
        """The schedule with its next fire after `now`; a paused one has none."""
        return self._replace(nominal=None, next_at=None) if self.pause else self._from(now - self.offset, rule, zone)

    def _from(self, now: float, rule: Rule, zone: tzinfo) -> Schedule:
        nominal = next_fire(rule, max(now, self.anchor) if self.cron is None else now, zone)
        return self._replace(nominal=nominal, next_at=None if nominal is None else nominal + self.offset)

    def due(self, now: float, rule: Rule, zone: tzinfo, fired: Collection[float] = frozenset()) -> Due:
        """The fires that are due, by the zone's rules as they are now, but for those in `fired`: they have made a job
        before the clock went back. Once it has caught up with the latest fire that was looked at, none before that is
        due: all of them were looked at."""
        assert self.nominal is not None
        after, until = self.nominal - 1, now - self.offset
        if self.last is not None and self.last <= until:
            after = max(after, self.last)
        return due_fires(rule, after, until, zone, fired)

    def watched(self, watch: Watch, now: float) -> Schedule:
        """The schedule with another watch. Fires are judged from now on if they were not before."""
        if not watch.has_streaks:
            return self._replace(watch=watch, streak=None, judged=None, tell_at=None)
        judged = None if watch.expect_within is None else self.judged or now
        return self._replace(watch=watch, judged=judged, tell_at=None if self.pause else now)

    def expecting(self, at: float) -> Schedule:
        """The schedule with a fire that may become late."""
        if self.watch.expect_within is None or self.pause:
            return self
        late_at = at + self.watch.expect_within
        return self._replace(tell_at=late_at if self.tell_at is None else min(late_at, self.tell_at))

    def told_until(self, now: float) -> Schedule:
        """The schedule without what was told and judged at times that a clock which was set back has yet to reach."""
        streak, judged = self.streak, self.judged
        if streak is not None and streak.told_at > now:
            streak = streak._replace(told_at=now)
        if judged is not None and judged > now:
            judged = now
        is_same = (streak, judged) == (self.streak, self.judged)
        return self if is_same else self._replace(streak=streak, judged=judged, tell_at=None if self.pause else now)

    def tell_next(self, unjudged: float | None) -> float | None:
        """When to look at what there is to tell. `unjudged`: the first fire that may become late."""
        if self.pause:
            return None
        late_at = None if unjudged is None or self.watch.expect_within is None else unjudged + self.watch.expect_within
        remind_at = None if self.streak is None or self.watch.alert is None else self.streak.told_at + REMIND_EACH_S
        return min((at for at in (late_at, remind_at) if at is not None), default=None)


class Fire(NamedTuple):
    """A fire that made a job, or `fires` of them from `at` to `until` that made none, for one `reason`.

    At `decided_at` somebody looked at them. `at_least`: there were more, which nobody counted. With a job, `reason`
    says who had it made out of turn.
    """

    schedule: str
    at: float
    until: float
    decided_at: float
    job: str | None = None
    reason: str | None = None
    fires: int = 1
    at_least: bool = False


class Earlier(NamedTuple):
    """A job of a schedule that has not ended."""

    state: JobState
    starts: int

    @property
    def has_begun(self) -> bool:
        """Whether it was started, also if it waits for a retry now."""
        return self.starts > 0 or self.state is JobState.PROCESSING


class Look(NamedTuple):
    """What a look at a schedule makes of its due fires: decisions that make jobs, lines about those that make none,
    and the schedule after it."""

    made: Sequence[Decision]
    lines: Sequence[Fire]
    after: Schedule


def recounted(schedule: Schedule, now: float, rule: Rule, zone: tzinfo) -> Schedule:
    """The schedule with the next fire as it is now; the clock may have been set back since that was noted, or the rules
    of the zone have changed. One that is due stays as it is."""
    schedule = schedule.told_until(now)
    if schedule.next_at is None or schedule.next_at <= now:
        return schedule
    return schedule.counted_from(now, rule, zone)


def look(
    schedule: Schedule, due: Due, now: float, rule: Rule, zone: tzinfo, unfinished: int = 0, running: int = 0
) -> Look:
    """Decides about due fires."""
    decisions = [
        each._replace(at=each.at - schedule.offset)
        for each in decide([at + schedule.offset for at in due.fires], now, schedule.policy, unfinished, running)
    ]
    made = [each for each in decisions if each.act is not Act.NOTHING]
    idle = schedule.idle if not made else 0
    lines = _lines(schedule, due, decisions, now)
    if decisions:
        since = made[-1].at if made else 0.0
        idle += sum(each.at > since and each.act is Act.NOTHING for each in decisions)
        idle += 0 if made else due.earlier
    latest = max(filter(None, (schedule.last, *due.fires[-1:])), default=None)
    after = schedule._from(max(now - schedule.offset, *due.fires[-1:], 0.0), rule, zone)
    after = after._replace(last=latest, idle=idle)
    if due.fires:
        after = after.expecting(due.first if due.earlier else due.fires[0])
    return Look(made, lines, after)


def _lines(schedule: Schedule, due: Due, decisions: Sequence[Decision], now: float) -> list[Fire]:
    lines = []
    if due.earlier:
        reason = why_missed(due.first + schedule.offset, CATCH_UP_MAX, now, schedule.policy)
        lines.append(Fire(schedule.name, due.first, due.until, now, None, reason, due.earlier, not due.counted))
    for reason, some in groupby(decisions, lambda each: each.reason):
        if not reason:
            continue
        times = [each.at for each in some]
        if lines and lines[-1].reason == reason and times[0] == due.fires[0]:
            lines[-1] = lines[-1]._replace(until=times[-1], fires=lines[-1].fires + len(times))
        else:
            lines.append(Fire(schedule.name, times[0], times[-1], now, None, reason, len(times)))
    return lines
