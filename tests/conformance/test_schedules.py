"""Schedules on each kind of store: what is fired, when, once, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.client import schedules
from queuectl.client.schedule_views import view
from queuectl.domain.schedule import Overlap, fire_id
from queuectl.domain.selector import ALL_JOBS
from queuectl.engine.dispatch.firing import Fires
from queuectl.store.port import Store
from tests.builders import NOON, ManualClock, a_grip, claim_one, finish
from tests.conformance.conftest import StoreFactory


def add(store: Store, name: str = "tick", **given: Any) -> None:
    """A schedule each minute, unless something else is given."""
    job = given.pop("job", {"command": "true"})
    given = given if {"cron", "every"} & given.keys() else {"every": 60, **given}
    schedules.add(store, "ada", name, job, **given)


def fire(store: Store) -> None:
    """What a worker does that looks now."""
    Fires(store).fire()


def jobs(store: Store) -> list[str]:
    return [job.id for job in store.find(ALL_JOBS)]


def ids(*minutes: int) -> list[str]:
    return [fire_id("tick", NOON + 60 * minute) for minute in minutes]


def reasons(store: Store, name: str = "tick") -> list[tuple[float, int, str | None]]:
    """The lines about fires, oldest first: the minute, how many, and why they made no job."""
    return [((line.at - NOON) / 60, line.fires, line.reason) for line in reversed(store.fires(name, 500))]


def test_a_fire_makes_one_job_with_its_time(store: Store, clock: ManualClock) -> None:
    add(store, job={"command": ["make", "report"], "queue": "video", "timeout": "1h"})
    fire(store)
    assert jobs(store) == []
    clock.forward(60)
    fire(store)
    fire(store)
    (job,) = store.find(ALL_JOBS)
    assert (job.id, job.schedule, job.scheduled_at) == (*ids(1), "tick", NOON + 60)
    assert (job.command, job.queue, job.spec.timeout, job.owner) == (("make", "report"), "video", 3600.0, "ada")
    assert reasons(store) == [(1, 1, None)]
    assert view(store, "ada", "tick").next[0] == NOON + 120


def test_two_workers_fire_a_schedule_once(store_factory: StoreFactory, clock: ManualClock) -> None:
    stores = [store_factory(), store_factory()]
    add(stores[0], overlap="allow")
    for _ in range(5):
        clock.forward(60)
        for each in stores:
            fire(each)
    assert jobs(stores[0]) == ids(1, 2, 3, 4, 5)


def test_whoever_moves_a_schedule_first_has_its_fire(store: Store, clock: ManualClock) -> None:
    add(store)
    clock.forward(60)
    with store.transaction():
        (due,) = store.due_schedules(store.now(), 10)
        after = due._replace(nominal=NOON + 120, next_at=NOON + 120)
        assert store.move_schedule(due, after)
        assert not store.move_schedule(due, after)


@pytest.mark.parametrize(
    ("catch_up", "made", "missed"),
    [
        ("skip", [], [(1, 10, "missed")]),
        ("one", ids(10), [(1, 9, "missed, as later ones were")]),
        ("all", ids(*range(1, 11)), []),
    ],
)
def test_what_was_missed_is_made_up_as_told(
    store: Store, clock: ManualClock, catch_up: str, made: list[str], missed: list[tuple[float, int, str]]
) -> None:
    add(store, overlap="allow", catch_up=catch_up)
    clock.forward(659)
    clock.forward(2 if catch_up == "skip" else 0)  # the latest fire is a minute late at most
    fire(store)
    assert jobs(store) == (ids(11) if catch_up == "skip" else made)
    assert [line for line in reasons(store) if line[2]] == missed


def test_an_outage_is_one_line_whatever_its_length(store: Store, clock: ManualClock) -> None:
    add(store, every=1, overlap="allow", catch_up="all")
    clock.forward(30 * 86400)
    fire(store)
    assert len(jobs(store)) == 100
    assert reasons(store)[0] == (1 / 60, 30 * 86400 - 100, "missed, as later ones were")


def test_overlap_goes_by_what_has_not_ended(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    for policy in Overlap:
        add(store, policy.value, overlap=policy.value)
    clock.forward(60)
    fire(store)
    running = {job.schedule: job for job in (claim_one(store, grip) for _ in Overlap)}
    for _ in range(2):
        clock.forward(60)
        fire(store)
    waiting = [str(job.schedule) for job in store.find(ALL_JOBS) if job.state == "pending"]
    assert sorted(waiting) == ["allow", "allow", "queue", "replace"]
    assert [job.schedule for job in store.find(ALL_JOBS) if job.state == "cancelled"] == ["replace"]
    assert store.get(running["replace"].id).cancel_requested
    assert reasons(store, "skip")[1:] == [(minute, 1, "the earlier job has not ended") for minute in (2, 3)]
    assert reasons(store, "queue")[2:] == [(3, 1, "one waits already")]
    finish(store, grip, running["skip"])
    clock.forward(60)
    fire(store)
    assert reasons(store, "skip")[-1] == (4, 1, None)
