"""A dispatcher that is killed or frozen costs nothing: its commands go on and somebody takes over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from queuectl.client.documents import busy, slots
from queuectl.domain.job import JobState
from tests.fault.history import check, diary_command
from tests.stores import on_each_store
from tests.workshop import Workshop, until


@on_each_store
def test_ten_commands_outlive_their_dispatcher_and_complete_once(shop: Workshop, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    body = f"echo out; while [ ! -e {gate} ]; do sleep 0.1; done; echo more"
    jobs = shop.enqueue_all([{"command": diary_command(diary, body)} for _ in range(10)])
    worker = shop.worker(10)
    shop.started(*jobs)
    worker.kill()
    shop.worker(10)
    until(lambda: all(row.epoch == 2 for row in shop.supervisors() if row.name == _first_name(shop)))
    gate.touch()
    done = shop.finished(*jobs)
    assert {(job.state, job.starts, job.lost, job.lease) for job in done} == {(JobState.COMPLETED, 1, 0, 1)}
    assert {shop.output(job) for job in jobs} == {b"out\nmore\n"}
    check(shop, diary, jobs)


def _first_name(shop: Workshop) -> str:
    return min(shop.store.workers(), key=lambda row: row.started_at).name


def test_the_exit_code_of_a_taken_over_command_is_its_own(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"while [ ! -e {gate} ]; do sleep 0.1; done; exit 41", max_retries=0)
    worker = shop.worker()
    shop.started(job)
    worker.kill()
    shop.worker()
    until(lambda: any(row.epoch == 2 for row in shop.store.workers()))
    gate.touch()
    assert shop.finished(job)[0].exit_code == 41


@on_each_store
def test_time_limit_and_cancel_still_work_after_a_take_over(shop: Workshop) -> None:
    limited = shop.enqueue("sleep 300", timeout=3, max_retries=0)
    cancelled = shop.enqueue("sleep 300")
    worker = shop.worker()
    shop.started(limited, cancelled)
    worker.kill()
    shop.worker()
    until(lambda: any(row.epoch == 2 for row in shop.store.workers()))
    shop.client.cancel([cancelled])
    states = [job.state for job in shop.finished(limited, cancelled)]
    assert states == [JobState.DEAD, JobState.CANCELLED]
    assert shop.commands() == []


@on_each_store
def test_with_no_worker_commands_end_by_themselves_and_their_results_wait(shop: Workshop, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    body = f"while [ ! -e {gate} ]; do sleep 0.1; done; seq 5000"
    jobs = shop.enqueue_all([{"command": diary_command(diary, body)} for _ in range(4)])
    worker = shop.worker(4)
    shop.started(*jobs)
    worker.kill()
    gate.touch()
    until(lambda: not shop.supervisors())
    assert {shop.job(job).state for job in jobs} == {JobState.PROCESSING}
    shop.worker(4)
    assert {(job.state, job.starts) for job in shop.finished(*jobs)} == {(JobState.COMPLETED, 1)}
    assert {len(shop.output(job)) for job in jobs} == {23893}
    check(shop, diary, jobs)


def test_an_idle_supervisor_leaves_with_its_dispatcher_and_is_cleaned_up(shop: Workshop) -> None:
    worker = shop.worker()
    worker.kill()
    until(lambda: not shop.supervisors())
    second = shop.worker()
    until(lambda: len(shop.store.workers()) == len(shop.supervisors()))
    assert second.stop() == 0
    assert shop.left_files() == []


def freeze(shop: Workshop) -> list[int]:
    """Stops all commands; the pids of those that it met."""
    stopped = []
    for pid in shop.commands():
        with suppress(ProcessLookupError):  # a short one of the command's own
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
    return stopped


@pytest.mark.parametrize("with_command", [False, True])
def test_a_frozen_dispatcher_is_replaced_and_touches_nothing_when_it_wakes(
    shop: Workshop, tmp_path: Path, with_command: bool
) -> None:
    shop.client.set_setting("lease-ttl", "1s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, f"while [ ! -e {gate} ]; do sleep 0.1; done"))
    frozen = shop.worker(1)
    shop.started(job)
    frozen.signal(signal.SIGSTOP)
    stopped = freeze(shop) if with_command else []
    shop.worker(1)
    until(lambda: any(row.epoch == 2 for row in shop.store.workers()))
    frozen.signal(signal.SIGCONT)
    for pid in stopped:
        with suppress(ProcessLookupError):  # it had ended when it was stopped, and its parent goes on before it
            os.kill(pid, signal.SIGCONT)
    assert frozen.wait() == 1
    gate.touch()
    assert shop.finished(job)[0].state is JobState.COMPLETED
    check(shop, diary, [job])


@pytest.mark.parametrize("with_command", [False, True])
def test_a_frozen_supervisor_is_ended_and_its_jobs_run_again(
    shop: Workshop, tmp_path: Path, with_command: bool
) -> None:
    shop.client.set_setting("lease-ttl", "1s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, f"while [ ! -e {gate} ]; do sleep 0.1; done"))
    shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    if with_command:
        freeze(shop)
    os.kill(row.pid, signal.SIGSTOP)
    until(lambda: shop.job(job).lost == 1)
    gate.touch()
    assert shop.finished(job)[0].lease == 2
    check(shop, diary, [job])


@pytest.mark.parametrize("with_command", [False, True])
def test_a_wholly_frozen_worker_is_replaced_and_goes_on_when_it_wakes(
    shop: Workshop, tmp_path: Path, with_command: bool
) -> None:
    shop.client.set_setting("lease-ttl", "1s")
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, f"while [ ! -e {gate} ]; do sleep 0.1; done"))
    frozen = shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    frozen.signal(signal.SIGSTOP)
    os.kill(row.pid, signal.SIGSTOP)
    if with_command:
        freeze(shop)
    shop.worker(1)
    until(lambda: shop.job(job).lost == 1)
    frozen.signal(signal.SIGCONT)
    gate.touch()
    assert shop.finished(job)[0].state is JobState.COMPLETED
    assert shop.finished(shop.enqueue("true"))
    check(shop, diary, [job])
    assert frozen.process.poll() is None


@on_each_store
def test_what_outlives_its_dispatcher_is_listed_as_orphaned(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"while [ ! -e {gate} ]; do sleep 0.1; done")
    worker = shop.worker(1, "--name", "gone")
    shop.started(job)
    worker.kill()
    (orphan,) = shop.client.workers()
    assert (orphan.name, orphan.orphaned, orphan.slots) == ("gone", True, 0)
    assert [each.id for each in orphan.running] == [job]
    status = shop.client.status()
    assert (busy(status.workers), slots(status.workers)) == (0, 0)
    assert shop.client.ask_to_stop(None) == []
    shop.worker(1, "--name", "heir")
    until(lambda: [each.name for each in shop.client.workers()] == ["heir"])
    (heir,) = shop.client.workers()
    assert (heir.slots, [each.id for each in heir.running]) == (1, [job])
    gate.touch()
    shop.finished(job)


@on_each_store
def test_orders_lost_before_the_supervisor_are_given_back_at_takeover(shop: Workshop) -> None:
    long = shop.enqueue("sleep 300")
    first = shop.worker(1)
    shop.started(long)
    (row,) = shop.supervisors()
    shop.client.cancel([long])
    shop.finished(long)
    os.kill(row.pid, signal.SIGSTOP)
    jobs = shop.enqueue_all([{"command": "true"}] * 3)
    until(lambda: any(shop.job(job).state is JobState.PROCESSING for job in jobs))
    first.kill()
    os.kill(row.pid, signal.SIGCONT)
    second = shop.worker(1)
    assert {(job.state, job.lost) for job in shop.finished(*jobs)} == {(JobState.COMPLETED, 0)}
    assert second.stop() == 0
    assert shop.left_files() == []


def test_a_supervisor_whose_dispatcher_died_before_it_said_hello_leaves_nothing(shop: Workshop) -> None:
    start = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from queuectl.engine.dispatch.host import Host, Plan\n"
        "from queuectl.store.passfile import Access\n"
        f"host = Host(Path({str(shop.store.folder)!r}))\n"
        "host.launch(Plan(name='w', access=Access('x'), first_slot=0, slots=1, output_bytes_max=1 << 20))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", start], check=False)
    until(lambda: shop.left_files() == [])
