"""Schedules on each kind of store: what is fired, when, once, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.client import conflicts, schedule_views, schedules
from queuectl.client.enqueueing import clone
from queuectl.client.facts import facts
from queuectl.client.findings import of_schedules
from queuectl.client.queues import set_limits
from queuectl.client.schedule_views import view
from queuectl.domain.cause import Cause
from queuectl.domain.errors import Conflict, Invalid, KeyTaken, NotFound
from queuectl.domain.schedule import Overlap, fire_id, offset
from queuectl.domain.scheduled import FIRES_KEPT, Fire, Schedule
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.domain.unique import Rule
from queuectl.engine.dispatch.fires import Fires
from queuectl.engine.dispatch.recounting import CLOCK_WENT_BACK, Recounting
from queuectl.store.arrivals import Arrival
from queuectl.store.port import Store
from tests.builders import HOST, NOON, ManualClock, a_grip, a_job, claim_one, finish
from tests.conformance.conftest import StoreFactory


class SteadyClock(ManualClock):
    """A clock that never jumps, beside one that does."""

    def __init__(self, hands: ManualClock) -> None:
        super().__init__()
        self._hands = hands

    def monotonic(self) -> float:
        return 0.0


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


def test_a_clone_of_a_fires_job_is_for_the_same_time_and_not_the_schedules(store: Store, clock: ManualClock) -> None:
    add(store)
    clock.forward(60)
    fire(store)
    copy = clone(store, "ada", ids(1)[0], {"id": "copy"})
    assert (copy.schedule, copy.scheduled_at) == (None, NOON + 60)
    assert store.get("copy").scheduled_at == NOON + 60
    told = [
        [fact for fact in facts(store.get(id), NOON) if "for" in fact.name or "sched" in fact.name]
        for id in (*ids(1), "copy")
    ]
    assert told == [[("schedule", "tick", None), ("made for", "", NOON + 60)], [("made for", "", NOON + 60)]]


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


@pytest.mark.parametrize("key", ["late_max", "expect_within"])
def test_a_time_that_no_fire_can_keep_is_refused(store: Store, key: str) -> None:
    with pytest.raises(Invalid, match=f"{key} must be at least 1s"):
        add(store, **{key: "0"})
    add(store, **{key: "1s"})


@pytest.mark.parametrize("key", ["overlap", "catch_up"])
def test_a_policy_that_is_none_is_refused(store: Store, key: str) -> None:
    given: Any = {key: "sikp"}
    with pytest.raises(Invalid, match=f"unknown {key}"):
        add(store, **given)
    add(store)
    with pytest.raises(Invalid, match=f"unknown {key}"):
        schedules.change(store, "ada", "tick", **given)


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
    assert waiting == ["allow", "allow"]
    blocked = {str(job.schedule): job for job in store.find(ALL_JOBS) if job.state == "blocked"}
    assert {name: job.depends_on for name, job in blocked.items()} == {
        name: (f"{running[name].id}:any",) for name in ("queue", "replace")
    }
    assert [job.schedule for job in store.find(ALL_JOBS) if job.state == "cancelled"] == ["replace"]
    assert store.get(running["replace"].id).cancel_requested
    assert reasons(store, "skip")[1:] == [(minute, 1, "the earlier job has not ended") for minute in (2, 3)]
    assert reasons(store, "queue")[2:] == [(3, 1, "one waits already")]
    finish(store, grip, running["replace"], signal=15, cause=Cause.CANCEL)
    finish(store, grip, running["queue"])
    assert {store.get(job.id).state for job in blocked.values()} == {"pending"}
    finish(store, grip, running["skip"])
    clock.forward(60)
    fire(store)
    assert reasons(store, "skip")[-1] == (4, 1, None)


def test_an_earlier_job_that_has_expired_is_in_nobodys_way(store: Store, clock: ManualClock) -> None:
    """Though no worker has cancelled it yet, as when there was none for long."""
    policies = [policy.value for policy in Overlap]
    for policy in policies:
        add(store, policy, overlap=policy, job={"command": "true", "expires": "30s"})
    clock.forward(60)
    fire(store)
    clock.forward(60)
    fire(store)
    assert [reasons(store, policy)[-1] for policy in policies] == [(2, 1, None)] * len(policies)
    assert all(not job.depends_on for job in store.find(ALL_JOBS))


def test_one_waits_for_an_earlier_job_over_all_its_retries(store: Store, clock: ManualClock) -> None:
    job = {"command": "false", "max_retries": 1, "backoff_initial": 200}
    for policy in Overlap:
        add(store, policy.value, overlap=policy.value, job=job)
    grip = a_grip(store)
    clock.forward(60)
    fire(store)
    failed = {str(each.schedule): each for each in (claim_one(store, grip) for _ in Overlap)}
    for each in failed.values():
        finish(store, grip, each, exit_code=1)
    for _ in range(2):
        clock.forward(60)
        fire(store)
    assert [minute for minute, *_ in reasons(store, "queue")] == [1, 2, 3]
    assert reasons(store, "queue")[1:] == [(2, 1, None), (3, 1, "one waits already")]
    (queued,) = (each for each in store.find(ALL_JOBS) if each.state == "blocked")
    assert queued.depends_on == (f"{failed['queue'].id}:any",)
    assert reasons(store, "skip")[1:] == [(minute, 1, "the earlier job has not ended") for minute in (2, 3)]
    assert store.get(failed["replace"].id).state == "cancelled"
    clock.forward(100)
    again = {str(each.schedule): each for each in store.claim(grip, HOST, 9, ()) if each.starts}
    assert store.get(queued.id).state == "blocked"
    finish(store, grip, again["queue"], exit_code=1)
    assert (store.get(failed["queue"].id).state, store.get(queued.id).state) == ("dead", "pending")


def test_a_clock_that_goes_back_fires_nothing_twice(store: Store, clock: ManualClock) -> None:
    add(store, overlap="allow")
    watch = Recounting(store, SteadyClock(clock))
    watch.go_on(set(), set())
    for _ in range(5):
        clock.forward(60)
        fire(store)
        watch.go_on(set(), set())
    clock.forward(-180)
    watch.go_on(set(), set())
    assert view(store, "ada", "tick").next[0] == NOON + 180
    assert CLOCK_WENT_BACK in {reason for *_, reason in reasons(store)}
    for _ in range(5):
        clock.forward(60)
        fire(store)
    assert jobs(store) == ids(1, 2, 3, 4, 5, 6, 7)


def test_a_rule_that_is_replaced_while_fires_are_recounted_stands(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, overlap="allow")
    watch = Recounting(store, SteadyClock(clock))
    watch.go_on(set(), set())
    for _ in range(5):
        clock.forward(60)
        fire(store)
    watch.go_on(set(), set())
    clock.forward(-180)
    read = store.schedules

    def read_before_a_change(after: str = "", limit: int | None = None) -> list[Schedule]:
        page = read(after, limit)
        schedules.change(store, "bob", "tick", cron="0 * * * *")
        return page

    monkeypatch.setattr(store, "schedules", read_before_a_change)
    watch.go_on(set(), set())
    assert view(store, "ada", "tick").next[0] == NOON + 3600


def test_a_last_fire_far_in_the_future_does_not_stop_a_schedule(store: Store, clock: ManualClock) -> None:
    add(store, overlap="allow")
    watch = Recounting(store, SteadyClock(clock))
    watch.go_on(set(), set())
    clock.forward(10 * 365 * 86400)
    fire(store)
    watch.go_on(set(), set())
    clock.forward(-10 * 365 * 86400 + 60)
    watch.go_on(set(), set())
    clock.forward(60)
    fire(store)
    assert ids(2)[0] in jobs(store)


def test_a_schedule_whose_jobs_cannot_be_made_keeps_no_other_from_firing(store: Store, clock: ManualClock) -> None:
    store.insert([a_job("parent")])
    add(store, "bad", job={"command": "true", "depends_on": ["parent"]})
    store.delete(["parent"])
    add(store)
    clock.forward(60)
    fire(store)
    fire(store)
    assert jobs(store) == ids(1)
    assert reasons(store, "bad") == [(1, 1, "no job parent")]
    assert view(store, "ada", "bad").idle == 1


def test_a_rule_of_a_newer_release_keeps_no_other_schedule_from_firing(store: Store, clock: ManualClock) -> None:
    add(store, "newer", cron="* * * * *", tz="UTC")
    add(store)
    store.change_schedule("newer", lambda old: old._replace(cron="0 0 L-3 * *"))
    clock.forward(60)
    fire(store)
    fire(store)
    assert jobs(store) == ids(1)
    newer, tick = schedule_views.views(store, "ada")
    assert newer.rule == "not understood by this release: day of month 'L-3': 'L' is not understood"
    assert view(store, "ada", "newer").next == [NOON + 60]
    schedules.delete(store, "ada", "newer")
    assert [each.name for each in store.schedules()] == [tick.name]


def test_a_fire_that_one_release_cannot_read_is_made_by_another_that_starts_then(
    store: Store, clock: ManualClock
) -> None:
    add(store, "newer", cron="* * * * *", tz="UTC", late_max=5)
    store.change_schedule("newer", lambda old: old._replace(cron="0 0 L-3 * *"))
    clock.forward(60)
    older = Fires(store)
    assert older.fire() == (1, 0)
    assert older.fire() == (0, 0)
    assert store.next_looks((), sorted(older.unread))[0] is None
    store.change_schedule("newer", lambda old: old._replace(cron="* * * * *"))
    clock.forward(1)
    watch = Recounting(store, clock)
    watch.go_on(set(), older.unread)
    fire(store)
    assert jobs(store) == [fire_id("newer", NOON + 60)]
    clock.forward(60)
    watch.go_on(set(), older.unread)
    assert not older.unread


def test_a_unique_key_counts_for_each_fire(store: Store, clock: ManualClock) -> None:
    add(store, overlap="allow", job={"command": "true", "unique_key": "k"})
    for _ in range(2):
        clock.forward(60)
        fire(store)
    assert jobs(store) == ids(1)
    assert reasons(store)[1] == (2, 1, f"job {ids(1)[0]} has the unique key k")


def test_a_fire_replaces_what_waits_with_its_unique_key(store: Store, clock: ManualClock) -> None:
    job = {"command": "true", "unique_key": "k", "on_conflict": "replace", "delay": 90}
    add(store, overlap="allow", job=job)
    clock.forward(60)
    fire(store)
    schedules.change(store, "ada", "tick", job={"command": "date"})
    clock.forward(60)
    fire(store)
    (waiting,) = store.find(ALL_JOBS)
    assert (waiting.id, waiting.command, waiting.run_at) == (*ids(1), "date", NOON + 210)
    assert reasons(store) == [(1, 1, None), (2, 1, "replaced what waited with the unique key k")]
    assert (store.fires("tick", 1)[0].job, view(store, "ada", "tick").idle) == (waiting.id, 0)
    made = schedules.run(store, "ada", "tick")
    assert (made.id, store.get(made.id).run_at) == (waiting.id, NOON + 210)


def test_what_a_fire_replaces_runs_for_the_time_of_that_fire(store: Store, clock: ManualClock) -> None:
    conflicts.add(store, [Arrival(a_job("by-hand", unique_key="k", held=True))])
    add(store, overlap="allow", job={"command": "true", "unique_key": "k", "on_conflict": "replace"})
    for number in (1, 2):
        clock.forward(60)
        fire(store)
        (waiting,) = store.find(Selector(schedules=("tick",)))
        assert (waiting.id, waiting.scheduled_at) == ("by-hand", NOON + number * 60)
    conflicts.add(store, [Arrival(a_job("again", unique_key="k"), Rule.REPLACE)])
    assert (store.get("by-hand").schedule, store.get("by-hand").scheduled_at) == (None, None)


def test_of_a_running_job_with_the_unique_key_one_successor_waits(store: Store, clock: ManualClock) -> None:
    add(store, overlap="allow", job={"command": "true", "unique_key": "k", "on_conflict": "replace"})
    grip = a_grip(store)
    clock.forward(60)
    fire(store)
    claim_one(store, grip)
    clock.forward(120)
    fire(store)
    assert jobs(store) == ids(1, 2)
    assert store.get(*ids(2)).depends_on == (f"{ids(1)[0]}:any",)
    assert reasons(store)[1:] == [(2, 1, None), (3, 1, "replaced what waited with the unique key k")]


@pytest.mark.parametrize("rule", ["ignore", "error"])
def test_a_fire_leaves_out_a_job_whose_unique_key_is_taken(store: Store, clock: ManualClock, rule: str) -> None:
    add(store, overlap="allow", job={"command": "true", "unique_key": "k", "on_conflict": rule})
    clock.forward(120)
    fire(store)
    assert jobs(store) == ids(1)
    assert reasons(store)[1] == (2, 1, f"job {ids(1)[0]} has the unique key k")
    with pytest.raises(KeyTaken):
        schedules.run(store, "ada", "tick")


def test_a_fire_sets_what_its_job_says_of_its_batch(store: Store, clock: ManualClock) -> None:
    job = {"command": "true", "batch": "b", "at_most": 2, "max_fails": "0", "max_retries": 0}
    add(store, overlap="allow", job=job)
    grip = a_grip(store)
    for _ in range(3):
        clock.forward(60)
        fire(store)
    assert (store.batches("b")[0].at_most, store.lock("batch:b").capacity) == (2, 2)
    first, _ = store.claim(grip, HOST, 5, ())
    finish(store, grip, first, exit_code=1)
    store.settle()
    assert {job.id: job.state.value for job in store.find(ALL_JOBS)} == dict(
        zip(ids(1, 2, 3), ("dead", "processing", "cancelled"), strict=True)
    )
    clock.forward(60)
    fire(store)
    store.settle()
    assert store.get(*ids(4)).state.value == "cancelled"


def test_a_job_added_out_of_turn_sets_what_it_says_of_its_batch(store: Store) -> None:
    add(store, job={"command": "true", "batch": "b", "at_most": 2, "max_fails": "1%"})
    schedules.run(store, "ada", "tick")
    (batch,) = store.batches()
    assert (batch.name, batch.at_most, batch.max_fails) == ("b", 2, "1%")


def test_a_paused_schedule_counts_from_when_it_is_resumed(store: Store, clock: ManualClock) -> None:
    add(store, catch_up="all")
    schedules.pause(store, "ada", "tick", "moving house")
    clock.forward(600)
    fire(store)
    schedules.resume(store, "ada", "tick")
    fire(store)
    assert (jobs(store), store.fires("tick", 10)) == ([], [])
    clock.forward(60)
    fire(store)
    assert jobs(store) == ids(11)


def test_another_rule_counts_from_now_on(store: Store, clock: ManualClock) -> None:
    add(store, every=60)
    clock.forward(30)
    schedules.change(store, "bob", "tick", every="10s", job={"queue": "video"})
    clock.forward(10)
    fire(store)
    (job,) = store.find(ALL_JOBS)
    assert (job.scheduled_at, job.queue, job.command) == (NOON + 40, "video", "true")
    assert view(store, "ada", "tick").updated_by == "bob"


def test_the_job_of_a_schedule_may_have_no_hook_though_its_queue_has(store: Store, clock: ManualClock) -> None:
    set_limits(store, "ada", "video", on_dead="./page")
    add(store, overlap="allow", job={"command": "true", "queue": "video", "on_dead": None})
    found = []
    for hook in ("./other", None, "none"):
        clock.forward(60)
        fire(store)
        found.append(store.find(ALL_JOBS)[-1].spec.on_dead)
        schedules.change(store, "ada", "tick", job={"on_dead": hook})
    clock.forward(60)
    fire(store)
    assert [*found, store.find(ALL_JOBS)[-1].spec.on_dead] == [None, "./other", "./page", None]


def test_a_new_command_takes_the_place_of_a_script(store: Store, clock: ManualClock) -> None:
    add(store, job={"command": ["a.sh", "x"], "script": "#!/bin/sh\necho $1\n"})
    schedules.change(store, "ada", "tick", {"command": "echo new"})
    clock.forward(60)
    fire(store)
    (job,) = store.find(ALL_JOBS)
    assert (job.command, job.spec.script) == ("echo new", None)


def test_a_schedule_waits_for_no_job_or_batch_that_is_not_there(store: Store) -> None:
    waits = {name: {"command": "true", "depends_on": [name]} for name in ("nope", "no", "batch:b")}
    for job in waits.values():
        with pytest.raises(NotFound, match=r"^no (job|batch) "):
            add(store, job=job)
    with pytest.raises(Invalid, match="own batch"):
        add(store, job={**waits["batch:b"], "batch": "b"})
    add(store, "makes-b", job={"command": "true", "batch": "b"})
    add(store, job=waits["batch:b"])
    with pytest.raises(NotFound, match="no job nope"):
        schedules.change(store, "ada", "tick", {"after": ["nope"]})
    store.insert([a_job("nope")])
    schedules.change(store, "ada", "tick", {"after": ["nope"]})
    store.delete(["nope"])
    assert schedules.change(store, "ada", "tick", {"timeout": 60}, every=120).every == "2m"  # it can still be changed


def test_a_key_is_changed_by_any_of_its_names(store: Store) -> None:
    store.insert([a_job("a", batch="a"), a_job("b", batch="b")])
    add(store, job={"command": "true", "max-retries": 1, "base_backoff_seconds": 9, "after": ["batch:a"]})
    changes = {"max_retries": 2, "backoff-initial": 5, "depends_on": ["batch:b"]}
    changed = schedules.change(store, "ada", "tick", changes).job
    assert changed == {"command": "true", **changes}


def test_adding_the_same_schedule_again_does_not_put_its_fires_off(store: Store, clock: ManualClock) -> None:
    add(store, every="1h")
    clock.forward(1800)
    add(store, every="1h", replace=True, job={"command": "false"})
    assert view(store, "ada", "tick").next[0] == NOON + 3600
    with pytest.raises(Conflict):
        add(store)


def test_a_job_can_be_added_out_of_turn(store: Store, clock: ManualClock) -> None:
    add(store, job={"command": "true", "queue": "video"})
    made = schedules.run(store, "bob", "tick")
    job = store.get(made.id)
    assert (job.schedule, job.owner, job.queue, job.scheduled_at) == ("tick", "bob", "video", NOON)
    clock.forward(60)
    fire(store)
    assert reasons(store) == [(0, 1, "run by bob"), (1, 1, "the earlier job has not ended")]


def test_jitter_is_the_same_each_time_and_leaves_the_nominal_time(store: Store, clock: ManualClock) -> None:
    add(store, every="1h", jitter="10m", overlap="allow")
    late = offset("tick", 600)
    assert 0 < late < 600
    for hour in (1, 2):
        clock.at = NOON + 3600 * hour + late - 1
        fire(store)
        assert len(jobs(store)) == hour - 1
        clock.forward(1)
        fire(store)
    assert jobs(store) == ids(60, 120)


@pytest.mark.parametrize("again", [False, True])
def test_a_fire_that_waits_for_its_jitter_survives_another_jitter(
    store: Store, clock: ManualClock, again: bool
) -> None:
    add(store, every="1h", jitter="10m", overlap="allow")
    clock.forward(3600 + 1)
    fire(store)
    assert jobs(store) == []
    if again:
        add(store, every="1h", overlap="allow", replace=True)
    else:
        schedules.change(store, "ada", "tick", jitter="none")
    fire(store)
    assert jobs(store) == ids(60)
    schedules.change(store, "ada", "tick", jitter="10m")
    clock.forward(600)
    fire(store)
    assert jobs(store) == ids(60)


def test_what_is_wrong_with_schedules_is_found(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    add(store, "late")
    add(store, "failing", job={"command": "false", "max_retries": 0})
    clock.forward(59)
    add(store, "idle", every=1)
    clock.forward(1)
    fire(store)
    for _ in range(3):
        job = claim_one(store, grip)
        finish(store, grip, job, exit_code=1) if job.schedule == "failing" else None
    for _ in range(3):
        clock.forward(1)
        fire(store)
    clock.forward(125)
    found = {each.code: each.message for each in of_schedules(store)}
    assert set(found) == {"schedule_late", "schedule_idle", "schedule_failing"}
    assert found["schedule_idle"] == "the last 3 fires of schedule idle made no job: the earlier job has not ended"
    assert found["schedule_failing"] == "the last job of schedule failing is dead"


@pytest.mark.parametrize("second", [0, 1, 5])
def test_lines_about_old_fires_are_forgotten(store: Store, clock: ManualClock, second: int) -> None:
    add(store, every="1h", overlap="allow")
    for hour in range(FIRES_KEPT + 200):
        at = NOON + 3600 * hour + second
        store.add_fires([Fire("tick", at, at, at, f"j{hour}")])
    assert len(store.fires("tick", 2 * FIRES_KEPT)) <= FIRES_KEPT + 100
