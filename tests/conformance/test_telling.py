"""What commands tell of themselves, in every store."""

from __future__ import annotations

from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import Progressed, Retried, Started
from queuectl.store.port import Store
from queuectl.store.values import Change
from tests.builders import a_grip, a_job, an_end, claim_one, finish, record_one


def test_progress_stands_until_the_next_attempt_and_a_result_until_its_end(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job()])
    job = record_one(store, grip, Change(claim_one(store, grip), Started(at=store.now())))
    assert job is not None
    job = record_one(store, grip, Change(job, Progressed("40 encoding")))
    assert store.get("job1").progress == "40 encoding"
    assert job is not None
    finish(store, grip, job, exit_code=1, result='{"n":1}')
    failed = store.get("job1")
    assert (failed.state, failed.progress, failed.result) == (JobState.FAILED, "40 encoding", '{"n":1}')
    store.change(["job1"], Retried(), "me")
    again = claim_one(store, grip)
    assert again == store.get("job1")
    assert (again.progress, again.result) == (None, '{"n":1}')
    finish(store, grip, again, progress="100")
    done = store.get("job1")
    assert (done.progress, done.result) == ("100", None)
    store.change(["job1"], Retried(), "me")
    assert (store.get("job1").progress, store.get("job1").result) == (None, None)


def test_progress_of_an_execution_is_no_end_of_it(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job()])
    job = record_one(store, grip, Change(claim_one(store, grip), Started(at=store.now()), output_files=("out",)))
    assert job is not None
    record_one(store, grip, Change(job, Progressed("1")))
    (attempt,) = store.attempts(job)
    assert (attempt.outcome, attempt.output_files) == (None, ("out",))


def test_an_attempt_says_why_its_result_was_not_kept(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job()])
    job = claim_one(store, grip)
    record_one(store, grip, Change(job, an_end(store.now()), note="result not kept: it is not JSON"))
    (attempt,) = store.attempts(job)
    assert attempt.note == "result not kept: it is not JSON"


def test_a_superseded_worker_tells_no_progress(store: Store) -> None:
    grip = a_grip(store)
    store.insert([a_job()])
    job = claim_one(store, grip)
    finish(store, grip, job, exit_code=1)
    assert record_one(store, grip, Change(job, Progressed("late"))) is None
    assert store.get("job1").progress is None
