"""Changing what waits: by keys, by text in the command, in line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from queuectl import Conflict, Invalid, NotFound
from queuectl.domain.errors import StoreBusy
from queuectl.domain.job import Job, JobState, Spec
from queuectl.domain.lifecycle import CancelRequested, GivenBack
from queuectl.domain.limits import Queue
from queuectl.store.port import Store
from queuectl.store.values import Change, Note
from tests.builders import HOST, NOON, ManualClock, a_grip, a_job, claim_one, finish
from tests.conformance.conftest import StoreFactory
from tests.conformance.test_client import AnyClient, anywhere, server  # noqa: F401


def edit(store: Store, id: str, **values: Any) -> Job:
    """The job after a change of these attributes."""
    (after,) = store.edit([id], lambda _: (values, f"{', '.join(values)}"), "me")
    if not isinstance(after, Job):
        raise after
    assert after == store.get(id)
    return after


def ids_of(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


# --- the store ------------------------------------------------------------------------------


def test_an_edit_is_written_counted_and_noted(store: Store, clock: ManualClock) -> None:
    store.insert([a_job("a"), a_job("b")])
    clock.forward(5)
    spec = Spec(timeout=9, env={"A": "é"})
    after = edit(store, "a", command=("echo", "x y"), queue="video", priority=7, tags=("t",), spec=spec)
    assert (after.state, after.updated_at, after.lease) == (JobState.PENDING, NOON + 5, 0)
    assert (after.command, after.queue, after.priority, after.tags, after.spec) == (
        ("echo", "x y"), "video", 7, ("t",), spec
    )  # fmt: skip
    assert edit(store, "a", command="true").command == "true"
    assert store.counts() == {("default", JobState.PENDING): 1, ("video", JobState.PENDING): 1}
    assert store.notes(after)[0] == Note(NOON + 5, "Edited", "me", "command, queue, priority, tags, spec")
    assert ids_of(store.claim(a_grip(store), HOST, 9, ("video",))) == ["a"]


def test_a_spec_that_no_job_has_any_more_is_forgotten(store: Store) -> None:
    store.insert([a_job("a", spec=Spec(timeout=1)), a_job("b", spec=Spec(timeout=1)), a_job("c")])
    for id in "ab":
        edit(store, id, spec=Spec(timeout=2))
    edit(store, "a", spec=Spec())
    assert [store.get(id).spec.timeout for id in "abc"] == [None, 2, None]
    kept = store._select("SELECT body FROM {schema}.specs")  # type: ignore[attr-defined]
    assert len(kept) == 2
    store.delete(["a", "b", "c"])
    assert store._select("SELECT body FROM {schema}.specs") == []  # type: ignore[attr-defined]


def test_a_time_given_to_a_failed_job_is_that_of_its_retry(store: Store, clock: ManualClock) -> None:
    store.insert([a_job("b", spec=Spec(backoff_initial=600))])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    failed = edit(store, "b", run_at=NOON + 5)
    assert (failed.state, failed.due_at) == (JobState.FAILED, NOON + 5)
    clock.forward(6)
    assert ids_of(store.claim(grip, HOST, 5, ())) == ["b"]


def test_an_edit_of_what_runs_or_is_unknown_changes_nothing(store: Store) -> None:
    store.insert([a_job("a"), a_job("b")])
    claimed = claim_one(store, a_grip(store))
    running, missing, changed = store.edit(["a", "x", "b"], lambda _: ({"priority": 5}, "priority"), "me")
    assert isinstance(running, Conflict)
    assert isinstance(missing, NotFound)
    assert isinstance(changed, Job)
    assert store.get("a") == claimed
    assert store.notes(claimed) == []


def test_a_changed_lock_leaves_its_line_and_opens_it(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(id, at=NOON, locks=("gpu",)) for id in "abc"])
    holder = claim_one(store, grip)
    assert store.claim(grip, HOST, 5, ()) == []
    edit(store, "c", locks=("disk",))
    assert ids_of(store.claim(grip, HOST, 5, ())) == ["c"]
    edit(store, "b", queue="other")
    assert store.claim(grip, HOST, 5, ()) == []
    finish(store, grip, holder)
    assert ids_of(store.claim(grip, HOST, 5, ())) == ["b"]


def test_a_job_moved_to_a_full_queue_waits_there(store: Store) -> None:
    store.set_queue(Queue("q", concurrency=1))
    grip = a_grip(store)
    store.insert([a_job("a", queue="q"), a_job("b"), a_job("c")])
    assert ids_of(store.claim(grip, HOST, 1, ("q",))) == ["a"]
    edit(store, "b", queue="q")
    assert ids_of(store.claim(grip, HOST, 5, ())) == ["c"]
    finish(store, grip, store.get("a"))
    assert ids_of(store.claim(grip, HOST, 5, ())) == ["b"]


def test_what_claims_decide_by_changes_between_claims_only(store_factory: StoreFactory) -> None:
    store, other = store_factory(), store_factory.impatient()
    store.insert([a_job("a"), a_job("b", queue="q")])
    grip = a_grip(store)
    with store.transaction():
        assert ids_of(store.claim(grip, HOST, 1, ("q",))) == ["b"]
        with pytest.raises(StoreBusy):
            edit(other, "a", locks=("gpu",))
    assert edit(other, "a", locks=("gpu",)).locks == ("gpu",)


def test_a_job_is_claimed_as_edited_or_its_edit_is_refused(store_factory: StoreFactory) -> None:
    main = store_factory()
    ids = [f"j{number}" for number in range(80)]
    main.insert([a_job(id) for id in ids])
    grip = a_grip(main)

    def edit_all() -> dict[str, bool]:
        store = store_factory.open_in_thread()
        changes = {"command": "new", "queue": "q", "spec": Spec(nice=5)}
        done = {id: isinstance(store.edit([id], lambda _: (changes, "all"), "me")[0], Job) for id in reversed(ids)}
        store.close()
        return done

    def claim_all() -> list[Job]:
        store, claimed = store_factory.open_in_thread(), list[Job]()
        while len(claimed) < len(ids):
            claimed += store.claim(grip, HOST, 3, ())
        store.close()
        return claimed

    with ThreadPoolExecutor(2) as pool:
        edits, claims = pool.submit(edit_all), pool.submit(claim_all)
        was_edited, claimed = edits.result(60), claims.result(60)
    for job in claimed:
        new = (job.command, job.queue, job.spec.nice)
        assert new == (("new", "q", 5) if was_edited[job.id] else ("true", "default", None))
        assert main.get(job.id) == job
    assert sum(main.counts().values()) == len(ids)


# --- the order in line ----------------------------------------------------------------------


def line_of(store: Store) -> list[str]:
    """The jobs in the order in which a worker gets them, who gives them back."""
    grip = a_grip(store, f"w~{id(store)}") if not store.workers() else store.workers()[0].grip
    claimed = store.claim(grip, HOST, 100, ())
    store.record(grip, [Change(job=job, event=GivenBack()) for job in claimed])
    return ids_of(claimed)


def test_a_job_is_moved_before_another_and_takes_its_priority(store: Store, clock: ManualClock) -> None:
    store.insert([a_job(id, at=NOON + at) for id, at in (("a", 0), ("b", 1), ("c", 2), ("d", 3))])
    store.insert([a_job("top", at=NOON + 4, priority=5), a_job("last", at=NOON + 5)])
    clock.forward(10)
    moved = store.move("d", "b", "me")
    assert line_of(store) == ["top", "a", "d", "b", "c", "last"]
    assert store.notes(moved)[-1] == Note(NOON + 10, "Moved", "me", "before b")
    store.move("c", "b", "me")
    assert line_of(store) == ["top", "a", "d", "c", "b", "last"]
    assert store.move("last", "top", "me").priority == 5
    assert line_of(store) == ["last", "top", "a", "d", "c", "b"]
    store.move("top", "b", "me")
    assert line_of(store) == ["last", "a", "d", "c", "top", "b"]
    store.move("b", None, "me")
    assert line_of(store) == ["b", "last", "a", "d", "c", "top"]
    notes = len(store.notes(store.get("b")))
    store.move("b", None, "me")
    assert (line_of(store)[0], len(store.notes(store.get("b")))) == ("b", notes)


def test_a_job_is_moved_between_jobs_of_one_moment(store: Store, clock: ManualClock) -> None:
    names = [f"j{number}" for number in range(6)]
    store.insert([a_job(id) for id in names])
    store.insert([a_job("late", at=NOON + 1)])
    clock.forward(10)
    store.move("late", "j3", "me")
    assert line_of(store) == ["j0", "j1", "j2", "late", "j3", "j4", "j5"]
    store.move("j0", "j5", "me")
    assert line_of(store) == ["j1", "j2", "late", "j3", "j4", "j0", "j5"]
    for _ in range(60):  # until two times have no room between them
        store.move("j1", "j3", "me")
        store.move("late", "j3", "me")
    assert set(line_of(store)[:4]) == {"j2", "j1", "late", "j3"}
    assert line_of(store)[3:] == ["j3", "j4", "j0", "j5"]


def test_a_moved_job_keeps_its_place_until_it_is_changed_or_runs_again(store: Store, clock: ManualClock) -> None:
    store.insert([a_job("a"), a_job("b", at=NOON + 1, spec=Spec(max_retries=1, backoff_initial=100))])
    clock.forward(10)
    store.move("b", None, "me")
    grip = a_grip(store)
    job = claim_one(store, grip)
    assert (job.id, job.due_at < NOON) == ("b", True)
    store.record(grip, [Change(job=job, event=GivenBack())])
    assert claim_one(store, grip).id == "b"
    finish(store, grip, store.get("b"), exit_code=1)
    clock.forward(200)
    store.insert([a_job("c", at=NOON + 12)])
    assert line_of(store) == ["a", "c", "b"]
    store.move("b", "c", "me")
    assert (store.get("b").state, line_of(store)) == (JobState.FAILED, ["a", "b", "c"])
    store.move("c", None, "me")
    assert line_of(store)[0] == "c"
    edit(store, "c", priority=0)
    assert line_of(store) == ["a", "c", "b"]


def test_a_job_is_moved_within_the_line_of_a_lock(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(id, locks=("gpu",)) for id in "abcd"])
    holder = claim_one(store, grip)
    assert store.claim(grip, HOST, 5, ()) == []
    store.move("d", "c", "me")
    assert store.claim(grip, HOST, 5, ()) == []
    order = []
    for _ in range(3):
        finish(store, grip, holder)
        holder = claim_one(store, grip)
        order.append(holder.id)
    assert order == ["b", "d", "c"]


def test_what_stands_in_no_line_is_not_moved(store: Store) -> None:
    store.insert([a_job("run"), a_job("a", priority=-1), a_job("other", queue="q"), a_job("later", run_at=NOON + 60)])
    assert claim_one(store, a_grip(store)).id == "run"
    for ref, before in (("run", None), ("a", "run"), ("later", None), ("a", "later"), ("a", "other")):
        with pytest.raises(Conflict):
            store.move(ref, before, "me")
    with pytest.raises(Invalid, match="before itself"):
        store.move("a", "a", "me")
    with pytest.raises(NotFound):
        store.move("a", "nobody", "me")
    assert store.move("a", None, "me") == store.get("a")


# --- people ---------------------------------------------------------------------------------


def test_keys_of_a_waiting_job_are_set_and_lifted(anywhere: AnyClient) -> None:  # noqa: F811
    anywhere.enqueue(
        command="convert in.png out.png", id="a", timeout="1h", tags=["x"], env={"A": "1", "C": "3"}, backoff_base=3,
        cwd="/tmp",
    )  # fmt: skip
    done = anywhere.set(
        "a",
        {"priority": 5, "timeout": None, "tags": None, "env": {"B": "2", "C": None}, "max_retries": "7", "delay": "1h"},
        replace=("in.png", "new.png"),
    )  # fmt: skip
    (job,) = done.jobs
    assert (job.command, job.priority, job.tags) == ("convert new.png out.png", 5, ())
    spec = job.spec
    assert (spec.timeout, spec.max_retries, spec.backoff_base, spec.cwd) == (None, 7, 3, "/tmp")
    assert (spec.env["A"], spec.env["B"], "C" in spec.env) == ("1", "2", False)
    assert job.run_at - job.updated_at == pytest.approx(3600, abs=30)
    note = anywhere.history("a").notes[-1]
    assert (note.kind, note.who is not None) == ("Edited", True)
    assert note.detail is not None
    for told in ("priority: 0 → 5", "timeout: 1h → none", "tags: x → none", "env: C, B", "max_retries: 3 → 7"):
        assert told in note.detail
    assert "command: convert in.png out.png → convert new.png out.png" in note.detail
    assert anywhere.set("a", {"command": ["true"]}).jobs[0].command == ("true",)
    notes = len(anywhere.history("a").notes)
    anywhere.set("a", {"priority": 5})
    assert len(anywhere.history("a").notes) == notes


def test_bad_changes_are_refused_and_change_nothing(anywhere: AnyClient) -> None:  # noqa: F811
    job = anywhere.enqueue(command="true", id="a", retry_on=[75])
    wrong: dict[str, Any]
    for wrong in (
        {}, {"priority": "x"}, {"max_retries": None}, {"id": "b"}, {"state": "dead"}, {"nope": 1}, {"command": ""},
        {"run_at": "2030-01-01T00:00:00Z", "delay": "1h"}, {"start_by": None, "expires": "1h"}, {"queue": "a b"},
    ):  # fmt: skip
        with pytest.raises(Invalid):
            anywhere.set("a", wrong)
    for refused in (
        anywhere.set("a", {"locks": ["gpu=2"]}), anywhere.set("a", {"fatal_on": [75]}),
        anywhere.set("a", replace=("true", " ")),
    ):  # fmt: skip
        assert isinstance(refused.refused[0], Invalid)
    with pytest.raises(Invalid):
        anywhere.set("a", {"command": "true"}, replace=("x", "y"))
    assert isinstance(anywhere.set("a", replace=("x", "y")).refused[0], Conflict)
    assert isinstance(anywhere.set("nobody", {"priority": 1}).refused[0], NotFound)
    assert anywhere.job("a")._replace(seq=0) == job._replace(seq=0)


def test_an_expiry_follows_the_time_of_a_job(anywhere: AnyClient) -> None:  # noqa: F811
    anywhere.enqueue(command="true", id="a", expires="10m")
    later = "2030-01-01T00:00:00Z"
    (job,) = anywhere.set("a", {"run_at": later}).jobs
    assert job.start_by == job.run_at + 600
    (job,) = anywhere.set("a", {"expires": "20m"}).jobs
    assert job.start_by == job.run_at + 1200
    (job,) = anywhere.set("a", {"start_by": "2030-01-02T00:00:00Z"}).jobs
    assert (job.start_by, job.spec.expires) == (job.run_at + 86400, None)
    (job,) = anywhere.set("a", {"start_by": None}).jobs
    assert (job.start_by, job.spec.expires) == (None, None)


def test_other_locks_leave_a_job_to_the_limit_of_its_batch(anywhere: AnyClient) -> None:  # noqa: F811
    anywhere.enqueue(command="true", id="a", batch="b", at_most=1)
    assert anywhere.job("a").locks == ("batch:b",)
    assert anywhere.set("a", {"locks": ["gpu"]}).jobs[0].locks == ("batch:b", "gpu")
    assert anywhere.set("a", {"locks": None}).jobs[0].locks == ("batch:b",)
    with pytest.raises(Invalid, match="batch cannot be changed later"):
        anywhere.set("a", {"batch": "c"})


def test_people_move_jobs_in_line(anywhere: AnyClient) -> None:  # noqa: F811
    for id in "abc":
        anywhere.enqueue(command="true", id=id)
    assert anywhere.move("c", before="b").id == "c"
    assert anywhere.move("b", front=True).id == "b"
    with pytest.raises(Invalid):
        anywhere.move("a")
    with pytest.raises(Invalid):
        anywhere.move("a", before="b", front=True)
    with pytest.raises(NotFound):
        anywhere.move("a", before="x")
    note = anywhere.history("b").notes[-1]
    assert (note.kind, note.detail) == ("Moved", "to the front")


def test_what_has_ended_is_changed_for_its_retry_only(anywhere: AnyClient) -> None:  # noqa: F811
    anywhere.enqueue(command="flase", id="a")
    anywhere.cancel("a")
    assert anywhere.set("a", replace=("flase", "false")).jobs[0].state is JobState.CANCELLED
    (refused,) = anywhere.set("a", {"run_at": "2030-01-01T00:00:00Z"}).refused
    assert isinstance(refused, Conflict)
    assert anywhere.retry("a").jobs[0].command == "false"


def test_a_completed_job_stays_as_it_ran(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip))
    with pytest.raises(Conflict, match="completed and cannot be changed"):
        edit(store, "job1", command="other")
    store.insert([a_job("b")])
    claimed = claim_one(store, grip)
    store.change(["b"], CancelRequested(), "me")
    with pytest.raises(Conflict, match="processing and cannot be changed"):
        edit(store, "b", priority=1)
    store.record(grip, [Change(job=claimed, event=GivenBack())])
