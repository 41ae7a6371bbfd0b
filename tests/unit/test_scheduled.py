"""A month of a schedule, with two outages and a pause, for every policy: each fire is decided about once, as told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from itertools import product
from typing import NamedTuple

import pytest

from queuectl.domain.limits import Pause
from queuectl.domain.schedule import CATCH_UP_MAX, ON_TIME_S, Act, CatchUp, Every, Overlap, Policy, due_fires, next_fire
from queuectl.domain.scheduled import Fire, Schedule, look
from queuectl.wire.schedules import rule_of

HOUR, DAY = 3600.0, 86400.0
START = 1_780_272_000.0
MONTH = 30 * DAY
OUTAGES = ((3 * DAY + 1800, 3 * DAY + 5.5 * HOUR), (10 * DAY, 16 * DAY + 0.5 * HOUR))
PAUSED = (20 * DAY, 21 * DAY)
RUNS_S = 2.5 * HOUR
"""How long each job takes: longer than from one fire to the next."""


class Month(NamedTuple):
    """What happened: the jobs by the fire that made them, when each was made, and the lines about other fires."""

    made: dict[float, float]
    replaced: int
    lines: list[Fire]
    most: int
    """The most jobs that were unfinished at a time."""


def played(policy: Policy) -> Month:
    """A month of an hourly schedule whose jobs run one at a time, looked at as soon as a worker is there."""
    rule = rule_of(a_schedule(policy))
    schedule = a_schedule(policy).counted_from(START, rule, UTC)
    made, lines, replaced, most = dict[float, float](), list[Fire](), 0, 0
    unfinished: list[float] = []  # since when each waits or runs; the first runs
    began = START
    while True:
        now = START + PAUSED[1] if schedule.next_at is None else _seen(schedule.next_at)
        if now > START + MONTH:
            return Month(made, replaced, lines, most)
        while unfinished and began + RUNS_S <= now:
            began += RUNS_S
            unfinished.pop(0)
            began = max(began, unfinished[0]) if unfinished else began
        if schedule.pause:
            schedule = schedule._replace(pause=None).counted_from(now, rule, UTC)
            continue
        if START + PAUSED[0] <= now < START + PAUSED[1]:
            schedule = schedule._replace(pause=Pause(now)).counted_from(now, rule, UTC)
            continue
        found = look(schedule, schedule.due(now, rule, UTC), now, rule, UTC, len(unfinished), bool(unfinished))
        for each in found.made:
            assert each.at not in made
            made[each.at] = now
            if each.act is Act.REPLACE:
                replaced += len(unfinished)
                unfinished = []
            began = now if not unfinished else began
            unfinished.append(now)
        most = max(most, len(unfinished))
        lines += found.lines
        schedule = found.after


def a_schedule(policy: Policy) -> Schedule:
    return Schedule("s", "0 * * * *", None, START, "UTC", policy, 0.0, "{}", "{}", START, None, START, None)


def _seen(at: float) -> float:
    """When a worker looks at a fire of this time."""
    return next((START + end for begin, end in OUTAGES if START + begin <= at < START + end), at)


def _fires() -> Iterator[float]:
    at = START
    while (at := next_fire(rule_of(a_schedule(Policy())), at, UTC) or 0.0) <= START + MONTH:
        if not PAUSED[0] <= at - START <= PAUSED[1] and _seen(at) <= START + MONTH:
            yield at


@pytest.mark.parametrize(
    ("overlap", "catch_up", "late_max"), list(product(Overlap, CatchUp, (None, HOUR, 2 * DAY)))
)  # fmt: skip
def test_a_month_with_two_outages_goes_by_the_policy(
    overlap: Overlap, catch_up: CatchUp, late_max: float | None
) -> None:
    month = played(Policy(overlap, catch_up, late_max))
    decided = [*month.made]
    for line in month.lines:
        assert line.reason
        assert line.until - line.at == (line.fires - 1) * HOUR
        decided += [line.at + HOUR * n for n in range(line.fires)]
    assert sorted(decided) == sorted(set(decided)) == list(_fires())
    late = {at: seen - at for at, seen in month.made.items() if seen - at > ON_TIME_S}
    assert all(late_max is None or lag <= late_max for lag in late.values())
    if catch_up is CatchUp.SKIP:
        assert not late
    elif overlap is Overlap.ALLOW and late_max is None:
        missed = [[at for at in _fires() if begin <= at - START < end] for begin, end in OUTAGES]
        most = 1 if catch_up is CatchUp.ONE else CATCH_UP_MAX
        assert list(late) == [at for outage in missed for at in outage[-most:]]
    assert month.most <= {Overlap.SKIP: 1, Overlap.QUEUE: 2, Overlap.REPLACE: 1}.get(overlap, 1000)
    assert bool(month.replaced) is (overlap is Overlap.REPLACE)


def test_due_fires_are_the_same_however_they_are_found() -> None:
    rule = rule_of(a_schedule(Policy())._replace(cron="*/7 3-5 * * *"))
    whole = list(_due_one_by_one(rule, START, START + 20 * DAY))
    due = due_fires(rule, START, START + 20 * DAY, UTC)
    assert list(due.fires) == whole[-CATCH_UP_MAX:]
    assert (due.earlier, due.first, due.until) == (len(whole) - CATCH_UP_MAX, whole[0], whole[-CATCH_UP_MAX - 1])
    fired = frozenset(whole[-150::2])
    left = [at for at in whole if at not in fired]
    assert list(due_fires(rule, START, START + 20 * DAY, UTC, fired).fires) == left[-CATCH_UP_MAX:]
    assert due_fires(Every(60, START), START, START + DAY, UTC).earlier == 1440 - CATCH_UP_MAX
    assert due_fires(Every(60, START), START, START + 59, UTC).fires == ()


def _due_one_by_one(rule: object, after: float, until: float) -> Iterator[float]:
    at = after
    while (at := next_fire(rule, at, UTC) or 0.0) <= until:  # type: ignore[arg-type]
        yield at
