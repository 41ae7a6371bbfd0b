"""A stop of the machine or its services is not the job's fault: its losses do not condemn it, its ends do not count."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from queuectl.domain.job import Job, JobState, Outcome
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.reaper import Reaper
from queuectl.engine.supervise.trees import see
from queuectl.settings import Settings
from tests.stores import on_each_store
from tests.workshop import Worker, Workshop, until


def stop_everything(shop: Workshop, worker: Worker) -> None:
    """SIGKILL to the worker, its supervisors and their commands, as when power is cut."""
    rows, commands = shop.supervisors(), shop.commands()
    worker.kill()
    for pid in (*(row.pid for row in rows), *commands):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not shop.commands())


def runs_after(job: Job, losses: int) -> bool:
    """Whether it runs, with its start on record, after so many losses."""
    return job.started_at is not None and job.lost == losses


@on_each_store
def test_three_stops_of_everything_do_not_condemn_a_healthy_job(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"test -e {gate} || exec sleep 300")
    for losses in range(3):
        worker = shop.worker(1)
        until(lambda losses=losses: runs_after(shop.job(job), losses) and shop.commands())  # type: ignore[misc]
        stop_everything(shop, worker)
    gate.touch()
    shop.worker(1)
    (done,) = shop.finished(job)
    assert (done.state, done.lost, done.lost_in_row) == (JobState.COMPLETED, 3, 0)
    outcomes = [attempt.outcome for attempt in shop.store.attempts(done)]
    assert outcomes == [Outcome.LOST, Outcome.LOST, Outcome.LOST, Outcome.COMPLETED]


def test_a_loss_under_another_boot_is_not_the_jobs(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    worker.kill()
    os.kill(row.pid, signal.SIGKILL)
    until(lambda: not shop.supervisors())
    host = Host(shop.store.folder)
    monkeypatch.setattr(host, "machine", "another-boot/" + host.machine.partition("/")[2])
    (settled,) = Reaper(shop.store, host, lambda: Settings({})).clean_up(0.0)
    assert [(lost.lost, lost.lost_in_row) for lost in settled.lost] == [(1, 0)]


def test_a_loss_counts_where_another_supervisor_of_the_worker_lives(shop: Workshop) -> None:
    jobs = shop.enqueue_all([{"command": "sleep 300"}] * 8)
    worker = shop.worker(8)
    shop.started(*jobs)
    first, second = shop.supervisors()
    worker.kill()
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: len(shop.supervisors()) == 1)
    settled = Reaper(shop.store, Host(shop.store.folder), lambda: Settings({})).clean_up(0.0)
    assert {(lost.lost, lost.lost_in_row) for each in settled for lost in each.lost} == {(1, 1)}
    os.kill(second.pid, signal.SIGKILL)


@pytest.mark.parametrize("command", ["exec sleep 300", "trap 'exit 143' TERM; sleep 300 & wait"], ids=["dies", "exits"])
@pytest.mark.parametrize("first", ["the worker", "the command"])
def test_a_command_that_ends_with_its_worker_by_sigterm_is_given_back(
    shop: Workshop, tmp_path: Path, command: str, first: str
) -> None:
    file = tmp_path / "pid"
    job = shop.enqueue(f"echo $$ > {file}; {command}", max_retries=0)
    worker = shop.worker(1)
    shop.started(job)
    until(lambda: file.exists() and file.read_text().strip())
    targets = [worker.pid, shop.supervisors()[0].pid, int(file.read_text())]
    for pid in targets if first == "the worker" else reversed(targets):
        os.kill(pid, signal.SIGTERM)
    assert worker.wait() == 0
    back = shop.job(job)
    assert (back.state, back.attempts, back.lost, back.error) == (JobState.PENDING, 0, 0, None)
    assert [attempt.outcome for attempt in shop.store.attempts(back)] == [Outcome.STOPPED]


@pytest.mark.parametrize("first", ["the worker", "the command"])
def test_what_ignores_the_signal_of_a_stop_does_not_outlive_its_command(
    shop: Workshop, tmp_path: Path, first: str
) -> None:
    file, escaped = tmp_path / "pid", tmp_path / "escaped"
    ignoring = f"setsid sh -c 'trap \"\" TERM; echo $$ > {escaped}; sleep 300; sleep 300' & "
    job = shop.enqueue(f"{ignoring} echo $$ > {file}; exec sleep 300", max_retries=0, kill_grace=0.5)
    worker = shop.worker(1)
    shop.started(job)
    until(lambda: all(each.exists() and each.read_text().strip() for each in (file, escaped)))
    left, command = shop.commands(), int(file.read_text())
    for pid in (worker.pid, command) if first == "the worker" else (command, worker.pid):
        os.kill(pid, signal.SIGTERM)
    assert worker.wait() == 0
    assert not any(map(see, left))
    back = shop.job(job)
    assert (back.state, back.attempts, back.lost, back.error) == (JobState.PENDING, 0, 0, None)


@on_each_store
@pytest.mark.parametrize("first", ["the supervisor", "the command"])
def test_a_stop_of_the_machine_gives_back_what_an_orphan_ran(shop: Workshop, tmp_path: Path, first: str) -> None:
    file = tmp_path / "pid"
    job = shop.enqueue(f"test -e {file} || {{ echo $$ > {file}; exec sleep 300; }}", max_retries=0)
    worker = shop.worker(1)
    shop.started(job)
    until(lambda: file.exists() and file.read_text().strip())
    supervisor, command = shop.supervisors()[0].pid, int(file.read_text())
    worker.kill()
    for pid in (supervisor, command) if first == "the supervisor" else (command, supervisor):
        os.kill(pid, signal.SIGTERM)
    until(lambda: see(supervisor) is None, "the supervisor leaves")
    shop.worker(1)
    (done,) = shop.finished(job)
    outcomes = [attempt.outcome for attempt in shop.store.attempts(done)]
    assert (done.attempts, done.lost, outcomes) == (1, 0, [Outcome.STOPPED, Outcome.COMPLETED])


def test_what_an_orphans_command_dies_of_alone_is_its_failure(shop: Workshop, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    job = shop.enqueue(f"echo $$ > {file}; exec sleep 300", max_retries=0)
    worker = shop.worker(1)
    shop.started(job)
    until(lambda: file.exists() and file.read_text().strip())
    worker.kill()
    os.kill(int(file.read_text()), signal.SIGTERM)
    until(lambda: not shop.supervisors(), "the supervisor leaves")
    shop.worker(1)
    (dead,) = shop.finished(job)
    assert (dead.state, dead.error) == (JobState.DEAD, "killed by signal 15")


def test_what_ignores_a_signal_that_only_its_command_got_is_left_alone(shop: Workshop, tmp_path: Path) -> None:
    escaped = tmp_path / "escaped"
    ignoring = f"setsid sh -c 'trap \"\" TERM; echo $$ > {escaped}; exec sleep 300' & "
    job = shop.enqueue(f"{ignoring} until [ -s {escaped} ]; do sleep 0.05; done; kill -TERM $$", max_retries=0)
    shop.worker(1)
    (dead,) = shop.finished(job)
    pid = int(escaped.read_text())
    assert (dead.state, dead.error) == (JobState.DEAD, "killed by signal 15")
    assert shop.store.attempts(dead)[0].leftover == f"sleep (pid {pid})"
    assert see(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_command_that_dies_of_sigterm_alone_has_failed(shop: Workshop) -> None:
    job = shop.enqueue("kill -TERM $$", max_retries=0)
    shop.worker(1)
    (dead,) = shop.finished(job)
    assert (dead.state, dead.error) == (JobState.DEAD, "killed by signal 15")
