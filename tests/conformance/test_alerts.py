"""Alerts and pings of schedules on each kind of store: what is told, once, and of what."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from queuectl.client import schedules
from queuectl.client.findings import of_schedules
from queuectl.client.schedule_views import view
from queuectl.domain.errors import Invalid
from queuectl.domain.job import HOOKS, JobState
from queuectl.domain.lifecycle import CancelRequested, Started
from queuectl.domain.schedule import fire_id
from queuectl.domain.selector import Selector
from queuectl.engine.dispatch.alerts import Alerts
from queuectl.engine.dispatch.fires import Fires
from queuectl.store.port import Store
from queuectl.store.values import Change, Output
from tests.builders import HOST, NOON, ManualClock, a_grip, an_end, claim_one, finish, record_one
from tests.conformance.conftest import StoreFactory

URL = "https://hc.example/uuid"
DAY = 86400.0


def add(store: Store, every: float = 60, **given: Any) -> None:
    schedules.add(store, "ada", "tick", {"command": "true", "max_retries": 0}, every=every, **given)


def look(store: Store) -> None:
    """What a worker does that looks now."""
    Fires(store).fire()
    while Alerts(store).tell():
        if not store.next_looks()[1] or store.next_looks()[1] > store.now():  # type: ignore[operator]
            break


def alerts(store: Store) -> list[str]:
    """The states that were told, oldest first."""
    hooks = store.find(Selector(hooks=True))
    return [said(store, hook.id)["state"] for hook in hooks if hook.tags[0] == "alert"]


def said(store: Store, hook: str) -> dict[str, Any]:
    (kept,) = store.outputs(store.get(hook), 0)
    return dict(json.loads(kept.head + kept.tail))


def ends(store: Store, clock: ManualClock, *codes: int) -> None:
    """So many runs that end at once."""
    grip = a_grip(store, f"w~{store.now()}")
    for code in codes:
        clock.forward(60)
        look(store)
        finish(store, grip, claim_one(store, grip), exit_code=code)
        look(store)


def test_a_streak_is_told_at_its_first_failure_daily_and_when_it_is_over(store: Store, clock: ManualClock) -> None:
    add(store, alert="mail me")
    ends(store, clock, 0, 3, 3)
    assert alerts(store) == ["failing"]
    streak = view(store, "ada", "tick").streak
    assert streak is not None
    assert (streak.state, streak.since, streak.job) == ("failing", NOON + 120, fire_id("tick", NOON + 180))
    clock.forward(DAY - 60)
    look(store)
    assert alerts(store) == ["failing", "failing"]
    ends(store, clock, 0, 0)
    assert alerts(store) == ["failing", "failing", "recovered"]
    assert view(store, "ada", "tick").streak is None


def test_what_tells_runs_as_the_jobs_do_and_has_the_run_as_input(store: Store, clock: ManualClock) -> None:
    add(store, alert="mail me")
    grip = a_grip(store)
    clock.forward(60)
    look(store)
    end = Change(claim_one(store, grip), an_end(store.now(), exit_code=7), outputs=[Output(1, b"oops\n")])
    record_one(store, grip, end)
    look(store)
    (hook,) = store.find(Selector(hooks=True))
    assert (hook.command, hook.queue, hook.tags, hook.owner) == ("mail me", HOOKS, ("alert", "schedule:tick"), "ada")
    assert (hook.spec.max_retries, hook.depends_on) == (4, ())
    told = said(store, hook.id)
    assert {key: told[key] for key in ("schedule", "state", "error")} == {
        "schedule": "tick", "state": "failing", "error": "exit code 7"
    }  # fmt: skip
    assert (told["job"]["exit_code"], told["job"]["output_tail"]) == (7, "oops\n")


def test_an_alert_waits_for_the_earlier_one(store: Store, clock: ManualClock) -> None:
    add(store, alert=URL)
    ends(store, clock, 3, 0, 3)
    first, second, third = store.find(Selector(hooks=True))
    assert (second.depends_on, third.depends_on) == ((f"{first.id}:any",), (f"{second.id}:any",))
    assert second.state is JobState.BLOCKED
    grip = a_grip(store, "w~2")
    (claimed,) = store.claim(grip, HOST, 5, (HOOKS,))
    finish(store, grip, claimed, exit_code=0)
    assert store.get(second.id).state is JobState.PENDING


def test_a_run_that_has_not_ended_well_in_time_is_late(store: Store, clock: ManualClock) -> None:
    add(store, every=3600, alert=URL, expect_within=600)
    grip = a_grip(store)
    clock.forward(3600)
    look(store)
    job = claim_one(store, grip)
    clock.forward(599)
    look(store)
    assert alerts(store) == []
    clock.forward(1)
    look(store)
    assert alerts(store) == ["late"]
    seen = view(store, "ada", "tick")
    assert (seen.late, seen.overdue, seen.streak and seen.streak.job) == (True, False, job.id)
    assert [finding.code for finding in of_schedules(store)] == ["schedule_run_late"]
    clock.forward(60)
    finish(store, grip, job)
    look(store)
    assert alerts(store) == ["late"]  # it ended well, but too late
    clock.forward(3000)
    look(store)
    finish(store, grip, claim_one(store, grip))
    look(store)
    assert alerts(store) == ["late", "recovered"]


def test_a_fire_that_made_no_job_is_late_unless_a_later_run_ends_well_in_time(
    store: Store, clock: ManualClock
) -> None:  # fmt: skip
    add(store, expect_within=150)
    grip = a_grip(store)
    clock.forward(60)
    look(store)
    job = claim_one(store, grip)
    clock.forward(60)
    look(store)  # no job: the earlier one has not ended
    finish(store, grip, job)
    clock.forward(60)
    look(store)
    finish(store, grip, claim_one(store, grip))
    clock.forward(500)
    Alerts(store).tell()
    assert view(store, "ada", "tick").streak is None
    look(store)  # the latest is made up, those before it are missed
    streak = view(store, "ada", "tick").streak
    assert streak is not None
    assert streak.scheduled_at >= NOON + 240


def test_a_run_out_of_turn_is_a_run(store: Store, clock: ManualClock) -> None:
    add(store, every=86400, alert=URL, expect_within=600)
    clock.forward(1)
    job = schedules.run(store, "bob", "tick").id
    assert [(line.job, line.reason) for line in store.fires("tick", 5)] == [(job, "run by bob")]
    clock.forward(600)
    look(store)
    assert alerts(store) == ["late"]
    schedules.run(store, "bob", "tick")
    grip = a_grip(store)
    store.change([job], CancelRequested(), "bob")
    finish(store, grip, claim_one(store, grip))
    look(store)
    assert alerts(store) == ["late", "recovered"]
    assert view(store, "ada", "tick").last_success == store.now()


def test_what_is_paused_is_not_late_and_nobody_is_reminded(store: Store, clock: ManualClock) -> None:
    add(store, alert=URL, expect_within=90)
    ends(store, clock, 3)
    clock.forward(60)
    look(store)
    schedules.pause(store, "ada", "tick")
    clock.forward(3 * DAY)
    look(store)
    assert alerts(store) == ["failing"]
    assert store.next_looks() == (None, None)
    schedules.resume(store, "ada", "tick")
    look(store)
    assert alerts(store) == ["failing", "failing"]


class Boom(Exception):
    pass


def test_an_end_is_told_if_and_only_if_it_counts(store_factory: StoreFactory, clock: ManualClock) -> None:
    store, other = store_factory(), store_factory()
    add(store, alert=URL)
    grip = a_grip(store)
    clock.forward(60)
    look(store)
    job = claim_one(store, grip)
    with suppress(Boom), store.transaction():
        finish(store, grip, job, exit_code=3)
        raise Boom
    look(other)
    assert alerts(store) == []
    finish(store, grip, job, exit_code=3)
    with suppress(Boom), store.transaction():
        Alerts(store).tell()
        raise Boom
    for each in (store, other, store):
        look(each)
    assert alerts(store) == ["failing"]


def test_nothing_is_told_of_what_nobody_watches(store: Store, clock: ManualClock) -> None:
    add(store)
    ends(store, clock, 3, 0)
    assert store.next_looks() == (NOON + 180, None)
    assert not store.runs_ended
    assert store.find(Selector(hooks=True)) == []


def test_ends_of_a_schedule_that_is_gone_are_forgotten(store: Store, clock: ManualClock) -> None:
    add(store, alert=URL)
    grip = a_grip(store)
    clock.forward(60)
    look(store)
    finish(store, grip, claim_one(store, grip), exit_code=3)
    schedules.delete(store, "ada", "tick")
    assert store.next_looks() == (None, None)


def pings(store: Store) -> list[tuple[str, str]]:
    found = []
    for hook in store.find(Selector(hooks=True)):
        (kept,) = store.outputs(hook, 0)
        found.append((str(hook.command).removeprefix(URL), (kept.head + kept.tail).decode()))
    return found


def test_pings_tell_of_the_start_and_the_end_of_a_run_in_order(store: Store, clock: ManualClock) -> None:
    add(store, ping=URL)
    ends(store, clock, 0)
    assert pings(store) == [("/start", ""), ("", "")]
    grip = a_grip(store, "w~2")
    clock.forward(60)
    look(store)
    started = record_one(store, grip, Change(claim_one(store, grip), Started(at=store.now())))
    assert started is not None
    assert pings(store)[2:] == [("/start", "")]
    outputs = [Output(1, b"x" * 20_000 + b"last\n")]
    record_one(store, grip, Change(started, an_end(store.now(), exit_code=1), outputs=outputs))
    assert pings(store)[3:] == [("/fail", "x" * 9995 + "last\n")]
    hooks = store.find(Selector(hooks=True))
    assert [hook.depends_on for hook in hooks[1:]] == [(f"{hook.id}:any",) for hook in hooks[:-1]]


def test_a_run_that_is_cancelled_is_not_pinged_at_its_end(store: Store, clock: ManualClock) -> None:
    add(store, ping=URL, alert=URL)
    clock.forward(60)
    look(store)
    (job,) = store.find(Selector())
    store.change([job.id], CancelRequested(), "ada")
    look(store)
    assert pings(store) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ping": "ftp://x"}, "is not a URL"),
        ({"ping": "https://"}, "is not a URL"),
        ({"alert": "http://"}, "is not a URL"),
        ({"expect_within": "soon"}, "expect_within"),
        ({"expect_within": "32d"}, "too long"),
    ],
)
def test_what_is_not_valid_is_refused(store: Store, given: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        add(store, **given)


def test_none_lifts_them(store: Store, clock: ManualClock) -> None:
    add(store, alert=URL, ping=URL, expect_within=60)
    ends(store, clock, 3)
    schedules.change(store, "ada", "tick", alert="none", ping="none", expect_within="none")
    seen = view(store, "ada", "tick")
    assert (seen.alert, seen.ping, seen.expect_within, seen.streak) == (None, None, None, None)
