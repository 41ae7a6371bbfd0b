"""Batches: how far they are, who waits for them, when the rest of one is cancelled. Every store keeps these facts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from threading import Barrier, Thread
from typing import Any

import pytest

from queuectl.client.acting import retry_down
from queuectl.client.batches import view
from queuectl.client.enqueueing import clone
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job, JobState, Spec
from queuectl.domain.lifecycle import CancelRequested, Retried, begun
from queuectl.domain.limits import Lock, numbered
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.store.values import Grip
from tests.builders import HOST, ManualClock, a_grip, a_job, finish
from tests.conformance.conftest import StoreFactory

ONCE = Spec(max_retries=0)


def of_batch(*ids: str, **fields: Any) -> list[Job]:
    return [a_job(id, batch="b", spec=ONCE, **fields) for id in ids]


def run(store: Store, grip: Grip, *codes: int) -> None:
    """Runs the next jobs, one after the other, to these exit codes."""
    for code in codes:
        (job,) = store.claim(grip, HOST, 1, ())
        finish(store, grip, job, exit_code=code)
    store.settle()


def states(store: Store, ids: Sequence[str]) -> list[str]:
    return [store.get(id).state.value for id in ids]


def test_a_batch_counts_its_jobs_by_state_and_is_done_when_none_is_unfinished(store: Store) -> None:
    assert store.batches() == store.batches("b") == []
    store.insert([*of_batch("a", "c", "d"), a_job("other", priority=-1)])
    run(store, a_grip(store), 0, 1)
    (batch,) = store.batches()
    assert (batch.name, batch.total, batch.done, batch.failed, batch.is_done) == ("b", 3, 2, 1, False)
    assert batch.counts == {JobState.COMPLETED: 1, JobState.DEAD: 1, JobState.PENDING: 1}
    store.change(["d"], CancelRequested(), "me")
    assert store.batches("b")[0].is_done
    assert [job.id for job in store.find(Selector(batches=("b",)))] == ["a", "c", "d"]


def test_the_time_left_after_a_retry_does_not_count_the_time_between(store: Store, clock: ManualClock) -> None:
    store.insert(of_batch("a", "c", "d", "e"))
    grip = a_grip(store)

    def left(code: int, took: float) -> float | None:
        (job,) = store.claim(grip, HOST, 1, ())
        clock.forward(took)
        finish(store, grip, job, exit_code=code, took=took)
        return view(store, "me", "b").seconds_left

    assert [left(code, 10.0) for code in (1, 1, 1, 0)] == [30.0, 20.0, 10.0, None]
    clock.forward(86400.0)
    store.change(["a", "c", "d"], Retried(), "me")
    assert view(store, "me", "b").seconds_left == 30.0
    assert [left(0, 20.0) for _ in range(3)] == [40.0, 20.0, None]


@pytest.mark.parametrize(
    ("code", "ends"), [(0, ["pending", "pending", "cancelled"]), (1, ["cancelled", "pending", "pending"])]
)
def test_a_job_after_a_batch_waits_for_the_end_of_all_its_jobs(store: Store, code: int, ends: list[str]) -> None:
    store.insert(of_batch("a", "c"))
    waiting = [begun(a_job(wants, depends_on=(f"batch:b{wants}",))) for wants in ("", ":any", ":failed")]
    waiting = [job._replace(id=id) for job, id in zip(waiting, ("ok", "any", "failed"), strict=True)]
    store.insert(waiting)
    grip = a_grip(store)
    run(store, grip, 0)
    assert states(store, ("ok", "any", "failed")) == ["blocked"] * 3
    run(store, grip, code)
    assert states(store, ("ok", "any", "failed")) == ends
    lost = store.get("failed" if code == 0 else "ok")
    assert lost.error == f"batch b has {'completed' if code == 0 else 'failed'}"


def test_a_retry_in_a_batch_revives_what_its_failure_had_cancelled(store: Store) -> None:
    store.insert([*of_batch("a"), begun(a_job("next", depends_on=("batch:b",)))])
    grip = a_grip(store)
    run(store, grip, 1)
    assert states(store, ("next",)) == ["cancelled"]
    store.change(["a"], Retried(), "me")
    store.settle()
    assert states(store, ("next",)) == ["blocked"]
    run(store, grip, 0)
    assert states(store, ("next",)) == ["pending"]


def test_of_what_a_job_waits_for_batches_come_first(store: Store) -> None:
    store.insert(of_batch("a", "c"))
    store.insert([begun(a_job("after", depends_on=("c:any", "batch:b:any", "a:any")))])
    edges, _, is_all = store.around(store.get("after"), 100)
    assert ([edge.ref for edge in edges], is_all) == (["batch:b:any", "a:any", "c:any"], True)


def test_a_retry_all_the_way_down_follows_batches(store: Store) -> None:
    store.insert(of_batch("a", "c"))
    waiting = [a_job("after", depends_on=("batch:b:any",)), a_job("last", depends_on=("after",))]
    store.insert([begun(job) for job in waiting])
    grip = a_grip(store)
    for code in (1, 0, 0, 0):
        run(store, grip, code)
    assert states(store, ("a", "c", "after", "last")) == ["dead", "completed", "completed", "completed"]
    assert [job.id for job in store.below(["a"])] == ["after", "last"]
    edges, around, is_all = store.around(store.get("a"), 100)
    assert ([job.id for job in around], is_all) == (["a", "after", "last"], True)
    assert [(edge.ref, edge.parent) for edge in edges] == [
        ("batch:b:any", store.get("a").seq), ("after", store.get("after").seq)
    ]  # fmt: skip
    retry_down(store, "me", ["a"], None)
    assert states(store, ("a", "c", "after", "last")) == ["pending", "completed", "blocked", "blocked"]
    for _ in range(3):
        run(store, grip, 0)
    assert states(store, ("a", "after", "last")) == ["completed"] * 3


@pytest.mark.parametrize("again", [0, 1])
def test_a_retry_looks_at_a_batch_as_it_is_now(store: Store, again: int) -> None:
    store.insert(of_batch("a"))
    store.insert([begun(a_job(id, depends_on=("batch:b",), priority=-1)) for id in ("failed", "by-hand")])
    store.change(["by-hand"], CancelRequested(), "me")
    grip = a_grip(store)
    run(store, grip, 1)
    assert [store.get(id).error for id in ("failed", "by-hand")] == ["batch b has failed", "cancelled"]
    retried = store.change(["a", "failed", "by-hand"], Retried(), "me")
    assert [job.state.value for job in retried if isinstance(job, Job)] == ["pending", "blocked", "blocked"]
    store.change(["by-hand"], CancelRequested(), "me")
    run(store, grip, again)
    store.change(["by-hand"], Retried(), "me")
    store.settle()
    assert states(store, ["failed", "by-hand"]) == [["pending"] * 2, ["cancelled"] * 2][again]


def test_a_job_after_a_batch_that_is_over_is_decided_at_once(store: Store) -> None:
    store.insert(of_batch("a"))
    run(store, a_grip(store), 1)
    changed = store.insert([begun(a_job("late", depends_on=("batch:b",)))])
    assert changed["late"].state is JobState.CANCELLED
    with pytest.raises(NotFound, match="no batch x"):
        store.insert([begun(a_job("lost", depends_on=("batch:x",)))])
    with pytest.raises(Invalid, match="cannot wait for its own batch b"):
        store.insert([begun(a_job("own", batch="b", depends_on=("batch:b",)))])


def test_a_job_cannot_wait_for_its_own_batch_over_others(store: Store) -> None:
    store.insert(of_batch("a"))
    store.insert([begun(a_job("next", depends_on=("batch:b",)))])
    store.insert([begun(a_job("far", batch="c", depends_on=("next:any",)))])
    late = begun(a_job("late", depends_on=("batch:c",)))
    for on in ("next", "batch:c:failed"):
        with pytest.raises(Invalid, match="jobs wait for each other: own of batch b after next after batch:b"):
            store.insert([begun(a_job("own", batch="b", depends_on=(on,)))])
    with pytest.raises(Invalid, match="own of batch b after next"):
        store.insert([begun(a_job("own", batch="b", depends_on=("late",))), late])
    store.insert([late, begun(a_job("own", batch="b", depends_on=("a",)))])
    run(store, a_grip(store), 1)
    assert states(store, ("next", "far", "late")) == ["cancelled", "pending", "blocked"]
    store.insert([begun(a_job("own-2", batch="b", depends_on=("next:any",)))])  # that is decided, so nobody waits


def test_a_job_cannot_wait_for_its_own_batch_once_that_is_open_again(store: Store) -> None:
    store.insert([*of_batch("a"), a_job("held", held=True)])
    store.insert([begun(a_job("next", depends_on=("batch:b:any", "held")))])
    run(store, a_grip(store), 0)
    with pytest.raises(Invalid, match="jobs wait for each other: own of batch b after next after batch:b"):
        store.insert([begun(a_job("own", batch="b", depends_on=("next",)))])


def test_a_retry_closes_no_circle_over_a_batch(store: Store) -> None:
    grip = a_grip(store)
    store.insert(of_batch("a"))
    store.insert([begun(a_job("next", depends_on=("batch:b:any",)))])
    store.change(["next"], CancelRequested(), "me")
    run(store, grip, 0)
    store.insert([begun(a_job("own", batch="b", depends_on=("next",)))])  # cancelled at once
    store.change(["a"], Retried(), "me")
    (again,) = store.change(["next"], Retried(), "me")
    assert isinstance(again, Job)
    assert again.error == "jobs wait for each other: next after others after next"
    assert states(store, ("a", "next", "own")) == ["pending", "cancelled", "cancelled"]
    store.delete(["own"])
    store.change(["next"], Retried(), "me")
    assert states(store, ("a", "next")) == ["pending", "blocked"]
    run(store, grip, 0)
    assert states(store, ("a", "next")) == ["completed", "pending"]


def test_nobody_runs_again_into_a_circle_that_closes_once_the_batch_is_open(store: Store) -> None:
    store.insert([*of_batch("a"), a_job("held", held=True)])
    store.insert([begun(a_job("next", depends_on=("batch:b:any", "held")))])
    run(store, a_grip(store), 0)
    store.change(["next"], CancelRequested(), "me")
    store.insert([begun(a_job("own", batch="b", depends_on=("next",)))])
    store.change(["next"], Retried(), "me")
    store.settle()
    assert states(store, ("next", "own")) == ["cancelled", "cancelled"]  # or "own" would have opened the batch again
    assert store.get("next").error == "jobs wait for each other: next after others after next"


def test_over_max_fails_the_rest_is_cancelled_and_running_jobs_finish(store: Store) -> None:
    ids = [f"j{number}" for number in range(6)]
    with store.transaction():
        store.set_batch("b", None, "1")
        store.insert(of_batch(*ids))
    grip = a_grip(store)
    run(store, grip, 1)
    running = store.claim(grip, HOST, 1, ())
    run(store, grip, 1)
    assert states(store, ids) == ["dead", "processing", "dead", "cancelled", "cancelled", "cancelled"]
    why = "batch b: more than 1 of its jobs are dead"
    assert store.get("j3").error == why
    assert [note[1:] for note in store.notes(store.get("j3"))] == [("CancelRequested", None, why)]
    finish(store, grip, running[0])
    assert store.get("j1").state is JobState.COMPLETED
    store.insert(of_batch("late"))
    store.settle()
    assert states(store, ("late",)) == ["cancelled"]


def test_max_fails_may_be_a_percentage(store: Store) -> None:
    with store.transaction():
        store.set_batch("b", None, "20%")
        store.insert(of_batch(*(f"j{number}" for number in range(10))))
    grip = a_grip(store)
    run(store, grip, 1, 1, 0)
    assert store.batches("b")[0].counts[JobState.PENDING] == 7
    run(store, grip, 1)
    assert store.batches("b")[0].counts[JobState.CANCELLED] == 6


def test_at_most_so_many_jobs_of_a_batch_run_at_once(store: Store) -> None:
    store.insert(of_batch("early"))
    store.set_batch("b", 2, None)
    assert store.get("early").locks == ("batch:b",)
    store.insert(of_batch("a", "c", locks=("batch:b",)))
    grip = a_grip(store)
    assert [job.id for job in store.claim(grip, HOST, 5, ())] == ["early", "a"]


def test_jobs_that_run_already_count_where_their_batch_gets_a_limit(store: Store) -> None:
    store.insert(of_batch("a", "c", "d"))
    grip = a_grip(store)
    running = store.claim(grip, HOST, 5, ())
    store.set_batch("b", 2, None)
    store.insert(of_batch("e", "f", "g", locks=("batch:b",)))
    assert store.claim(grip, HOST, 5, ()) == []
    assert [len(each.units) for each in store.held()["batch:b"]] == [1, 1, 1]
    for job, then in zip(running, ([], ["e"], ["f"]), strict=True):
        finish(store, grip, job)
        assert [each.id for each in store.claim(grip, HOST, 5, ())] == then
    assert len(store.held()["batch:b"]) == 2


def test_the_rest_is_cancelled_before_the_same_transaction_claims(store: Store) -> None:
    with store.transaction():
        store.set_batch("b", None, "0")
        store.insert(of_batch("a", "c", "d"))
    grip = a_grip(store)
    (first,) = store.claim(grip, HOST, 1, ())
    with store.transaction():
        finish(store, grip, first, exit_code=1)
        assert store.claim(grip, HOST, 1, ()) == []
    assert states(store, ("a", "c", "d")) == ["dead", "cancelled", "cancelled"]


def test_which_batches_are_strict(store: Store) -> None:
    store.insert(of_batch("a"))
    store.set_batch("b", None, "10%")
    store.set_batch("limited", 3, None)
    assert store.strict_batches({"b", "limited", "other"}) == {"b"}
    assert store.strict_batches(set()) == set()


def test_a_limit_of_a_batch_is_also_that_of_its_jobs_that_run_again(store: Store) -> None:
    store.insert(of_batch("dead", "running", "parked", "cancelled", locks=("gpu",)))
    grip = a_grip(store)
    run(store, grip, 1)
    store.change(["cancelled"], CancelRequested(), "me")
    (running,) = store.claim(grip, HOST, 5, ())  # and parks the other
    store.set_batch("b", 1, None)
    assert {job.locks for job in store.find(Selector())} == {("batch:b", "gpu")}
    finish(store, grip, running, exit_code=1)
    store.change(["dead", "running", "cancelled"], Retried(), "me")
    store.set_lock(Lock("gpu", numbered(4)))
    assert len(store.claim(grip, HOST, 5, ())) == 1
    store.set_batch("b", 3, None)
    assert len(store.claim(grip, HOST, 5, ())) == 2


def test_the_limit_of_a_batch_is_the_capacity_of_its_lock(store: Store) -> None:
    store.set_batch("b", 1, "3")
    store.set_batch("c", None, "3")
    for name in "bc":
        store.set_lock(Lock(f"batch:{name}", numbered(5)))
    assert [batch.at_most for batch in store.batches()] == [5, None]
    store.delete_lock("batch:b")
    assert (store.at_most("b"), store.lock("batch:b").capacity) == (1, 1)


def test_what_is_set_for_a_batch_goes_with_its_last_job(store: Store) -> None:
    store.set_batch("b", 2, "1")
    store.insert(of_batch("a", "c"))
    store.delete(["a"])
    store.settle()
    assert store.at_most("b") == 2
    store.delete(["c"])
    store.settle()
    assert (store.batches(), store.locks()) == ([], [])


def test_a_clone_does_not_wait_for_a_batch_that_is_gone(store: Store) -> None:
    store.insert([*of_batch("a", priority=1), a_job("other", batch="c"), a_job("gone")])
    store.insert([begun(a_job("after", depends_on=("batch:b", "batch:c", "gone:any")))])
    run(store, a_grip(store), 1)
    store.delete(["a", "gone"])
    store.settle()
    assert clone(store, "me", "after", {}).depends_on == ("batch:c",)


def test_retention_keeps_a_batch_that_somebody_waits_for(store: Store) -> None:
    store.insert([*of_batch("a", "c"), begun(a_job("next", depends_on=("batch:b",)))])
    run(store, a_grip(store), 0)
    assert store.prunable(Selector()) == store.prune(Selector(), 10) == 0
    store.change(["next"], CancelRequested(), "me")
    assert store.prunable(Selector()) == 2
    assert store.prune(Selector(), 10) == 2


def test_deleting_unfinished_jobs_of_a_batch_counts_as_a_cancel(store: Store) -> None:
    store.insert([*of_batch("a", "c"), begun(a_job("next", depends_on=("batch:b",)))])
    store.delete(["a"])
    store.settle()
    assert states(store, ("next",)) == ["blocked"]
    run(store, a_grip(store), 0)
    assert store.get("next").error == "batch b has failed"
    store.delete(["c"])
    store.settle()
    assert store.batches() == []


def test_two_last_jobs_that_end_at_once_strand_nobody(store_factory: StoreFactory) -> None:
    store, pairs = store_factory(), range(15)
    grips = [a_grip(store, f"w{side}~1") for side in "ab"]
    for pair in pairs:
        name = f"b{pair}"
        store.insert([a_job(f"{side}{pair}", batch=name, queue=side) for side in "ab"])
        store.insert([begun(a_job(f"next{pair}", depends_on=(f"batch:{name}",), queue="next"))])
    gate = Barrier(2)

    def end(side: int) -> None:
        with closing(store_factory.open_in_thread()) as own:
            jobs = own.claim(grips[side], HOST, len(pairs), ("ab"[side],))
            for job in sorted(jobs, key=lambda job: int(job.id[1:])):
                gate.wait()
                finish(own, grips[side], job)

    sides = [Thread(target=end, args=(side,)) for side in (0, 1)]
    for side in sides:
        side.start()
    for side in sides:
        side.join()
    store.settle()
    assert states(store, [f"next{pair}" for pair in pairs]) == ["pending"] * len(pairs)
