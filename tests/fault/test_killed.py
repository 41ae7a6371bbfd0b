"""SIGKILL to supervisors, to everything at once, and at random moments."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from queuectl.client import doctor
from queuectl.domain.finding import NOTE, OK, PROBLEM
from queuectl.domain.job import JobState, Outcome
from tests.fault.history import check, diary_command
from tests.stores import on_each_store
from tests.workshop import Worker, Workshop, until


@on_each_store
def test_a_killed_supervisors_commands_are_ended_and_their_jobs_run_again(shop: Workshop, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    body = f"while [ ! -e {gate} ]; do sleep 0.1; done"
    jobs = shop.enqueue_all([{"command": diary_command(diary, body)} for _ in range(8)])
    shop.worker(8)
    shop.started(*jobs)
    os.kill(shop.supervisors()[0].pid, signal.SIGKILL)
    until(lambda: sum(shop.job(job).lost for job in jobs) == 4)
    gate.touch()
    assert {job.state for job in shop.finished(*jobs)} == {JobState.COMPLETED}
    check(shop, diary, jobs)


def test_a_lost_attempt_uses_up_no_retry_and_is_kept_as_lost(shop: Workshop) -> None:
    job = shop.enqueue("test $QUEUECTL_ATTEMPT -gt 1 || sleep 300; exit 1", max_retries=1, backoff_initial=0.1)
    shop.worker(1)
    shop.started(job)
    os.kill(shop.supervisors()[0].pid, signal.SIGKILL)
    (dead,) = shop.finished(job)
    outcomes = [attempt.outcome for attempt in shop.store.attempts(dead)]
    assert (dead.attempts, dead.lost, outcomes) == (2, 1, [Outcome.LOST, Outcome.FAILED, Outcome.FAILED])


@on_each_store
def test_after_everything_was_killed_a_later_worker_runs_the_jobs_again(shop: Workshop, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    body = "test $QUEUECTL_LEASE -gt 1 || { setsid sleep 300 & wait; }"
    jobs = shop.enqueue_all([{"command": diary_command(diary, body)} for _ in range(4)])
    worker = shop.worker(4)
    shop.started(*jobs)
    left = shop.commands()
    rows = shop.supervisors()
    worker.kill()
    for row in rows:
        os.kill(row.pid, signal.SIGKILL)
    shop.worker(4, "--poll", "600")  # what lost a worker runs alone: each end lets the next one begin
    assert {(job.state, job.lease) for job in shop.finished(*jobs)} == {(JobState.COMPLETED, 2)}
    assert not set(left) & set(shop.commands())
    check(shop, diary, jobs)


def test_a_command_that_writes_to_its_killed_supervisor_has_not_failed(shop: Workshop) -> None:
    job = shop.enqueue("test $QUEUECTL_LEASE -gt 1 || while echo x; do sleep 0.01; done", max_retries=0)
    worker = shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    worker.signal(signal.SIGSTOP)
    os.kill(row.pid, signal.SIGKILL)
    until(lambda: not shop.commands(), "the command ends")
    worker.signal(signal.SIGCONT)
    (done,) = shop.finished(job)
    assert (done.state, done.lost, done.attempts) == (JobState.COMPLETED, 1, 1)


@on_each_store
def test_a_job_that_kills_its_workers_goes_to_the_dead_letter_queue(shop: Workshop) -> None:
    poison = shop.enqueue("kill -9 $PPID; sleep 300", id="poison")
    shop.worker(1)
    (dead,) = shop.finished(poison)
    assert (dead.state, dead.lost, dead.attempts) == (JobState.DEAD, 3, 0)
    assert dead.error == "lost 3 workers in a row while it ran (max_lost 3)"
    assert shop.finished(shop.enqueue("true"))[0].state is JobState.COMPLETED


@on_each_store
def test_a_poison_job_does_not_charge_its_neighbours(shop: Workshop) -> None:
    neighbours = shop.enqueue_all([{"command": "true"} for _ in range(40)])
    poison = shop.enqueue("kill -9 $PPID; sleep 300", priority=1)
    shop.worker(1)
    shop.finished(poison, *neighbours)
    assert {(shop.job(job).state, shop.job(job).lost) for job in neighbours} == {(JobState.COMPLETED, 0)}


@on_each_store
def test_random_kills_lose_nothing_and_repeat_nothing(shop: Workshop, tmp_path: Path) -> None:
    """60 short jobs, 10 SIGKILLs of any process of ours, with restarts. chaos.py goes on for longer."""
    chance = random.Random(1)
    shop.client.set_setting("max-lost", "1000")
    diary = tmp_path / "diary"
    naps = [chance.choice((0, 0.01, 0.05, 0.3)) for _ in range(60)]
    jobs = shop.enqueue_all([{"command": diary_command(diary, f"sleep {nap}"), "max_retries": 0} for nap in naps])
    workers: list[Worker] = []
    for _ in range(10):
        workers = [worker for worker in workers if worker.process.poll() is None]
        while len(workers) < 2:
            workers.append(shop.worker(4))
        time.sleep(chance.random() * 0.15)
        _kill_one(shop, workers, chance)
    shop.worker(4)
    assert {job.state for job in shop.finished(*jobs)} == {JobState.COMPLETED}
    check(shop, diary, jobs)
    until(lambda: shop.commands() == [], "no command is left")


def _kill_one(shop: Workshop, workers: list[Worker], chance: random.Random) -> None:
    victims = [worker.pid for worker in workers] + [row.pid for row in shop.supervisors()]
    victim = chance.choice(victims)
    worker = next((worker for worker in workers if worker.pid == victim), None)
    if worker is not None:
        worker.kill()
    else:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it had just left by itself


def test_poison_that_kills_both_processes_at_once_is_counted_too(shop: Workshop) -> None:
    both = "P=$(awk '{print $4}' /proc/$PPID/stat); kill -9 $P $PPID; sleep 300"
    poison = shop.enqueue(both)
    for _ in range(4):
        worker = shop.worker(1)
        until(lambda worker=worker: worker.process.poll() is not None or shop.job(poison).finished)  # type: ignore[misc]
    shop.worker(1)
    (dead,) = shop.finished(poison)
    assert (dead.state, dead.lost) == (JobState.DEAD, 3)


def test_an_end_by_the_pipe_of_a_killed_supervisor_is_no_failure(shop: Workshop) -> None:
    job = shop.enqueue("exec yes", max_retries=0)
    shop.worker(1)
    shop.started(job)
    os.kill(shop.supervisors()[0].pid, signal.SIGKILL)
    until(lambda: shop.job(job).lost or shop.job(job).finished)
    assert (shop.job(job).lost, shop.job(job).error) == (1, None)
    shop.client.cancel([job])


def test_jobs_that_ran_beside_poison_are_not_condemned_with_it(shop: Workshop) -> None:
    poison = shop.enqueue_all([{"command": "sleep 0.2; kill -9 $PPID 2>&-; sleep 300", "priority": 1}] * 2)
    beside = shop.enqueue_all([{"command": "sleep 0.4"}] * 6)
    shop.worker(4)
    shop.finished(*poison, *beside)
    assert {shop.job(job).state for job in poison} == {JobState.DEAD}
    assert {shop.job(job).state for job in beside} == {JobState.COMPLETED}


@on_each_store
def test_all_that_a_dead_supervisor_ran_runs_again_side_by_side(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    jobs = shop.enqueue_all([{"command": f"while [ ! -e {gate} ]; do sleep 0.05; done"}] * 4)
    shop.worker(4)
    shop.started(*jobs)
    (row,) = shop.supervisors()
    os.kill(row.pid, signal.SIGKILL)
    until(lambda: all(shop.job(job).starts == 2 for job in jobs), "all of them run again")
    gate.touch()
    assert {(job.state, job.lost) for job in shop.finished(*jobs)} == {(JobState.COMPLETED, 1)}


def test_the_doctor_finds_and_cleans_what_a_crash_of_everything_left(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    worker.kill()
    os.kill(row.pid, signal.SIGKILL)
    until(lambda: not shop.supervisors())
    left = [finding.message for finding in doctor.examine(str(shop.db)) if finding.level == PROBLEM]
    assert any(f"holds {job}" in what for what in left)
    assert any("sleep" in what and "still runs" in what for what in left)
    assert doctor.clean_up(shop.store) == [f"cleaned up after {row.id}: 0 results recorded, 1 executions lost"]
    assert (shop.job(job).state, shop.job(job).lost) == (JobState.PENDING, 1)
    assert (shop.commands(), shop.left_files(), shop.store.workers()) == ([], [], [])
    assert {finding.level for finding in doctor.examine(str(shop.db))} <= {OK, NOTE}
