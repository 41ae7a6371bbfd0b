"""Schedules and clocks that jump, on each kind of store."""

from __future__ import annotations

import pytest

from queuectl.domain.scheduled import FIRES_KEPT
from queuectl.domain.selector import ALL_JOBS
from queuectl.engine.dispatch.recounting import Recounting
from queuectl.store.port import Store
from tests.builders import HOST, ManualClock, a_grip, claim_one, finish
from tests.conformance.test_alerts import alerts, look
from tests.conformance.test_schedules import SteadyClock, add, fire, jobs

DAY_S = 86400.0


@pytest.mark.parametrize("rule", [{"cron": "0 * * * *", "tz": "UTC"}, {"every": "1h"}])
def test_a_machine_that_boots_with_an_old_clock_makes_up_nothing_twice(
    store: Store, clock: ManualClock, rule: dict[str, str]
) -> None:
    add(store, **rule, overlap="allow")
    for _ in range(3):
        clock.forward(3600)
        fire(store)
    store.delete(jobs(store))
    clock.forward(-400 * DAY_S)
    Recounting(store, SteadyClock(clock)).go_on(set(), set())  # as a worker does that starts
    fire(store)
    clock.forward(400 * DAY_S + 1)
    fire(store)
    assert jobs(store) == []
    clock.forward(3 * 3600)
    fire(store)
    assert len(jobs(store)) == 1  # of those that were missed since


def test_what_was_looked_at_is_not_made_up_though_its_line_is_forgotten(store: Store, clock: ManualClock) -> None:
    add(store, cron="* * * * *", tz="UTC", overlap="allow")
    for _ in range(5):  # all but the latest of them are missed, and are one line
        clock.forward(FIRES_KEPT * 60)
        fire(store)
    there = len(store.find(ALL_JOBS))
    clock.forward(-DAY_S)
    Recounting(store, SteadyClock(clock)).go_on(set(), set())
    clock.forward(DAY_S + 1)
    fire(store)
    assert len(store.find(ALL_JOBS)) == there


def test_lateness_is_told_again_once_a_clock_that_ran_ahead_is_right(store: Store, clock: ManualClock) -> None:
    add(store, every="1h", overlap="allow", alert="mail me", expect_within="10m")
    watch = Recounting(store, SteadyClock(clock))
    watch.go_on(set(), set())
    clock.forward(400 * DAY_S)
    watch.go_on(set(), set())
    look(store)
    clock.forward(1200)
    look(store)
    assert alerts(store) == ["late"]
    clock.forward(-400 * DAY_S)
    watch.go_on(set(), set())
    look(store)
    assert alerts(store) == ["late"]
    clock.forward(3600)
    look(store)
    grip = a_grip(store)
    for job in store.claim(grip, HOST, 9, ()):
        finish(store, grip, job)
    look(store)
    assert alerts(store) == ["late", "recovered"]
    clock.forward(3600)
    look(store)
    clock.forward(600)
    look(store)
    assert alerts(store) == ["late", "recovered", "late"]
    clock.forward(DAY_S)
    look(store)
    assert alerts(store) == ["late", "recovered", "late", "late"]


def test_reminders_go_on_after_a_clock_that_ran_ahead(store: Store, clock: ManualClock) -> None:
    add(store, every="1h", overlap="allow", alert="mail me", job={"command": "false", "max_retries": 0})
    watch = Recounting(store, SteadyClock(clock))
    watch.go_on(set(), set())
    clock.forward(400 * DAY_S)
    watch.go_on(set(), set())
    look(store)
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    look(store)
    assert alerts(store) == ["failing"]
    clock.forward(-400 * DAY_S)
    watch.go_on(set(), set())
    clock.forward(DAY_S)
    look(store)
    assert alerts(store) == ["failing", "failing"]
