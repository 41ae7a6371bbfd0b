"""Jobs that wait for others: what an end, a retry and a removal mean for dependents."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.domain.dependency import Dependency, Wants, in_order, parse
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import CancelRequested, Released, Retried, Settled, apply, begun
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.store.values import Grip
from tests.builders import a_grip, a_job, an_end
from tests.conformance.test_gates import claim, end
from tests.workshop import until

BLOCKED, PENDING, COMPLETED = JobState.BLOCKED, JobState.PENDING, JobState.COMPLETED
DEAD, CANCELLED = JobState.DEAD, JobState.CANCELLED


def add(store: Store, id: str, *after: str, **fields: Any) -> Job:
    """A new job that depends on others, as it is once it has been added."""
    job = begun(a_job(id, at=store.now(), depends_on=after, **fields))
    return store.insert([job]).get(id, job)


def fail(store: Store, grip: Grip, id: str) -> Job:
    return end(store, grip, id, an_end(store.now(), exit_code=1))


def states(store: Store) -> dict[str, JobState]:
    return {job.id: job.state for job in store.find(Selector())}


@pytest.fixture
def grip(store: Store) -> Grip:
    return a_grip(store)


def never(**fields: Any) -> dict[str, Any]:
    """The fields of a job that is dead after one failure."""
    return {"spec": a_job().spec._replace(max_retries=0), **fields}


def test_a_dependent_starts_once_its_job_has_completed(store: Store, grip: Grip) -> None:
    add(store, "a")
    add(store, "b", "a")
    assert store.get("b").state is BLOCKED
    assert claim(store, grip) == ["a"]
    end(store, grip, "a")
    assert claim(store, grip) == ["b"]


def test_what_an_end_releases_is_claimed_in_its_transaction(store: Store, grip: Grip) -> None:
    add(store, "a")
    add(store, "b", "a")
    claim(store, grip)
    with store.transaction():
        end(store, grip, "a")
        assert claim(store, grip) == ["b"]


def test_a_failed_attempt_decides_nothing_until_the_job_is_dead(store: Store, grip: Grip, clock: Any) -> None:
    add(store, "a", spec=a_job().spec._replace(max_retries=1))
    add(store, "b", "a")
    claim(store, grip)
    fail(store, grip, "a")
    assert store.get("b").state is BLOCKED
    clock.forward(60)
    claim(store, grip)
    fail(store, grip, "a")
    b = store.get("b")
    assert (b.state, b.error) == (CANCELLED, "job a is dead")


@pytest.mark.parametrize(
    ("wants", "well", "badly"), [("", PENDING, CANCELLED), (":any", PENDING, PENDING), (":failed", CANCELLED, PENDING)]
)
def test_a_dependency_says_how_its_job_has_to_end(
    store: Store, grip: Grip, wants: str, well: JobState, badly: JobState
) -> None:
    for id, code in (("good", 0), ("bad", 1)):
        add(store, id, **never(priority=1))
        add(store, f"{id}-late", id + wants)
        claim(store, grip, 1)
        end(store, grip, id, an_end(store.now(), exit_code=code))
        assert add(store, f"{id}-later", id + wants).state is store.get(f"{id}-late").state
    assert (store.get("good-late").state, store.get("bad-late").state) == (well, badly)


def test_all_dependencies_have_to_be_met(store: Store, grip: Grip) -> None:
    for id in "abc":
        add(store, id)
    add(store, "d", "a", "b", "c")
    claim(store, grip)
    end(store, grip, "b")
    end(store, grip, "c")
    assert (store.get("d").state, store.get("d").unmet) == (BLOCKED, 1)
    end(store, grip, "a")
    assert (store.get("d").state, store.get("d").unmet) == (PENDING, 0)


def test_a_cancel_goes_all_the_way_down(store: Store) -> None:
    add(store, "a")
    for parent, child in ("ab", "bc", "cd"):
        add(store, child, parent)
    store.change(["a"], CancelRequested(), "me")
    assert set(states(store).values()) == {CANCELLED}
    assert [store.get(id).error for id in "bcd"] == ["job a is cancelled", "job b is cancelled", "job c is cancelled"]


def test_why_a_dependent_was_cancelled_is_an_event(store: Store, grip: Grip) -> None:
    add(store, "a", **never())
    add(store, "b", "a")
    add(store, "c", "b")
    claim(store, grip)
    fail(store, grip, "a")
    add(store, "d", "a")
    assert {id: [note[1:] for note in store.notes(store.get(id))] for id in "abcd"} == {
        "a": [],
        "b": [("CancelRequested", None, "job a is dead")],
        "c": [("CancelRequested", None, "job b is cancelled")],
        "d": [("CancelRequested", None, "job a is dead")],
    }
    assert store.deeds(10) == []
    store.change(["a"], Retried(), "me")
    claim(store, grip)
    fail(store, grip, "a")
    assert len(store.notes(store.get("c"))) == 2


def test_a_new_job_after_a_dead_one_is_cancelled_at_once(store: Store, grip: Grip) -> None:
    add(store, "a", **never())
    claim(store, grip)
    fail(store, grip, "a")
    b = add(store, "b", "a")
    assert (b.state, b.error) == (CANCELLED, "job a is dead")
    assert store.get("b") == b


def test_jobs_added_together_may_depend_on_each_other(store: Store, grip: Grip) -> None:
    add(store, "dead", **never())
    claim(store, grip)
    fail(store, grip, "dead")
    new = [("c", "b"), ("b", "dead"), ("a", "b:any"), ("z", "a"), ("y", "c:failed")]
    changed = store.insert([begun(a_job(id, at=store.now(), depends_on=(on,))) for id, on in new])
    assert states(store) | {"dead": DEAD} == {
        "dead": DEAD, "b": CANCELLED, "c": CANCELLED, "a": PENDING, "z": BLOCKED, "y": PENDING,
    }  # fmt: skip
    assert changed["c"].error == "job b is cancelled"


def test_a_job_after_an_unknown_one_is_not_added(store: Store) -> None:
    with pytest.raises(NotFound, match="no job nix"):
        add(store, "a", "nix")
    assert states(store) == {}


def test_a_prefix_of_a_generated_id_is_completed(store: Store) -> None:
    store.insert([a_job("abcdef", at=store.now(), generated_id=True)])
    assert add(store, "b", "abcd:any").depends_on == ("abcdef:any",)
    assert store.get("b").depends_on == ("abcdef:any",)


def test_a_job_that_waits_for_another_is_due_with_those_of_its_time(store: Store, grip: Grip, clock: Any) -> None:
    add(store, "a")
    add(store, "b", "a")
    claim(store, grip)
    clock.forward(5)
    add(store, "later")
    end(store, grip, "a")
    assert claim(store, grip) == ["b", "later"]


def test_a_held_dependent_stays_held(store: Store, grip: Grip) -> None:
    add(store, "a")
    add(store, "b", "a", held=True)
    claim(store, grip)
    end(store, grip, "a")
    assert store.get("b").state is PENDING
    assert claim(store, grip) == []


def test_more_dependents_than_a_slice_are_released_step_by_step(store: Store, grip: Grip) -> None:
    add(store, "a")
    store.insert(begun(a_job(f"b{n}", at=store.now(), depends_on=("a",))) for n in range(2500))
    claim(store, grip)
    end(store, grip, "a")
    assert store.count(Selector(states=(BLOCKED,))) == 1500
    assert store.has_work(())
    claim(store, grip, 1)
    assert store.count(Selector(states=(BLOCKED,))) == 500
    assert store.next_due() is not None

    def are_free() -> bool:
        claim(store, grip, 1)
        return not store.count(Selector(states=(BLOCKED,)))

    until(are_free, "the last slice, after a pause for other claims")


# --- retries --------------------------------------------------------------------------------


def retry(store: Store, *ids: str) -> None:
    for each in store.change(ids, Retried(), "me"):
        assert isinstance(each, Job), each


def a_dead_chain(store: Store, grip: Grip) -> None:
    """a is dead, and b, c and d, each after the last, are cancelled."""
    add(store, "a", **never())
    for parent, child in ("ab", "bc", "cd"):
        add(store, child, parent)
    claim(store, grip)
    fail(store, grip, "a")
    assert states(store) == {"a": DEAD, "b": CANCELLED, "c": CANCELLED, "d": CANCELLED}


def test_a_retry_revives_what_the_failure_had_cancelled(store: Store, grip: Grip) -> None:
    a_dead_chain(store, grip)
    retry(store, "a")
    assert states(store) == {"a": PENDING, "b": BLOCKED, "c": BLOCKED, "d": BLOCKED}
    assert store.get("b").error is None
    for id in "abcd":
        assert claim(store, grip) == [id]
        end(store, grip, id)


def test_a_dependent_of_two_dead_jobs_revives_once_both_are_retried(store: Store, grip: Grip) -> None:
    for id in "ab":
        add(store, id, **never())
    add(store, "c", "a", "b")
    add(store, "d", "c")
    claim(store, grip)
    for id in "ab":
        fail(store, grip, id)
    retry(store, "a")
    assert (store.get("c").state, store.get("c").error) == (CANCELLED, "job b is dead")
    assert claim(store, grip) == ["a"]
    end(store, grip, "a")
    retry(store, "b")
    assert [store.get(id).state for id in "cd"] == [BLOCKED, BLOCKED]
    assert (claim(store, grip), end(store, grip, "b").state) == (["b"], COMPLETED)
    assert claim(store, grip) == ["c"]


def test_a_retry_leaves_what_a_person_had_cancelled(store: Store, grip: Grip) -> None:
    add(store, "a", **never())
    add(store, "b", "a")
    add(store, "c", "b:any")
    store.change(["b"], CancelRequested(), "me")
    assert store.get("c").state is PENDING
    claim(store, grip, 1)
    fail(store, grip, "a")
    assert store.get("b").error == "cancelled"
    retry(store, "a")
    assert (store.get("b").state, store.get("c").state) == (CANCELLED, PENDING)


def test_a_retried_dependent_waits_again_for_what_has_not_ended(store: Store, grip: Grip) -> None:
    add(store, "a")
    add(store, "b", "a")
    claim(store, grip)
    store.change(["b"], CancelRequested(), "me")
    retry(store, "b")
    assert (store.get("b").state, store.get("b").unmet) == (BLOCKED, 1)
    end(store, grip, "a")
    assert claim(store, grip) == ["b"]


def test_a_retried_dependent_of_a_dead_job_is_cancelled_at_once(store: Store, grip: Grip) -> None:
    a_dead_chain(store, grip)
    (b,) = store.change(["b"], Retried(), "me")
    assert isinstance(b, Job)
    assert (b.state, b.error) == (CANCELLED, "job a is dead")
    retry(store, "a")
    assert store.get("b").state is BLOCKED


def test_jobs_retried_together_wait_for_each_other_in_any_order(store: Store, grip: Grip) -> None:
    a_dead_chain(store, grip)
    retry(store, "d", "b", "a", "c")
    assert states(store) == {"a": PENDING, "b": BLOCKED, "c": BLOCKED, "d": BLOCKED}


def test_what_has_completed_stays_when_its_job_runs_again(store: Store, grip: Grip) -> None:
    add(store, "a")
    add(store, "b", "a")
    for id in "ab":
        claim(store, grip)
        end(store, grip, id)
    retry(store, "a")
    assert store.get("b").state is COMPLETED
    assert claim(store, grip) == ["a"]
    fail(store, grip, "a")
    assert store.get("b").state is COMPLETED


def test_what_depends_on_jobs_is_found_over_others(store: Store) -> None:
    add(store, "a")
    add(store, "x")
    for parent, child in ("ab", "bc", "ad", "dc", "xy"):
        if child not in states(store):
            add(store, child, parent)
    assert [job.id for job in store.below(["a"])] == ["b", "c", "d"]


# --- removal --------------------------------------------------------------------------------


def test_a_deleted_job_counts_as_cancelled(store: Store) -> None:
    for id in "ab":
        add(store, id)
    add(store, "ok", "a")
    add(store, "any", "a:any")
    add(store, "failed", "b:failed")
    store.delete(["a", "b"])
    store.settle()
    assert states(store) == {"ok": CANCELLED, "any": PENDING, "failed": PENDING}
    assert store.get("ok").error == "job a was deleted"


def test_a_deleted_job_keeps_its_meaning(store: Store, grip: Grip) -> None:
    add(store, "a")
    store.insert(begun(a_job(f"b{n}", at=store.now(), depends_on=("a",))) for n in range(1500))
    claim(store, grip)
    end(store, grip, "a")
    store.delete(["a"])
    store.settle()
    assert set(states(store).values()) == {PENDING}


def test_retention_spares_what_an_unfinished_job_depends_on(store: Store, grip: Grip) -> None:
    add(store, "a")
    add(store, "b", "a")
    add(store, "other")
    add(store, "c", "other")
    claim(store, grip)
    for id in ("a", "other"):
        end(store, grip, id)
    assert claim(store, grip, 1) == ["b"]
    end(store, grip, "b")
    assert store.prune(Selector(), 10) == 2
    assert states(store) == {"other": COMPLETED, "c": PENDING}


def test_a_dependent_outlives_what_it_depended_on(store: Store, grip: Grip) -> None:
    a_dead_chain(store, grip)
    store.delete(["a"])
    store.settle()
    retry(store, "b")
    assert store.get("b").error == "job a is dead"


# --- files ----------------------------------------------------------------------------------


def test_jobs_come_after_those_they_depend_on() -> None:
    jobs = [a_job(id, depends_on=tuple(after)) for id, after in (("a", "c"), ("b", ""), ("c", "d"), ("d", "x"))]
    assert [job.id for job in in_order(jobs)] == ["d", "c", "a", "b"]


def test_jobs_that_wait_for_each_other_are_named() -> None:
    jobs = [a_job(id, depends_on=(after,)) for id, after in ("xa", "ab", "bc", "ca")]
    with pytest.raises(Invalid, match="jobs wait for each other: a after b after c after a"):
        in_order(jobs)
    with pytest.raises(Invalid, match="a after a"):
        in_order([a_job("a", depends_on=("a:any",))])


@pytest.mark.parametrize(
    ("text", "parsed", "again"),
    [
        ("a", Dependency("a"), "a"),
        ("a:ok", Dependency("a"), "a"),
        ("a:any", Dependency("a", Wants.ANY), "a:any"),
        ("a:any:ok", Dependency("a:any"), "a:any:ok"),
        ("batch:x", Dependency("x", is_batch=True), "batch:x"),
        ("batch:any:ok", Dependency("any", is_batch=True), "batch:any:ok"),
        ("batch", Dependency("batch"), "batch"),
        ("any", Dependency("any"), "any"),
    ],
)
def test_a_dependency_is_read_and_written(text: str, parsed: Dependency, again: str) -> None:
    assert (parse(text), str(parsed)) == (parsed, again)


def test_jobs_that_wait_for_each_other_are_not_added(store: Store) -> None:
    with pytest.raises(Invalid, match="a after b after a"):
        store.insert([begun(a_job(id, at=store.now(), depends_on=(after,))) for id, after in ("ab", "ba")])
    assert states(store) == {}


def test_a_job_knows_its_neighbours_and_their_number(store: Store, grip: Grip) -> None:
    for id in ("done", "open", "gone"):
        add(store, id, **never())
    add(store, "own", "done:any", "open", "gone:any")
    for number in range(5):
        add(store, f"child{number}", "own:failed" if number else "own")
    claim(store, grip)
    end(store, grip, "done")
    end(store, grip, "gone")
    store.delete(["gone"])
    found = store.neighbours(store.get("own"), 3)
    assert [(each.name, each.state, each.wants, each.verdict) for each in found.parents] == [
        ("open", JobState.PROCESSING, Wants.OK, None), ("done", COMPLETED, Wants.ANY, True),
        ("gone", None, Wants.ANY, True),
    ]  # fmt: skip
    assert [(each.name, each.state, each.wants) for each in found.children] == [
        ("child0", BLOCKED, Wants.OK), ("child1", BLOCKED, Wants.FAILED), ("child2", BLOCKED, Wants.FAILED)
    ]  # fmt: skip
    assert (found.parents_all, found.children_all) == (3, 5)
    assert store.neighbours(store.get("child0"), 9).children_all == 0


def test_many_alike_become_what_the_lifecycle_says_of_one(store: Store, grip: Grip, clock: Any) -> None:
    for id in "ab":
        add(store, id)
    plain = [a_job(f"p{n}", at=store.now(), depends_on=("a",), run_at=store.now() + 60 * (n % 2)) for n in range(4)]
    held = [a_job(f"h{n}", at=store.now(), depends_on=("a",), held=True) for n in range(2)]
    two = [a_job(f"t{n}", at=store.now(), depends_on=("a", "b")) for n in range(2)]
    store.insert([begun(job) for job in (*plain, *held, *two)])
    before = {job.id: job for job in store.find(Selector(states=(BLOCKED,)))}
    claim(store, grip)
    clock.forward(1)
    end(store, grip, "a")
    for id, job in before.items():
        assert store.get(id) == apply(job, Settled(int(id[0] == "t")), store.now())
    assert claim(store, grip) == ["p0", "p2"]
    assert store.counts()["default", PENDING] == 4


def test_the_jobs_around_one_are_found_with_their_edges(store: Store) -> None:
    add(store, "a")
    for parent, child in ("ab", "bc", "ad"):
        add(store, child, f"{parent}:any")
    edges, jobs, is_all = store.around(store.get("b"), 10)
    assert ([job.id for job in jobs], len(edges), is_all) == (["a", "b", "c"], 2, True)
    assert not store.around(store.get("a"), 2)[2]


def test_a_retried_dependent_waits_for_all_that_the_same_retry_revives(store: Store, grip: Grip) -> None:
    add(store, "a", **never())
    store.insert(begun(a_job(f"b{n}", at=store.now(), depends_on=("a",))) for n in range(1100))
    add(store, "d", "b1099:failed", **never())
    claim(store, grip)
    fail(store, grip, "a")
    store.settle()
    assert claim(store, grip) == ["d"]
    fail(store, grip, "d")
    retry(store, "a", "d")
    assert (store.get("b1099").state, store.get("d").state) == (BLOCKED, BLOCKED)


@pytest.mark.parametrize("dependents", [1, 6])
def test_what_is_released_after_the_clock_was_set_back_is_due_at_once(
    store: Store, grip: Grip, clock: Any, dependents: int
) -> None:
    add(store, "a")
    ids = [f"b{number}" for number in range(dependents)]
    for id in ids:
        add(store, id, "a")
    add(store, "delayed", "a", run_at=store.now() + 60)
    claim(store, grip)
    clock.forward(-3600)
    end(store, grip, "a")
    assert claim(store, grip) == ids


def test_what_is_released_by_a_person_after_the_clock_was_set_back_is_due_at_once(
    store: Store, grip: Grip, clock: Any
) -> None:
    add(store, "a", held=True)
    clock.forward(-3600)
    store.change(["a"], Released(), None)
    assert claim(store, grip) == ["a"]
