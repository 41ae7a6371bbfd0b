"""What workers do with jobs: claim them and report on them. Every store keeps these facts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from queuectl.domain.errors import Conflict, StoreBusy
from queuectl.domain.job import Job, JobState, Outcome, Spec
from queuectl.domain.lifecycle import (
    CancelRequested,
    Cause,
    Claimed,
    Ended,
    Event,
    GivenBack,
    Held,
    LossTakenBack,
    Lost,
    Released,
    Retried,
    Started,
    apply,
)
from queuectl.domain.schedule import Policy
from queuectl.domain.scheduled import Schedule
from queuectl.domain.served import Served
from queuectl.store.port import Store
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import LEASE_S, REFUSED, Change, Output, Renewed, Superseded
from tests.builders import HOST, NOON, ManualClock, a_grip, a_job, a_worker, an_end, claim_one, finish, record_one
from tests.conformance.conftest import StoreFactory


def claim_ids(store: Store, grip_id: str = "w~1", limit: int = 100, queues: Sequence[str] = ()) -> list[str]:
    """The ids a worker gets."""
    (row,) = [row for row in store.workers() if row.id == grip_id]
    return [job.id for job in store.claim(row.grip, HOST, limit, queues)]


# --- who lives ------------------------------------------------------------------------------


def test_a_supervisor_was_seen_at_its_latest_renewal(store: Store) -> None:
    grip = a_grip(store)
    (first,) = store.seen([grip.worker]).values()
    store.renew([grip], LEASE_S)
    (again,) = store.seen([grip.worker]).values()
    assert first <= again < first + LEASE_S
    assert store.seen([]) == {}


# --- claim ----------------------------------------------------------------------------------


def test_a_claim_is_what_the_lifecycle_says(store: Store, clock: ManualClock) -> None:
    store.insert([a_job(tags=("t",), at=NOON - 5)])
    before = store.get("job1")
    grip = a_grip(store)
    clock.forward(3)
    expected = apply(before, Claimed(worker="w~1", host="there"), NOON + 3)
    assert store.claim(grip, "there", 5, ()) == [expected]
    assert store.get("job1") == expected
    assert store.running("w~1") == [expected]


def test_a_claim_of_a_retry_is_what_the_lifecycle_says(store: Store, clock: ManualClock) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    clock.forward(2)
    before = store.get("job1")
    assert claim_one(store, grip) == store.get("job1") == apply(before, Claimed(worker="w~1", host=HOST), NOON + 2)


def test_claims_are_ordered_by_priority_due_time_and_age(store: Store) -> None:
    store.insert(
        [
            a_job("third"),
            a_job("fourth"),
            a_job("second", at=NOON - 5),
            a_job("first", priority=1),
            a_job("last", priority=-1, at=NOON - 9),
        ]
    )
    a_grip(store)
    assert claim_ids(store, limit=2) == ["first", "second"]
    assert claim_ids(store) == ["third", "fourth", "last"]
    assert claim_ids(store) == []


def test_the_order_of_claims_holds_across_queues(store: Store) -> None:
    store.insert(
        [
            a_job("c", queue="x"),
            a_job("b", queue="y", at=NOON - 1),
            a_job("a", queue="x", priority=2),
            a_job("d", queue="z"),
            a_job("e", queue="x"),
        ]
    )
    a_grip(store)
    assert claim_ids(store, limit=4) == ["a", "b", "c", "d"]


def test_a_worker_gets_jobs_of_its_queues_only(store: Store) -> None:
    store.insert([a_job("a", queue="x"), a_job("b", queue="y"), a_job("c", queue="z"), a_job("d", queue="x")])
    a_grip(store)
    assert claim_ids(store, queues=["nothing here"]) == []
    assert claim_ids(store, queues=["z", "x", "z"]) == ["a", "c", "d"]
    assert claim_ids(store) == ["b"]


def test_a_worker_gets_jobs_of_all_queues_but_those_it_leaves_out(store: Store) -> None:
    store.insert([a_job("a", queue="x"), a_job("b", queue="y"), a_job("c", queue="z", locks=("l",))])
    grip = a_grip(store)
    assert [job.id for job in store.claim(grip, HOST, 9, (), not_queues=["x", "gone"])] == ["b", "c"]
    store.insert([a_job("d", queue="z", locks=("l",)), a_job("e", queue="x", locks=("l",))])
    assert claim_ids(store) == ["a"]
    finish(store, grip, store.get("c"))
    assert store.claim(grip, HOST, 9, (), not_queues=["x", "z"]) == [], "nor one that waits for a lock"
    assert [job.id for job in store.claim(grip, HOST, 9, (), not_queues=["z"])] == ["e"]
    assert not store.has_work((), ["x", "y", "z"])
    assert all(store.has_work((), but) for but in (["x", "y"], ["y", "z"], ["x", "z"]))


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_no_more_is_claimed_than_asked_for(store: Store, limit: int) -> None:
    store.insert([a_job(str(number), queue=f"q{number % 2}") for number in range(6)])
    a_grip(store)
    assert len(claim_ids(store, limit=limit)) == limit


def test_a_claim_that_finds_nothing_writes_nothing(store: Store) -> None:
    grip = a_grip(store)
    written = "SELECT pg_current_xact_id_if_assigned()" if store.shared_by_machines else "SELECT total_changes()"
    assert isinstance(store, SqliteStore | PostgresStore)
    with store.transaction():
        before = store._select(written)
        assert store.claim(grip, HOST, 1, ()) == []
        assert store._select(written) == before


def test_a_scheduled_job_becomes_claimable_when_its_time_has_come(store: Store, clock: ManualClock) -> None:
    store.insert([a_job(run_at=NOON + 60)])
    a_grip(store)
    assert claim_ids(store) == []
    assert store.next_due() == NOON + 60
    clock.forward(59.9)
    assert claim_ids(store) == []
    clock.forward(0.1)
    assert claim_ids(store) == ["job1"]
    assert store.next_due() is None


def test_many_jobs_that_become_due_at_once_are_all_claimed(store: Store, clock: ManualClock) -> None:
    store.insert([a_job(str(number), run_at=NOON + 1) for number in range(2500)])
    a_grip(store)
    clock.forward(1)
    claimed: list[str] = []
    while batch := claim_ids(store, limit=500):
        claimed += batch
    assert sorted(claimed, key=int) == [str(number) for number in range(2500)]


def test_the_next_due_time_is_the_earliest_of_what_may_run(store: Store) -> None:
    store.insert([a_job("a", run_at=NOON + 9), a_job("b", run_at=NOON + 5, held=True), a_job("c")])
    assert store.next_due() == NOON + 9
    store.change(["b"], Released(), None)
    assert store.next_due() == NOON + 5
    store.change(["a", "b"], CancelRequested(), None)
    assert store.next_due() is None


def test_a_failed_job_becomes_claimable_after_its_delay(store: Store, clock: ManualClock) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    assert (claim_ids(store), store.next_due()) == ([], NOON + 2)
    clock.forward(2)
    assert claim_ids(store) == ["job1"]


def test_a_held_job_is_not_claimed_until_it_is_released(store: Store) -> None:
    store.insert([a_job("a", held=True), a_job("b")])
    store.change(["b"], Held(), None)
    a_grip(store)
    assert claim_ids(store) == []
    store.change(["a", "b"], Released(), None)
    assert claim_ids(store) == ["a", "b"]


def test_a_retry_by_hand_makes_a_job_claimable_at_once(store: Store) -> None:
    store.insert([a_job("a"), a_job("b", run_at=NOON + 60), a_job("c")])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    finish(store, grip, claim_one(store, grip), exit_code=0)
    store.change(["a", "b", "c"], Retried(), None)
    assert sorted(claim_ids(store)) == ["a", "b", "c"]


def test_two_workers_never_get_the_same_job(store_factory: StoreFactory) -> None:
    first, second = store_factory(), store_factory()
    first.insert([a_job(str(number)) for number in range(10)])
    a_grip(first, "w~1")
    a_grip(second, "w~2")
    got = claim_ids(first, "w~1", 4) + claim_ids(second, "w~2", 4) + claim_ids(first, "w~1", 4)
    assert got == [str(number) for number in range(10)]


def test_workers_that_race_get_every_job_once(store_factory: StoreFactory) -> None:
    """Real concurrency: each thread has a connection of its own, and claims until nothing is left."""
    jobs, racers = 300, 4
    store_factory().insert([a_job(str(number)) for number in range(jobs)])
    claimed: list[list[Job]] = [[] for _ in range(racers)]
    ready = threading.Barrier(racers)

    def race(me: int) -> None:
        store = store_factory.open_in_thread()
        try:
            grip = a_grip(store, f"w~{me}")
            ready.wait(30)
            while batch := store.claim(grip, HOST, 3, ()):
                claimed[me] += batch
                for job in batch:
                    assert finish(store, grip, job) is not None
        finally:
            store.close()

    threads = [threading.Thread(target=race, args=(me,)) for me in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [job for batch in claimed for job in batch]
    assert sorted(int(job.id) for job in everything) == list(range(jobs))
    assert {job.lease for job in everything} == {1}
    assert store_factory().counts() == {("default", JobState.COMPLETED): jobs}


# --- record ---------------------------------------------------------------------------------

ENDS: tuple[Event, ...] = (
    Started(at=NOON),
    an_end(NOON + 1, cpu_time=0.5, max_rss=1 << 40, output_bytes=3),
    an_end(NOON + 1, exit_code=1),
    an_end(NOON + 1, exit_code=2, draw=0.5),
    an_end(NOON + 1, signal=9, error="killed é"),
    an_end(NOON + 1, signal=15, cause=Cause.TIMEOUT),
    an_end(NOON + 1, signal=15, cause=Cause.CANCEL),
    an_end(NOON + 1, signal=15, cause=Cause.STOP),
    GivenBack(),
    Lost(max_lost=3),
    Lost(max_lost=1),
)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("event", ENDS, ids=repr)
def test_a_record_is_what_the_lifecycle_says(store: Store, clock: ManualClock, event: Event, started: bool) -> None:
    assert isinstance(event, (Started, Ended, GivenBack, Lost))
    store.insert([a_job(spec=Spec(timeout=1, fatal_on=(2,), backoff_jitter=0.5))])
    grip = a_grip(store)
    job = claim_one(store, grip)
    if started:
        job = record_one(store, grip, Change(job=job, event=Started(at=NOON))) or job
    clock.forward(5)
    after = record_one(store, grip, Change(job=job, event=event))
    assert after == store.get("job1") == apply(job, event, NOON + 5)
    clock.forward(10)
    due = after.state in (JobState.PENDING, JobState.FAILED) and after.due_at <= clock.at
    assert claim_ids(store) == (["job1"] if due else [])


def test_an_execution_is_kept_with_all_that_is_known_of_it(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    end = an_end(NOON + 2, took=2, exit_code=3, cpu_time=0.25, max_rss=4096, output_bytes=7)
    record_one(store, grip, Change(job=job, event=Started(at=NOON), output_files=("0.out",)))
    record_one(store, grip, Change(job=job, event=end, leftover="sleep (123)"))
    (attempt,) = store.attempts(job)
    assert (attempt.number, attempt.lease, attempt.worker, attempt.host) == (1, 1, "w~1", HOST)
    assert (attempt.started_at, attempt.finished_at, attempt.outcome) == (NOON, NOON + 2, Outcome.FAILED)
    assert (attempt.exit_code, attempt.signal, attempt.error) == (3, None, "exit code 3")
    assert (attempt.cpu_time, attempt.max_rss, attempt.output_bytes) == (0.25, 4096, 7)
    assert (attempt.leftover, attempt.output_files) == ("sleep (123)", ())


def test_a_start_and_its_end_reported_together_are_one_execution(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    store.record(grip, [Change(job=job, event=Started(at=NOON)), Change(job=job, event=an_end())])
    assert store.get("job1").starts == 1
    assert [attempt.outcome for attempt in store.attempts(job)] == [Outcome.COMPLETED]


def test_failed_lost_and_stopped_starts_have_their_own_numbers(store: Store, clock: ManualClock) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    ends: list[Ended | Lost] = [an_end(exit_code=1), Lost(max_lost=3), an_end(signal=15, cause=Cause.STOP), an_end()]
    for end in ends:
        job = claim_one(store, grip)
        job = record_one(store, grip, Change(job=job, event=Started(at=clock.at))) or job
        record_one(store, grip, Change(job=job, event=end))
        clock.forward(10)
    job = store.get("job1")
    assert (job.state, job.attempts, job.lost, job.starts) == (JobState.COMPLETED, 2, 1, 4)
    assert [(attempt.number, attempt.outcome, attempt.error) for attempt in store.attempts(job)] == [
        (1, Outcome.FAILED, "exit code 1"), (2, Outcome.LOST, "its worker was lost"), (3, Outcome.STOPPED, None),
        (4, Outcome.COMPLETED, None),
    ]  # fmt: skip


def test_a_claim_given_back_leaves_no_execution(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    record_one(store, grip, Change(job=claim_one(store, grip), event=GivenBack()))
    assert store.attempts(store.get("job1")) == []


def test_finish_refuses_a_lease_that_moved_on(store: Store) -> None:
    store.insert([a_job()])
    grip, other = a_grip(store, "w~1"), a_grip(store, "w~2")
    stale = claim_one(store, grip)
    record_one(store, grip, Change(job=stale, event=GivenBack()))
    current = claim_one(store, other)
    before = store.get("job1")
    for event in (Started(at=NOON), an_end(), GivenBack(), Lost(max_lost=1)):
        change = Change(job=stale, event=event, outputs=[Output(stream=1, head=b"stale")])
        assert record_one(store, grip, change) is None
    assert store.get("job1") == before == current
    assert (store.attempts(current), store.outputs(current, 1)) == ([], [])
    assert finish(store, other, current) is not None


def test_the_same_worker_cannot_finish_its_own_earlier_claim(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    stale = claim_one(store, grip)
    record_one(store, grip, Change(job=stale, event=GivenBack()))
    current = claim_one(store, grip)
    assert finish(store, grip, stale) is None
    assert finish(store, grip, current) is not None


def test_an_end_is_recorded_once(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    assert finish(store, grip, job, exit_code=1) is not None
    assert finish(store, grip, job, exit_code=0) is None
    assert store.get("job1").state is JobState.FAILED
    assert len(store.attempts(job)) == 1


def test_a_report_on_an_ended_job_is_refused_alone(store: Store) -> None:
    store.insert([a_job("a"), a_job("b")])
    grip = a_grip(store)
    a, b = store.claim(grip, HOST, 2, ())
    ended = finish(store, grip, a)
    assert ended is not None
    results = store.record(grip, [Change(job=job, event=an_end()) for job in (ended, b)])
    assert [result and result.id for result in results] == [None, "b"]


def test_a_worker_cannot_finish_what_another_holds(store: Store) -> None:
    store.insert([a_job()])
    grip, other = a_grip(store, "w~1"), a_grip(store, "w~2")
    job = claim_one(store, grip)
    assert finish(store, other, job) is None
    assert store.running("w~1") == [job]


def test_a_job_retried_by_hand_takes_no_old_end(store: Store) -> None:
    store.insert([a_job(spec=Spec(max_retries=0))])
    grip = a_grip(store)
    old = claim_one(store, grip)
    finish(store, grip, old, exit_code=1)
    store.change(["job1"], Retried(), "me")
    assert finish(store, grip, old) is None
    claim_one(store, grip)
    assert finish(store, grip, old) is None
    assert store.get("job1").state is JobState.PROCESSING


def test_a_deleted_job_takes_no_end(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    record_one(store, grip, Change(job=job, event=GivenBack()))
    store.delete(["job1"])
    assert finish(store, grip, job) is None
    assert store.attempts(job) == []


def test_one_refused_change_does_not_touch_the_others(store: Store) -> None:
    store.insert([a_job("a"), a_job("b"), a_job("c")])
    grip = a_grip(store)
    a, b, c = store.claim(grip, HOST, 3, ())
    results = store.record(grip, [Change(job=job, event=an_end()) for job in (a, b._replace(lease=9), c)])
    assert [result and result.id for result in results] == ["a", None, "c"]
    assert [job.id for job in store.running("w~1")] == ["b"]


# --- what people want meanwhile -------------------------------------------------------------


def test_a_cancel_request_reaches_the_worker_and_survives_its_report(store: Store) -> None:
    store.insert([a_job("a"), a_job("b")])
    grip = a_grip(store)
    a, b = store.claim(grip, HOST, 2, ())
    assert store.cancel_requests("w~1") == []
    store.change(["a", "b"], CancelRequested(), "me")
    assert sorted(store.cancel_requests("w~1")) == [a.seq, b.seq]
    results = store.record(grip, [Change(job=a, event=GivenBack()), Change(job=b, event=an_end(exit_code=1))])
    assert [job and job.state for job in results] == [JobState.CANCELLED, JobState.CANCELLED]
    assert store.cancel_requests("w~1") == []


def test_a_wish_to_cancel_survives_a_start_that_is_reported_late(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    store.change(["job1"], CancelRequested(), "me")
    after = record_one(store, grip, Change(job=job, event=Started(at=NOON)))
    assert after is not None
    assert after.cancel_requested
    assert store.cancel_requests("w~1") == [job.seq]


def test_a_hold_on_a_running_job_holds_its_next_attempt(store: Store, clock: ManualClock) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    store.change(["job1"], Held(), "me")
    finish(store, grip, job, exit_code=1)
    clock.forward(60)
    assert claim_ids(store) == []
    store.change(["job1"], Released(), "me")
    assert claim_ids(store) == ["job1"]


def test_a_release_of_a_running_job_is_not_undone_by_its_report(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    store.change(["job1"], Held(), "me")
    held = record_one(store, grip, Change(job=job, event=Started(at=NOON)))
    assert held is not None
    assert held.held
    store.change(["job1"], Released(), "me")
    finish(store, grip, held, exit_code=1)
    assert not store.get("job1").held


# --- take-over ------------------------------------------------------------------------------


def test_whoever_was_superseded_writes_nothing(store: Store) -> None:
    store.insert([a_job("a"), a_job("b")])
    old = a_grip(store)
    job = claim_one(store, old)
    new = store.adopt(a_worker(), 99)
    assert new is not None
    before = store.get("a")
    for attempt in (
        lambda: store.record(old, [Change(job=job, event=an_end())]),
        lambda: store.claim(old, HOST, 1, ()),
        lambda: store.deregister(old),
    ):
        with pytest.raises(Superseded):
            attempt()
    assert store.get("a") == before
    assert finish(store, new, job) is not None
    assert claim_one(store, new).id == "b"


def test_an_adopted_supervisor_keeps_its_jobs_with_their_leases(store: Store) -> None:
    store.insert([a_job()])
    job = claim_one(store, a_grip(store))
    store.adopt(a_worker(), 99)
    assert store.running("w~1") == [job]
    (row,) = store.workers()
    assert (row.epoch, row.dispatcher) == (2, 99)


def test_only_one_of_two_adopters_wins(store_factory: StoreFactory) -> None:
    first, second = store_factory(), store_factory()
    a_grip(first)
    (seen,) = first.workers()
    assert first.adopt(seen, 98) is not None
    assert second.adopt(seen, 99) is None
    assert [row.dispatcher for row in second.workers()] == [98]


def test_nobody_adopts_a_supervisor_that_is_gone(store: Store) -> None:
    store.deregister(a_grip(store))
    assert store.adopt(a_worker(), 99) is None


def test_a_supervisor_is_not_forgotten_while_it_holds_a_job(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    with pytest.raises(Conflict, match="w~1 still holds jobs"):
        store.deregister(grip)
    finish(store, grip, job)
    store.deregister(grip)
    assert store.workers() == []
    with pytest.raises(Superseded):
        store.claim(grip, HOST, 1, ())


def test_a_worker_comes_back_as_it_was_registered(store: Store) -> None:
    rows = [
        a_worker("w~1", queues=("a", "b c"), waits="host load 9.1, at most 8"),
        a_worker("w~2", not_queues=("c",), started_at=NOON - 1, stop="now", tag=(1 << 31) - 1),
    ]
    for row in rows:
        store.register(row)
    found = store.workers()
    assert [row._replace(home=None, schema=None) for row in found] == [rows[1], rows[0]]
    assert all(store.is_at_home(row) for row in found)


def test_a_worker_registered_in_another_store_is_not_at_home(store: Store) -> None:
    store.register(a_worker())
    (row,) = store.workers()
    assert row.home
    assert not store.is_at_home(row._replace(home="1:1 1:2"))
    assert store.is_at_home(row._replace(home=None)), "of an older release"


def test_who_lives_is_found_out_of_all_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for id, lease_s in (("w~1", 60.0), ("w~2", 0.0), ("w~3", 60.0)):
        store.register(a_worker(id, machine="elsewhere"), lease_s)
    rows, asked = store.workers(), []
    if isinstance(store, PostgresStore):
        execute = store._line.execute

        def ask(query: str, parameters: Any = None) -> Any:
            asked.append(query)
            return execute(query, parameters)

        monkeypatch.setattr(store._line, "execute", ask)
    living = [row.id for row in store.living(rows)]
    assert living == (["w~1", "w~3"] if store.shared_by_machines else []), "only a lease speaks for another machine"
    assert len(asked) == store.shared_by_machines


def test_a_worker_looks_at_those_of_its_machine_and_at_the_dead(store: Store) -> None:
    leases = {"here": 60.0, "elsewhere": 60.0, "dead": 0.0, "left": 60.0}
    for name, lease_s in leases.items():
        store.register(a_worker(f"w~{name}", machine="boot:1" if name == "here" else "boot:2"), lease_s)
    found = {row.id for row in store.suspects("boot:1", ["w~left", "w~forgotten"])}
    others = set() if store.shared_by_machines else {"w~elsewhere"}  # a file has no other machines
    assert found == {"w~here", "w~dead", "w~left", *others}


def test_a_request_to_stop_touches_those_it_names(store: Store) -> None:
    for id in ("w~1", "w~2", "w~3"):
        store.register(a_worker(id))
    store.request_stop(["w~1", "gone~1"], "graceful")
    store.request_stop(["w~3"], "now")
    assert store.asked_of(["w~1", "w~2", "w~3"]) == {"w~1": ("graceful", {}), "w~3": ("now", {})}
    assert store.asked_of(["w~2", "gone~1"]) == {}
    assert store.asked_of([]) == {}


def test_options_that_people_want_are_told_until_the_worker_has_taken_them(store: Store) -> None:
    grip = a_grip(store)
    store.request_options([grip.worker, "gone~1"], {"slots": 2})
    store.request_options([grip.worker], {"queues": ["a"], "not_queues": []})
    wanted = {"slots": 2, "queues": ["a"], "not_queues": []}
    assert store.asked_of([grip.worker, "w~9"]) == {grip.worker: (None, wanted)}
    store.take_options(grip, 2, Served(("a",)), wanted)
    (row,) = store.workers()
    assert (row.slots, row.served) == (2, Served(("a",)))
    assert store.asked_of([grip.worker]) == {}
    with pytest.raises(Superseded):
        store.take_options(grip._replace(epoch=grip.epoch + 1), 3, Served(), {})


def test_what_is_asked_while_a_worker_takes_options_stays_to_be_taken(store: Store) -> None:
    grip = a_grip(store)
    store.request_options([grip.worker], {"restart": True, "slots": 2})
    ((_, asked),) = store.asked_of([grip.worker]).values()
    store.request_options([grip.worker], {"slots": 3, "reload": True})  # before the worker has answered
    store.take_options(grip, 2, Served(), asked, "no such release")
    left = {"slots": 3, "reload": True, REFUSED: "no such release"}
    assert store.asked_of([grip.worker]) == {grip.worker: (None, left)}


def test_two_who_ask_a_worker_at_once_are_both_heard(store_factory: StoreFactory) -> None:
    first, second = store_factory(), store_factory()
    grip = a_grip(first)
    asking = threading.Thread(target=second.request_options, args=([grip.worker], {"restart": True}))
    with first.transaction():
        first.request_options([grip.worker], {"slots": 2})
        asking.start()
        asking.join(0.2)
    asking.join()
    assert first.asked_of([grip.worker]) == {grip.worker: (None, {"slots": 2, "restart": True})}


# --- leases ---------------------------------------------------------------------------------


def test_a_lease_is_renewed_by_whoever_drives_the_supervisor(store: Store) -> None:
    store.register(a_worker("w~1"), 0.0)
    store.register(a_worker("w~2"), 0.0)
    first, second = store.workers()
    store.renew([first.grip, second.grip], 60.0)
    if store.shared_by_machines:
        assert (store.alive(first), store.alive(second)) == (True, True)
        assert store.adopt(first, 98, only_expired=True) is None
    assert store.adopt(first, 98) is not None


def test_a_lease_that_has_run_out_makes_way_for_one_other_machine(store: Store) -> None:
    if not store.shared_by_machines:
        pytest.skip("all workers are on one machine")
    store.register(a_worker("w~1"), 0.0)
    (row,) = store.workers()
    assert not store.alive(row)
    grip = store.adopt(row, 98, 60.0, only_expired=True)
    assert grip is not None
    assert store.adopt(row, 99, 60.0, only_expired=True) is None
    assert store.alive(row)
    store.insert([a_job()])
    for late in (lambda: store.renew([row.grip], 60.0), lambda: store.claim(row.grip, HOST, 1, ())):
        with pytest.raises(Superseded):
            late()
    store.deregister(grip)
    with pytest.raises(Superseded):
        store.renew([grip], 60.0)


def test_a_renewal_is_of_all_supervisors_or_none(store: Store) -> None:
    if not store.shared_by_machines:
        pytest.skip("all workers are on one machine")
    store.register(a_worker("w~1"), 60.0)
    store.register(a_worker("w~2"), 60.0)
    first, second = store.workers()
    assert store.adopt(second, 98, 60.0) is not None
    before = store.seen(["w~1", "w~2"])
    with pytest.raises(Superseded, match="w~1 or w~2"):
        store.renew([first.grip, second.grip], 600.0)
    assert store.seen(["w~1", "w~2"]) == before


def test_a_renewal_tells_what_its_worker_would_ask_for(store: Store) -> None:
    grip = a_grip(store, "w~1")
    if not store.shared_by_machines:
        assert store.renew([grip], LEASE_S) is None
        return
    found = store.renew([grip], LEASE_S)
    assert found == Renewed({}, False, False, False, None, workers=1.0, is_same=False)
    assert store.replaced() == ""
    store.set_config("timeout", "5s")
    store.register(a_worker("w~2"), 60.0)
    store.request_stop(["w~2"], "now")
    found = store.renew([grip], LEASE_S)
    assert found is not None
    assert found[:4] == ({"timeout": "5s"}, False, False, False)
    assert found.is_same
    assert 0 < (found.next_expiry_s or 0) <= 60
    assert found.workers == 2
    store.insert([a_job()])
    store.request_options([grip.worker], {"slots": 2})
    every_hour = Schedule("s", "0 * * * *", None, NOON, "UTC", Policy(), 0.0, "{}", "{}", NOON, None, NOON, None)
    store.add_schedule(every_hour._replace(next_at=NOON))
    found = store.renew([grip], LEASE_S)
    assert found is not None
    assert found[1:4] == (True, True, True)


# --- losses that were none ------------------------------------------------------------------


def lose_to_another(store: Store, worker: str, max_lost: int = 3) -> Job:
    """A worker starts the one job there is, and another machine counts it as lost: the job as the first knew it."""
    row = a_worker(worker)
    store.register(row)
    job = claim_one(store, row.grip)
    job = record_one(store, row.grip, Change(job=job, event=Started(at=store.now()))) or job
    grip = store.adopt(row, 99)
    assert grip is not None
    assert record_one(store, grip, Change(job=job, event=Lost(max_lost=max_lost))) is not None
    store.deregister(grip)
    return job


def test_a_loss_is_taken_back_once_by_its_own_worker(store: Store, clock: ManualClock) -> None:
    store.insert([a_job()])
    job = lose_to_another(store, "w~1")
    clock.forward(7)
    before = store.get("job1")
    (after,) = store.take_back_losses("w~1", {(job.seq, job.lease): NOON - 1})
    assert after == store.get("job1") == apply(before, LossTakenBack(later=0), NOON + 7)
    assert (after.state, after.lost, after.lost_in_row) == (JobState.PENDING, 0, 0)
    (attempt,) = store.attempts(after)
    assert (attempt.outcome, attempt.finished_at, attempt.error) == (Outcome.STOPPED, NOON - 1, None)
    assert store.take_back_losses("w~1", {(job.seq, job.lease): NOON - 1}) == []


def test_only_a_workers_own_timely_loss_is_taken_back(store: Store) -> None:
    store.insert([a_job()])
    job = lose_to_another(store, "w~1")
    before = store.get("job1")
    key = job.seq, job.lease
    assert store.take_back_losses("w~2", {key: NOON - 1}) == []
    assert store.take_back_losses("w~1", {key: NOON + 1}) == []
    assert store.take_back_losses("w~1", {(job.seq, job.lease + 1): NOON - 1, (job.seq + 1, 1): NOON - 1}) == []
    assert store.get("job1") == before
    grip = a_grip(store, "w~3")
    finish(store, grip, claim_one(store, grip))
    assert store.take_back_losses("w~3", {(job.seq, 2): NOON - 1}) == []
    store.delete(["job1"])
    assert store.take_back_losses("w~1", {key: NOON - 1}) == []


@pytest.mark.parametrize(
    "event",
    [Started(at=NOON), an_end(exit_code=1), GivenBack(), Lost(max_lost=3)],
    ids=["start", "end", "back", "lost"],
)
def test_the_current_worker_does_not_undo_a_loss_taken_back(store: Store, event: Event) -> None:
    assert isinstance(event, (Started, Ended, GivenBack, Lost))
    store.insert([a_job()])
    job = lose_to_another(store, "w~1")
    grip = a_grip(store, "w~2")
    current = claim_one(store, grip)
    if isinstance(event, Lost):
        current = record_one(store, grip, Change(job=current, event=Started(at=NOON))) or current
    assert current.lost == current.lost_in_row == 1
    (taken_back,) = store.take_back_losses("w~1", {(job.seq, job.lease): NOON - 1})
    after = record_one(store, grip, Change(job=current, event=event))
    assert after == store.get("job1") == apply(taken_back, event, NOON)
    assert after.lost == isinstance(event, Lost)


def test_a_job_that_crashes_machines_goes_to_the_dead_letter_queue(store: Store) -> None:
    store.insert([a_job()])
    stopped = lose_to_another(store, "w~1")
    store.take_back_losses("w~1", {(stopped.seq, stopped.lease): NOON - 1})
    for worker in ("w~2", "w~3", "w~4"):  # these tell nothing any more
        assert store.get("job1").state is JobState.PENDING
        lose_to_another(store, worker)
    assert (store.get("job1").state, store.get("job1").lost) == (JobState.DEAD, 3)


# --- is there work --------------------------------------------------------------------------


def test_there_is_work_while_a_served_job_runs_or_waits(store: Store, clock: ManualClock) -> None:
    assert not store.has_work([])
    store.insert([a_job(queue="x", run_at=NOON + 60, spec=Spec(max_retries=1))])
    assert store.has_work([])
    assert store.has_work(["y", "x"])
    assert not store.has_work(["y"])
    grip = a_grip(store)
    clock.forward(60)
    job = claim_one(store, grip)
    assert store.has_work(["x"])
    finish(store, grip, job, exit_code=1)
    assert store.has_work(["x"])
    clock.forward(60)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    assert not store.has_work(["x"])


def test_whether_anything_can_be_claimed_is_known_without_a_claim(store: Store, clock: ManualClock) -> None:
    a_grip(store)
    assert not store.has_claimable()
    store.insert([a_job("later", run_at=NOON + 10), a_job("held", held=True)])
    assert not store.has_claimable()
    clock.forward(11)
    assert store.has_claimable()  # due, though nobody has promoted it
    assert claim_ids(store) == ["later"]
    assert not store.has_claimable()
    store.insert([a_job("ready")])
    assert store.has_claimable()


def test_a_job_that_is_held_is_no_work(store: Store) -> None:
    store.insert([a_job(held=True)])
    assert not store.has_work([])


# --- outputs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        [Output(stream=1, head=b"")],
        [Output(stream=1, head=b"hello\n")],
        [Output(stream=1, head=bytes(range(256)) * 40)],
        [Output(stream=1, head=b"out"), Output(stream=2, head=b"\0\xff" * 300)],
        [Output(stream=1, head=b"a" * 5000, tail=b"z" * 5000, cut_bytes=1 << 40)],
        [Output(stream=1, head=b"a", tail=b"z" * 300, cut_bytes=1)],
    ],
    ids=["nothing", "empty", "text", "binary", "split", "cut", "short head"],
)
def test_an_output_comes_back_byte_by_byte(store: Store, outputs: list[Output]) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    record_one(store, grip, Change(job=job, event=an_end(), outputs=outputs))
    assert store.outputs(job, 1) == outputs


def test_every_execution_has_its_own_output(store: Store, clock: ManualClock) -> None:
    store.insert([a_job("a"), a_job("b")])
    grip = a_grip(store)
    for number in (1, 2):
        for job in store.claim(grip, HOST, 2, ()):
            said = f"{job.id}{number}".encode()
            change = Change(job=job, event=an_end(clock.at, exit_code=1), outputs=[Output(stream=1, head=said)])
            record_one(store, grip, change)
        clock.forward(10)
    for id in ("a", "b"):
        said_by = [store.outputs(store.get(id), number)[0].head.decode() for number in (1, 2)]
        assert said_by == [f"{id}1", f"{id}2"]


# --- a store that is busy -------------------------------------------------------------------


def test_a_store_locked_for_long_has_its_own_error(store_factory: StoreFactory) -> None:
    mine, other = store_factory(), store_factory.impatient()
    with mine.transaction():
        mine.insert([a_job("a")])
        with pytest.raises(StoreBusy):
            other.insert([a_job("a")])  # whoever locks only what must be locked has to wait for this one
        assert other.counts() == {}
    other.insert([a_job("b")])
    assert sum(other.counts().values()) == 2


def test_a_claim_skips_jobs_with_a_recent_loss_if_told_to(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job("lost1", priority=9), a_job("lost2", priority=9), a_job("plain")])
    for job in store.claim(grip, HOST, 2, ()):
        (started,) = store.record(grip, [Change(job=job, event=Started(at=NOON))])
        assert started
        store.record(grip, [Change(job=started, event=Lost(max_lost=3))])
    assert [job.id for job in store.claim(grip, HOST, 3, (), 0)] == ["plain"]
    assert [job.id for job in store.claim(grip, HOST, 3, (), 1)] == ["lost1"]
    assert store.claim(grip, HOST, 3, (), 0, losses=1) == []
    assert [job.id for job in store.claim(grip, HOST, 3, (), 0, losses=2)] == ["lost2"]
