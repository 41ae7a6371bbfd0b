"""Unique jobs: who holds a key, and what becomes of a new job whose key is taken. Every store keeps these facts."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from queuectl.client.conflicts import add
from queuectl.domain.errors import Conflict, Invalid, KeyTaken
from queuectl.domain.job import Job, JobState, Spec
from queuectl.domain.lifecycle import CancelRequested, Held, Retried, begun
from queuectl.domain.selector import Selector
from queuectl.domain.unique import DELAYS_MAX, Fate, Rule
from queuectl.store.arrivals import Arrival
from queuectl.store.port import Store
from tests.builders import HOST, NOON, ManualClock, a_grip, a_job, claim_one, finish

IGNORE, ERROR, REPLACE = Rule.IGNORE, Rule.ERROR, Rule.REPLACE


def keyed(id: str, key: str = "k", *, unique_for: float | None = None, at: float = NOON, **fields: Any) -> Job:
    until = None if unique_for is None else at + unique_for
    spec = Spec(unique_for=unique_for, **fields.pop("spec", {}))
    return a_job(id, at=at, unique_key=key, unique_until=until, spec=spec, generated_id=True, **fields)


def enqueue(store: Store, job: Job, rule: Rule | None = None, delay: float | None = None) -> tuple[str, Fate]:
    ((found, fate),) = add(store, [Arrival(job, rule, delay)])
    return found.id, fate


def all_ids(store: Store) -> list[str]:
    return [job.id for job in store.find(Selector())]


def test_a_second_job_with_a_key_is_left_out_until_the_first_has_finished(store: Store) -> None:
    assert enqueue(store, keyed("a")) == ("a", Fate.ADDED)
    assert enqueue(store, keyed("b")) == ("a", Fate.LEFT_OUT)
    grip = a_grip(store)
    running = claim_one(store, grip)
    assert enqueue(store, keyed("c")) == ("a", Fate.LEFT_OUT)
    finish(store, grip, running, exit_code=1)
    assert enqueue(store, keyed("d")) == ("a", Fate.LEFT_OUT)  # it waits for its retry
    store.change(["a"], CancelRequested(), "me")
    assert enqueue(store, keyed("e")) == ("e", Fate.ADDED)
    assert all_ids(store) == ["a", "e"]
    assert store.get("e").unique_key == "k"


def test_a_key_is_held_for_its_time_even_when_its_job_has_finished(store: Store, clock: ManualClock) -> None:
    enqueue(store, keyed("a", unique_for=60))
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip))
    clock.forward(59)
    assert enqueue(store, keyed("b", at=clock.at)) == ("a", Fate.LEFT_OUT)
    assert enqueue(store, keyed("b", at=clock.at), REPLACE) == ("a", Fate.LEFT_OUT)
    assert store.prune(Selector(), 10) == 0  # whoever asks for the key is told its job
    clock.forward(1)
    assert enqueue(store, keyed("c", at=clock.at)) == ("c", Fate.ADDED)
    assert store.prune(Selector(), 10) == 1


def test_a_deleted_job_frees_its_key(store: Store) -> None:
    enqueue(store, keyed("a", unique_for=60))
    store.delete(["a"])
    assert enqueue(store, keyed("b")) == ("b", Fate.ADDED)
    assert all_ids(store) == ["b"]


def test_a_taken_key_is_refused_with_its_holder_and_nothing_is_added(store: Store) -> None:
    enqueue(store, keyed("a"))
    claim_one(store, a_grip(store))
    with pytest.raises(KeyTaken, match=r"^unique key 'k' is taken by job a \(starting\)"):
        add(store, [Arrival(a_job("plain")), Arrival(keyed("b", "other")), Arrival(keyed("c"), ERROR)])
    assert all_ids(store) == ["a"]
    assert enqueue(store, keyed("d", "other")) == ("d", Fate.ADDED)


def test_a_waiting_job_is_replaced_under_its_id(store: Store, clock: ManualClock) -> None:
    enqueue(store, keyed("a", tags=("old",), spec={"timeout": 5.0}))
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    store.change(["a"], Held(), "me")
    clock.forward(1)
    new = keyed(
        "b", at=clock.at, command=("echo", "new"), queue="q", priority=3, tags=("x",), locks=("gpu",),
        spec={"stdin": "/in"}, run_at=clock.at + 9, owner="you",
    )  # fmt: skip
    assert enqueue(store, new, REPLACE) == ("a", Fate.MERGED)
    a = store.get("a")
    assert (a.state, a.attempts, a.error, a.held, a.created_at) == (JobState.PENDING, 0, None, True, NOON)
    assert (a.command, a.spec, a.run_at, a.due_at) == (("echo", "new"), new.spec, clock.at + 9, clock.at + 9)
    assert (a.queue, a.priority, a.tags, a.locks, a.owner) == ("q", 3, ("x",), ("gpu",), "you")
    assert store.counts() == {("q", JobState.PENDING): 1}
    assert [note.kind for note in store.notes(a)] == ["Held", "Replaced"]
    assert len(store.attempts(a)) == 1
    store.delete(["a"])
    assert store.counts() == {}
    assert store._select("SELECT count(*) FROM {schema}.specs") == [(0,)]  # type: ignore[attr-defined]


def test_a_job_is_not_replaced_into_a_batch_that_it_waits_for(store: Store) -> None:
    store.insert([a_job("member", batch="b")])
    store.insert([begun(a_job("between", depends_on=("batch:b",)))])
    enqueue(store, begun(keyed("direct", "one", depends_on=("batch:b",))))
    enqueue(store, begun(keyed("over", "two", depends_on=("between:any",))))
    with pytest.raises(Invalid, match="job direct cannot wait for its own batch b"):
        enqueue(store, keyed("x", "one", batch="b"), REPLACE)
    with pytest.raises(Invalid, match="jobs wait for each other: over of batch b after between after batch:b"):
        enqueue(store, keyed("x", "two", batch="b"), REPLACE)
    assert [store.get(id).batch for id in ("direct", "over")] == [None, None]
    assert enqueue(store, keyed("x", "two", batch="c"), REPLACE) == ("over", Fate.MERGED)


def test_a_job_that_is_replaced_into_another_batch_decides_about_both(store: Store) -> None:
    store.set_batch("left", 2, None)
    store.insert([a_job("c", batch="joined"), a_job("gate", held=True)])
    enqueue(store, keyed("a", batch="left", held=True))
    after = {"any": ("batch:left:any",), "failed": ("batch:left:failed",), "later": ("batch:joined", "gate")}
    store.insert([begun(a_job(id, depends_on=refs, priority=-1)) for id, refs in after.items()])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip))
    store.settle()
    assert enqueue(store, keyed("b", batch="joined"), REPLACE) == ("a", Fate.MERGED)
    store.settle()
    assert [store.get(id).state for id in ("any", "failed")] == [JobState.PENDING, JobState.CANCELLED]
    assert [str(each) for each in store.parents(store.get("later"), undecided=True)] == [
        "batch joined",
        "job gate (held)",
    ]
    assert [batch.name for batch in store.batches()] == ["joined"]


def test_a_job_that_is_replaced_into_a_batch_that_has_failed_too_often_is_cancelled(store: Store) -> None:
    store.insert([a_job("dead", batch="b", spec=Spec(max_retries=0))])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    store.set_batch("b", None, "0")
    store.settle()
    enqueue(store, keyed("a", held=True))
    enqueue(store, keyed("c", batch="b"), REPLACE)
    store.settle()
    assert store.get("a").error == "batch b: more than 0 of its jobs are dead"


def test_replacing_with_a_delay_waits_for_calm_but_not_forever(store: Store, clock: ManualClock) -> None:
    def wish() -> float:
        enqueue(store, keyed("a", at=clock.at, run_at=clock.at + 10), REPLACE, delay=10)
        return store.get("a").due_at - clock.at

    enqueue(store, keyed("a", run_at=NOON + 10), REPLACE, delay=10)
    due = []
    for _ in range(DELAYS_MAX + 2):
        clock.forward(9)
        due.append(wish())
    assert due == [10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 1, -8]


def test_a_retried_job_needs_its_key_again(store: Store) -> None:
    enqueue(store, keyed("a"))
    store.change(["a"], CancelRequested(), "me")
    enqueue(store, keyed("b"))
    (refused,) = store.change(["a"], Retried(), "me")
    assert isinstance(refused, Conflict)
    assert refused.message == "job a cannot run again: its unique key 'k' is taken by job b (pending)"
    store.change(["b"], CancelRequested(), "me")
    (again,) = store.change(["a"], Retried(), "me")
    assert isinstance(again, Job)
    assert enqueue(store, keyed("c")) == ("a", Fate.LEFT_OUT)


def test_the_same_key_may_come_several_times_at_once(store: Store) -> None:
    def arrivals(rule: Rule) -> list[Arrival]:
        return [Arrival(keyed(f"{rule}{n}", rule.value, command=f"echo {n}"), rule) for n in range(3)] + [
            Arrival(a_job())
        ]

    assert [(job.id, fate) for job, fate in add(store, arrivals(IGNORE))] == [
        ("ignore0", Fate.ADDED), ("ignore0", Fate.LEFT_OUT), ("ignore0", Fate.LEFT_OUT), ("job1", Fate.ADDED),
    ]  # fmt: skip
    added = add(store, arrivals(REPLACE)[:3])
    assert [(job.id, fate) for job, fate in added] == [
        ("replace0", Fate.ADDED), ("replace0", Fate.MERGED), ("replace0", Fate.MERGED),
    ]  # fmt: skip
    assert store.get("replace0").command == "echo 2"
    with pytest.raises(Conflict, match="unique key 'error' comes twice"):
        add(store, arrivals(ERROR)[:3])
    assert all_ids(store) == ["ignore0", "job1", "replace0"]


def test_an_id_and_a_key_have_rules_of_their_own(store: Store) -> None:
    enqueue(store, keyed("a")._replace(generated_id=False))
    store.change(["a"], CancelRequested(), "me")
    with pytest.raises(Conflict, match="job a exists already"):
        enqueue(store, keyed("a")._replace(generated_id=False))
    assert enqueue(store, keyed("a")._replace(generated_id=False), IGNORE) == ("a", Fate.ID_THERE)
    assert enqueue(store, keyed("b")) == ("b", Fate.ADDED)


def test_of_a_running_job_one_successor_waits_the_newest(store: Store) -> None:
    enqueue(store, keyed("a"))
    grip = a_grip(store)
    running = claim_one(store, grip)
    assert enqueue(store, keyed("b"), REPLACE) == ("b", Fate.NEXT)
    assert enqueue(store, keyed("c", command="newest"), REPLACE) == ("b", Fate.MERGED)
    assert enqueue(store, keyed("d")) == ("b", Fate.LEFT_OUT)
    b = store.get("b")
    assert (b.state, b.depends_on, b.command) == (JobState.BLOCKED, ("a:any",), "newest")
    assert store.claim(grip, HOST, 1, ()) == []
    finish(store, grip, running, exit_code=1)  # it waits for its retry: it has not ended
    assert store.get("b").state is JobState.BLOCKED
    store.change(["a"], CancelRequested(), "me")
    assert claim_one(store, grip).id == "b"
    assert enqueue(store, keyed("e"), REPLACE) == ("e", Fate.NEXT)
    (refused,) = store.change(["a"], Retried(), "me")
    assert isinstance(refused, KeyTaken)


def test_a_key_stays_with_the_running_job_when_its_successor_goes(store: Store) -> None:
    enqueue(store, keyed("a"))
    grip = a_grip(store)
    running = claim_one(store, grip)
    enqueue(store, keyed("b"), REPLACE)
    store.change(["b"], CancelRequested(), "me")
    assert enqueue(store, keyed("c")) == ("a", Fate.LEFT_OUT)
    (refused,) = store.change(["b"], Retried(), "me")
    assert isinstance(refused, KeyTaken)
    assert enqueue(store, keyed("d"), REPLACE) == ("d", Fate.NEXT)
    store.delete(["d"])
    assert enqueue(store, keyed("e")) == ("a", Fate.LEFT_OUT)
    finish(store, grip, running)
    assert enqueue(store, keyed("f")) == ("f", Fate.ADDED)


def test_a_job_that_its_dependency_revives_needs_its_key_again(store: Store) -> None:
    enqueue(store, a_job("parent"))
    enqueue(store, begun(keyed("a", depends_on=("parent",))))
    store.change(["parent"], CancelRequested(), "me")
    assert store.get("a").state is JobState.CANCELLED
    enqueue(store, keyed("b"))
    store.change(["parent"], Retried(), "me")
    a = store.get("a")
    assert (a.state, a.error) == (
        JobState.CANCELLED,
        "job a cannot run again: its unique key 'k' is taken by job b (pending)",
    )
    store.delete(["b"])
    store.change(["parent"], CancelRequested(), "me")
    store.change(["parent"], Retried(), "me")
    assert store.get("a").state is JobState.BLOCKED


def test_of_two_jobs_with_a_key_one_is_retried_at_a_time(store: Store) -> None:
    for id in ("a", "b"):
        enqueue(store, keyed(id))
        store.change([id], CancelRequested(), "me")
    first, second = store.change(["a", "b"], Retried(), "me")
    assert isinstance(first, Job)
    assert isinstance(second, KeyTaken)


def test_a_key_that_a_finished_job_keeps_is_not_said_to_be_replaced(store: Store) -> None:
    enqueue(store, keyed("b"))
    store.change(["b"], CancelRequested(), "me")
    enqueue(store, keyed("a", unique_for=60))
    store.change(["a"], CancelRequested(), "me")
    free = "its key is free once its unique-for is over, or it is deleted"
    with pytest.raises(KeyTaken, match=r"by job a \(cancelled\)") as refused:
        add(store, [Arrival(keyed("c"), ERROR)])
    assert refused.value.hint == f"keep that one with on_conflict=ignore; {free}"
    (again,) = store.change(["b"], Retried(), "me")
    assert isinstance(again, KeyTaken)
    assert again.hint == free
    assert pickle.loads(pickle.dumps(again)).hint == free


def test_a_finished_successor_does_not_hide_the_job_that_runs(store: Store) -> None:
    enqueue(store, keyed("a"))
    running = claim_one(store, a_grip(store))
    enqueue(store, keyed("b", unique_for=60), REPLACE)
    store.change(["b"], CancelRequested(), "me")
    (refused,) = store.change(["b"], Retried(), "me")
    assert isinstance(refused, KeyTaken)
    assert enqueue(store, keyed("c")) == (running.id, Fate.LEFT_OUT)


def test_what_replaces_a_job_that_has_run_expires_too(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    enqueue(store, keyed("a", start_by=NOON + 60))
    finish(store, grip, claim_one(store, grip), exit_code=1)
    assert enqueue(store, keyed("b", start_by=NOON + 90), Rule.REPLACE) == ("a", Fate.MERGED)
    assert store.next_due() == NOON + 90
    clock.forward(90)
    assert store.claim(grip, HOST, 1, ()) == []
    assert store.get("a").error == "expired: not started by 2027-01-15T08:01:30Z"


def test_a_job_that_has_expired_holds_its_key_no_more(store: Store, clock: ManualClock) -> None:
    """Though no worker has cancelled it yet."""
    enqueue(store, keyed("a", start_by=NOON + 60))
    assert enqueue(store, keyed("b"), IGNORE) == ("a", Fate.LEFT_OUT)
    clock.forward(60)
    assert enqueue(store, keyed("b", at=NOON + 60), ERROR) == ("b", Fate.ADDED)
    for refused in (
        *store.change(["a"], Retried(), "ann"),
        *store.edit(["a"], lambda _: ({"start_by": None}, "x"), "ann"),
    ):
        assert isinstance(refused, KeyTaken)
    assert not isinstance(store.change(["a"], Held(), "ann")[0], KeyTaken)
    assert store.claim(a_grip(store), HOST, 9, ())[0].id == "b"
    assert store.get("a").state is JobState.CANCELLED


def test_a_job_that_has_expired_can_be_retried_while_nobody_else_has_its_key(store: Store, clock: ManualClock) -> None:
    enqueue(store, keyed("a", start_by=NOON + 60))
    clock.forward(60)
    store.change(["a"], Retried(), "ann")
    assert enqueue(store, keyed("b", at=NOON + 60), IGNORE) == ("a", Fate.LEFT_OUT)
    assert claim_one(store, a_grip(store)).id == "a"
