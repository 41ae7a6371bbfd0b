"""Hooks are added with what makes them due, and nobody sees them who does not ask."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from queuectl.client.enqueueing import enqueue
from queuectl.client.explaining import explain
from queuectl.client.findings import of_hooks
from queuectl.client.hooks import of_job
from queuectl.client.queues import set_limits
from queuectl.domain.job import HOOKS, Job, JobState, Spec
from queuectl.domain.lifecycle import Cause, GivenBack, Lost, Started
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.store.port import Store
from queuectl.store.values import Change, Output
from queuectl.wire.requests import parse_request
from tests.builders import HOST, a_grip, a_job, an_end, claim_one, finish, record_one

SPEC = Spec(on_success="tell success", on_failure="tell failure", on_dead="https://example.org/dead", max_retries=1)
ONLY_HOOKS = Selector(hooks=True)


def hooks_in(store: Store) -> list[tuple[str, str]]:
    return [(hook.tags[0], str(hook.command)) for hook in store.find(ONLY_HOOKS)]


def test_each_end_adds_just_its_hooks(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job("good", spec=SPEC), a_job("plain")])
    for _ in range(2):
        finish(store, grip, claim_one(store, grip))
    assert hooks_in(store) == [("on_success", "tell success")]
    store.insert([a_job("bad", spec=SPEC._replace(backoff_initial=0.0))])
    finish(store, grip, claim_one(store, grip), exit_code=7)
    assert hooks_in(store)[1:] == [("on_failure", "tell failure")]
    finish(store, grip, claim_one(store, grip), signal=15, cause=Cause.TIMEOUT)
    assert sorted(hooks_in(store)[2:]) == [("on_dead", "https://example.org/dead"), ("on_failure", "tell failure")]


def test_a_job_may_have_no_hook_though_its_queue_has(store: Store) -> None:
    set_limits(store, "ada", "video", on_success="./told")
    for given in ({}, {"on_success": None}, {"on-success": "none"}):
        request = parse_request({"command": "true", "queue": "video", **given}, store.now())
        enqueue(store, "ada", [request], None, None)
    assert [job.spec.on_success for job in store.find(ALL_JOBS)] == ["./told", None, None]


@pytest.mark.parametrize("cause", [Cause.CANCEL, Cause.STOP])
def test_what_people_end_has_no_hook(store: Store, cause: Cause) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC)])
    finish(store, grip, claim_one(store, grip), signal=15, cause=cause)
    assert hooks_in(store) == []


def test_a_job_that_takes_its_workers_along_tells_of_its_death(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC)])
    job = record_one(store, grip, Change(claim_one(store, grip), Started(at=store.now())))
    assert job is not None
    record_one(store, grip, Change(job, Lost(max_lost=1)))
    assert hooks_in(store) == [("on_dead", "https://example.org/dead")]


def test_a_hook_has_its_jobs_end_as_input_and_no_hooks_itself(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC._replace(cwd="/tmp", env={"A": "1"}, stdin="/in", secrets=("S",)), queue="q")])
    end = Change(claim_one(store, grip), an_end(store.now()), outputs=[Output(1, b"x" * 70_000 + b"last\xff\n")])
    record_one(store, grip, end)
    (hook,) = store.find(ONLY_HOOKS)
    assert (hook.queue, hook.spec.on_success, hook.spec.on_dead, hook.spec.stdin) == (HOOKS, None, None, None)
    assert (hook.spec.cwd, hook.spec.env, hook.spec.secrets) == ("/tmp", {"A": "1"}, ("S",))
    (kept,) = store.outputs(hook, 0)
    said = json.loads(kept.head + kept.tail)
    assert (said["id"], said["queue"], said["state"], said["exit_code"]) == ("job1", "q", "completed", 0)
    assert said["output_tail"].endswith("xlast\ufffd\n")
    assert len(said["output_tail"]) <= 64 << 10
    (claimed,) = store.claim(grip, HOST, 5, (HOOKS,))
    finish(store, grip, claimed)
    assert len(hooks_in(store)) == 1


def test_hooks_wait_for_those_who_ask_for_them(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC), a_job("other")])
    finish(store, grip, claim_one(store, grip))
    assert store.hooks_added
    assert store.has_hooks()
    assert [job.id for job in store.claim(grip, HOST, 5, ())] == ["other"]
    assert [job.id for job in store.find(Selector())] == ["job1", "other"]
    assert store.count(Selector()) == 2
    assert {queue for queue, _ in store.counts()} == {"default"}
    assert not store.has_work(("default",)) or store.running("w~1")
    (hook,) = store.claim(grip, HOST, 5, (HOOKS,))
    assert not store.has_hooks()
    finish(store, grip, hook)
    assert store.prune(Selector(states=(JobState.COMPLETED,), hooks=None), 10) == 2


class Boom(Exception):
    pass


def test_a_hook_is_there_with_the_end_or_not_at_all(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC)])
    job = claim_one(store, grip)
    with suppress(Boom), store.transaction():
        finish(store, grip, job)
        raise Boom
    assert hooks_in(store) == []
    finish(store, grip, job)
    assert finish(store, grip, job) is None
    assert hooks_in(store) == [("on_success", "tell success")]


def test_a_claim_given_back_after_a_failure_is_no_failure(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC._replace(backoff_initial=0.0))])
    finish(store, grip, claim_one(store, grip), exit_code=1)
    record_one(store, grip, Change(claim_one(store, grip), GivenBack()))
    assert hooks_in(store) == [("on_failure", "tell failure")]


def test_people_find_a_hook_by_its_id(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC)])
    finish(store, grip, claim_one(store, grip))
    (hook,) = store.find(ONLY_HOOKS)
    assert store.get(hook.id) == hook
    (gone,) = store.delete([hook.id])
    assert isinstance(gone, Job)
    assert hooks_in(store) == []


def test_what_gave_up_is_a_finding_until_somebody_has_looked_after_it(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC._replace(on_failure=None, max_retries=0))])
    finish(store, grip, claim_one(store, grip), exit_code=3)
    assert (store.hooks_given_up(), list(of_hooks(store))) == (0, [])
    (hook,) = store.claim(grip, HOST, 5, (HOOKS,))
    finish(store, grip, hook._replace(spec=hook.spec._replace(max_retries=0)), exit_code=9)
    (found,) = of_hooks(store)
    assert found.message == "1 hook gave up; the latest, on_dead of job job1: exit code 9"
    assert list(of_hooks(store, store.now() + 1)) == []
    (seen,) = of_job(store, store.get("job1"))
    assert (seen.id, seen.key, seen.state, seen.error) == (hook.id, "on_dead", JobState.DEAD, "exit code 9")
    store.delete([hook.id])
    assert (list(of_hooks(store)), of_job(store, store.get("job1"))) == ([], [])


def test_hooks_are_in_no_figure_and_no_news(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC)])
    place = store.place()
    finish(store, grip, claim_one(store, grip))
    (hook,) = store.claim(grip, HOST, 5, (HOOKS,))
    running = record_one(store, grip, Change(hook, Started(at=store.now())))
    assert running is not None
    assert {news.job for news in store.news(place, 100)} == {"job1"}
    finish(store, grip, running, exit_code=1)
    now = store.now() + 1
    assert [tally.number for tally in store.tallies(now - 60, now, 1)] == [1]
    assert len(store.spans(now - 60, 100)) == 1
    assert store.latest_failures(10) == []
    assert {news.job for news in store.news(place, 100)} == {"job1"}


def test_hooks_that_tell_the_same_one_of_a_job_run_in_their_order(store: Store) -> None:
    grip = a_grip(store)
    same = SPEC._replace(on_failure=SPEC.on_dead, max_retries=0)
    store.insert([a_job("one", spec=same), a_job("two", spec=SPEC._replace(max_retries=0))])
    for _ in range(2):
        finish(store, grip, claim_one(store, grip), exit_code=3)
    states = {(hook.tags[1], hook.tags[0]): hook.state for hook in store.find(ONLY_HOOKS)}
    assert states == {
        ("job:one", "on_failure"): "pending", ("job:one", "on_dead"): "blocked",
        ("job:two", "on_failure"): "pending", ("job:two", "on_dead"): "pending",
    }  # fmt: skip


def test_a_hook_waits_for_a_worker_of_any_queue(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job(spec=SPEC)])
    finish(store, grip, claim_one(store, grip))
    (hook,) = store.find(ONLY_HOOKS)
    why = "next in line" if store.shared_by_machines else "no live worker runs hooks"  # no process, but a lease
    assert [gate.told for gate in explain(store, "ada", hook.id).gates] == [why]
