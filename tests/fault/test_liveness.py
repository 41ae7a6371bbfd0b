"""No single sign makes a worker dead: files may be removed under it, its parts suspended, its dispatcher gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl import Client
from queuectl.client import facade
from queuectl.domain.condition import Condition
from queuectl.domain.job import JobState
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.reaper import Reaper
from queuectl.engine.protocol import JOURNAL_NAME
from queuectl.engine.supervise.journal import read_journal
from queuectl.settings import Settings
from queuectl.store.liveness import LOCK_NAME, supervisor_folder
from tests.fault.history import check, diary_command
from tests.machines import FAKE_CLOCK, Machine
from tests.stores import on_each_store
from tests.workshop import PATIENCE_S, Worker, Workshop, clean_environment, until


def gated(gate: Path, then: str = "true") -> str:
    """A command that runs until the gate is there."""
    return f"while [ ! -e {gate} ]; do sleep 0.1; done; {then}"


def remove(folder: Path) -> None:
    """Removes a folder in which others may be making files at this moment."""
    shutil.rmtree(folder.rename(folder.with_name("removed")))


def queuectl(shop: Workshop, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "queuectl", *words], env=surroundings(shop), capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def waiter(shop: Workshop, *words: str) -> subprocess.Popen[str]:
    """A command that waits; its notes can be read meanwhile."""
    command = [sys.executable, "-m", "queuectl", *words]
    return subprocess.Popen(
        command, env=surroundings(shop), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def surroundings(shop: Workshop) -> dict[str, str]:
    return clean_environment(QUEUECTL_DB=shop.address, XDG_STATE_HOME=str(shop.folder))


# --- files removed under a worker -------------------------------------------------------------


@on_each_store
def test_removing_the_workers_folder_repeats_and_loses_nothing(shop: Workshop, tmp_path: Path) -> None:
    shop.client.set_setting("lease-ttl", "15s")  # an idle supervisor looks as often as it hears of its lease
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    commands = (gated(gate, "echo done"), "echo begun; " + gated(gate, "seq 20000"))
    jobs = [shop.enqueue(diary_command(diary, command)) for command in commands]
    workers = [shop.worker(2), shop.worker(2)]
    shop.started(*jobs)
    rows = shop.supervisors()
    remove(shop.store.folder / "workers")
    assert shop.supervisors() == rows, "they live, and are seen to"
    until(lambda: len(shop.left_files()) == len(rows), "each supervisor makes its folder again")
    gate.touch()
    assert {(job.state, job.starts, job.lost) for job in shop.finished(*jobs)} == {(JobState.COMPLETED, 1, 0)}
    assert [len(shop.output(job)) for job in jobs] == [5, 108900]
    assert shop.supervisors() == rows
    check(shop, diary, jobs)
    assert [worker.stop() for worker in workers] == [0, 0]
    assert shop.left_files() == []


@pytest.mark.parametrize("gone", ["the folder", "lock", "socket", "journal", "running"])
def test_a_supervisor_without_dispatcher_and_files_is_taken_over(shop: Workshop, tmp_path: Path, gone: str) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, gated(gate, "exit 7")), max_retries=0)
    worker = shop.worker(1)
    shop.started(job)
    worker.kill()
    if gone == "the folder":
        remove(shop.store.folder / "workers")
    else:
        (supervisor_folder(shop.store.folder, shop.supervisors()[0].id) / gone).unlink()
    shop.worker(1)
    until(lambda: any(row.epoch == 2 for row in shop.store.workers()), "it is taken over")
    gate.touch()
    (done,) = shop.finished(job)
    assert (done.exit_code, done.starts, done.lost) == (7, 1, 0)
    check(shop, diary, [job])


def test_a_removed_lock_costs_no_output_that_waits_to_be_recorded(shop: Workshop, tmp_path: Path) -> None:
    gates = tmp_path / "first", tmp_path / "last"
    jobs = [shop.enqueue(gated(gates[0], "seq 20000")), shop.enqueue(gated(gates[1]))]
    worker = shop.worker(2, "--name", "one")
    shop.started(*jobs)
    (row,) = {row for row in shop.supervisors() if row.id == shop.job(jobs[0]).worker}
    folder = supervisor_folder(shop.store.folder, row.id)
    worker.kill()
    gates[0].touch()
    until(lambda: read_journal(folder / JOURNAL_NAME), "its end is journalled")
    (folder / LOCK_NAME).unlink()
    until((folder / LOCK_NAME).exists, "the supervisor makes it again")
    gates[1].touch()
    shop.worker(1)
    assert {(job.state, job.starts) for job in shop.finished(*jobs)} == {(JobState.COMPLETED, 1)}
    assert len(shop.output(jobs[0])) == 108894


def test_an_end_right_after_its_folder_was_removed_is_recorded(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"while [ ! -e {gate} ]; do :; done; exit 7", max_retries=0)
    worker = shop.worker(1)
    shop.started(job)
    worker.kill()
    (row,) = shop.supervisors()
    remove(shop.store.folder / "workers")
    gate.touch()
    until(lambda: not shop.supervisors(), "the supervisor leaves")
    assert [each.exit_code for each in read_journal(supervisor_folder(shop.store.folder, row.id) / JOURNAL_NAME)] == [7]
    shop.worker(1)
    (done,) = shop.finished(job)
    assert (done.exit_code, done.starts, done.lost) == (7, 1, 0)


# --- a frozen supervisor whose dispatcher lives -----------------------------------------------


def test_a_command_that_ended_under_a_frozen_supervisor_is_not_repeated(shop: Workshop, tmp_path: Path) -> None:
    shop.client.set_setting("lease-ttl", "4s")  # longer than it takes here until all go on: nobody is to be taken over
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    owner = shop.worker(1)
    job = shop.enqueue(diary_command(diary, gated(gate, "exit 3")), max_retries=0)
    shop.started(job)
    (row,) = [row for row in shop.supervisors() if row.id == shop.job(job).worker]
    workers = [owner, *(shop.worker(1) for _ in range(2))]
    for worker in workers:
        worker.signal(signal.SIGSTOP)  # nobody judges before the command has ended
    os.kill(row.pid, signal.SIGSTOP)
    gate.touch()
    until(lambda: not shop.commands(), "the command ends")
    for worker in workers:
        worker.signal(signal.SIGCONT)
    (done,) = shop.finished(job)
    assert (done.exit_code, done.starts, done.lost) == (3, 1, 0)
    check(shop, diary, [job])
    assert [worker.process.poll() for worker in workers] == [None] * 3


# --- a worker of which only supervisors are left ------------------------------------------------


@on_each_store
def test_a_killed_workers_name_is_free_and_its_commands_taken_over(shop: Workshop, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, gated(gate)))
    worker = shop.worker(1, "--name", "alpha")
    shop.started(job)
    worker.kill()
    shop.worker(1, "--name", "alpha")
    until(lambda: any(row.epoch == 2 for row in shop.store.workers()), "it is taken over")
    gate.touch()
    (done,) = shop.finished(job)
    assert (done.state, done.starts, done.lost) == (JobState.COMPLETED, 1, 0)
    check(shop, diary, [job])


def test_a_name_is_taken_while_its_worker_lives(shop: Workshop) -> None:
    shop.worker(1, "--name", "alpha")
    refused = queuectl(shop, "worker", "start", "--name", "alpha")
    assert refused.returncode == 4
    assert "a worker named alpha is running" in refused.stderr


@on_each_store
def test_cancel_ends_what_only_an_orphaned_supervisor_runs(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    cancelled, other = shop.enqueue("sleep 300"), shop.enqueue(gated(gate))
    worker = shop.worker(2)
    shop.started(cancelled, other)
    worker.kill()
    said = queuectl(shop, "cancel", cancelled)
    assert said.returncode == 0, said.stderr
    assert shop.job(cancelled).state is JobState.CANCELLED
    assert shop.job(other).state is JobState.PROCESSING
    gate.touch()
    shop.worker(1)
    (done,) = shop.finished(other)
    assert (done.state, done.starts, done.lost) == (JobState.COMPLETED, 1, 0)


@pytest.mark.parametrize("how", ["batch cancel", "Client.cancel", "Client.do", "mcp", "Ctrl-C of run"])
def test_whoever_cancels_ends_what_only_an_orphaned_supervisor_runs(shop: Workshop, how: str) -> None:
    surroundings = clean_environment(QUEUECTL_DB=shop.address, XDG_STATE_HOME=str(shop.folder))
    worker = shop.worker(1)
    if how == "Ctrl-C of run":
        run = subprocess.Popen(
            [sys.executable, "-m", "queuectl", "run", "--id", "r", "--kill-grace", "1s", "--", "sleep", "300"],
            env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        until(lambda: any(job.id == "r" for job in shop.client.jobs()), "the job is added")
        job = "r"
    else:
        job = shop.enqueue("sleep 300", batch="b")
    shop.started(job)
    worker.kill()
    if how == "batch cancel":
        assert queuectl(shop, "batch", "cancel", "b").returncode == 0
    elif how == "Client.cancel":
        with Client(shop.address) as client:
            assert [each.state for each in client.cancel(job).jobs] == [JobState.CANCELLED]
    elif how == "Client.do":
        with Client(shop.address) as client:
            client.batch("b").cancel()
    elif how == "mcp":
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        message = json.dumps({**asked, "params": {"name": "cancel", "arguments": {"ids": [job]}}})
        said = subprocess.run(
            [sys.executable, "-m", "queuectl", "mcp"], input=message + "\n", env=surroundings, capture_output=True,
            text=True, timeout=60,
        )  # fmt: skip
        assert "cancelled" in said.stdout, said.stderr
    else:
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 130
        assert run.stdout is not None
        assert b"cancelled r" in run.stdout.read()
        run.stdout.close()
    assert shop.job(job).state is JobState.CANCELLED
    until(lambda: shop.commands() == [])


def test_explain_says_that_nobody_drives_the_worker_of_a_cancelled_job(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1)
    shop.started(job)
    worker.kill()
    facade.Client(shop.store, drives_orphans=False).cancel([job])  # as the server does
    (told,) = json.loads(queuectl(shop, "explain", job, "--json").stdout)
    assert told["reason_code"] == "cancelling"
    assert told["gates"][0]["text"].endswith("; its worker is orphaned: its dispatcher is gone")
    assert told["gates"][0]["fix"] == f"queuectl cancel {job}"
    assert queuectl(shop, "cancel", job).returncode == 0
    assert shop.job(job).state is JobState.CANCELLED


def test_explain_says_that_a_running_jobs_worker_is_suspended(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1)
    shop.started(job)
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        until(lambda: "; its worker is suspended (SIGSTOP or Ctrl-Z)" in queuectl(shop, "explain", job).stdout)
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)


def test_whoever_waits_or_cancels_is_told_that_the_worker_is_suspended(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1, "--name", "held")
    shop.started(job)
    worker.signal(signal.SIGSTOP)
    until(lambda: [each.suspended for each in shop.client.workers()] == [True])
    told = f"worker held is suspended (SIGSTOP or Ctrl-Z); it runs {job}; kill -CONT {worker.process.pid}, or: "
    waiting = [waiter(shop, *words) for words in (("wait", job), ("logs", "-f", job), ("delete", "--force", job))]
    try:
        for process in waiting:
            assert process.stderr is not None
            assert process.stderr.readline().startswith(told)
        assert queuectl(shop, "cancel", job).stderr.startswith(told)
    finally:
        worker.signal(signal.SIGCONT)
        for process in waiting:
            process.communicate(timeout=60)


def test_whoever_waits_is_told_that_the_worker_is_gone(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"until test -e {gate}; do sleep 0.1; done")
    worker = shop.worker(1, "--name", "lost")
    shop.started(job)
    worker.kill()
    orphaned, gone = waiter(shop, "wait", job), "the worker that ran this is gone, and there is no other; the next one "
    assert orphaned.stderr is not None
    assert orphaned.stderr.readline().startswith(f"worker lost is orphaned: its dispatcher is gone, and it runs {job};")
    gate.touch()
    until(lambda: not shop.client.workers(), "the supervisor leaves when its command has ended")
    waiting = [waiter(shop, *words) for words in (("wait", job), ("logs", "-f", job))]
    for process in waiting:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(gone)
    assert "; that worker is gone, and the next one records the end" in queuectl(shop, "explain", job).stdout
    assert queuectl(shop, "cancel", job).stdout == f"not cancelled, since it is completed: {job}\n"
    for process in (orphaned, *waiting):
        process.communicate(timeout=60)


def test_delete_with_force_ends_and_deletes_what_an_orphan_runs(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1)
    shop.started(job)
    worker.kill()
    assert queuectl(shop, "delete", "--force", "--yes", job).returncode == 0
    assert queuectl(shop, "show", job).returncode == 3
    until(lambda: shop.commands() == [])


@on_each_store
@pytest.mark.parametrize("words", ["cancel", "delete --force --yes"])
def test_cancel_and_delete_with_force_need_no_worker_after_a_dead_one(shop: Workshop, words: str) -> None:
    job, other = jobs = [shop.enqueue("sleep 300") for _ in range(2)]
    worker = shop.worker(2)
    shop.started(*jobs)
    worker.kill()
    os.kill(shop.supervisors()[0].pid, signal.SIGKILL)
    until(lambda: not shop.supervisors())
    said = queuectl(shop, *words.split(), job)
    done = "cancelled" if words == "cancel" else "deleted"
    assert (said.returncode, said.stdout) == (0, f"{done} {job}\n")
    assert shop.job(other).state is JobState.PENDING
    assert shop.commands() == []


@pytest.mark.parametrize("named", [True, False])
def test_worker_stop_now_ends_an_orphan_and_gives_its_job_back(shop: Workshop, named: bool) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1, "--name", "gone")
    shop.started(job)
    worker.kill()
    said = queuectl(shop, "worker", "stop", "--now", *(["gone"] if named else []))
    assert (said.returncode, said.stdout) == (0, "stopped gone\n")
    assert (shop.job(job).state, shop.job(job).lost) == (JobState.PENDING, 0)
    assert (shop.store.workers(), shop.commands(), shop.left_files()) == ([], [], [])


def test_worker_stop_waits_for_an_orphans_command_and_records_it(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(gated(gate, "exit 5"), max_retries=0)
    worker = shop.worker(1, "--name", "gone")
    shop.started(job)
    worker.kill()
    (row,) = shop.supervisors()
    surroundings = clean_environment(QUEUECTL_DB=shop.address)
    words = [sys.executable, "-m", "queuectl", "worker", "stop", "gone"]
    with subprocess.Popen(words, env=surroundings, stdout=subprocess.PIPE, text=True) as stop:
        until(lambda: [each.epoch for each in shop.store.workers()] == [row.epoch + 1], "it is driven")
        gate.touch()
        assert stop.communicate(timeout=PATIENCE_S)[0] == "stopped gone\n"
    assert shop.job(job).exit_code == 5


# --- a suspended worker -----------------------------------------------------------------------


@on_each_store
def test_a_suspended_worker_is_said_to_be_and_goes_on_to_stop(shop: Workshop) -> None:
    worker = shop.worker(1, "--name", "held")
    worker.signal(signal.SIGSTOP)
    until(lambda: [each.suspended for each in shop.client.workers()] == [True])
    assert "held (suspended)" in queuectl(shop, "worker", "list").stdout
    checked = queuectl(shop, "status", "--check")
    assert checked.returncode == 1
    assert "worker held is suspended" in checked.stdout
    assert "worker held is suspended" in queuectl(shop, "doctor").stdout
    said = queuectl(shop, "worker", "stop")
    assert (said.returncode, said.stdout) == (0, "stopped held\n")
    assert worker.wait() == 0


def test_a_suspended_supervisor_suspends_its_worker(shop: Workshop) -> None:
    shop.worker(1)
    (row,) = shop.supervisors()
    os.kill(row.pid, signal.SIGSTOP)
    until(lambda: [each.suspended for each in shop.client.workers()] == [True])
    os.kill(row.pid, signal.SIGCONT)
    until(lambda: [each.suspended for each in shop.client.workers()] == [False])


# --- a clock that is set back -----------------------------------------------------------------


@pytest.mark.skipif(FAKE_CLOCK is None, reason="needs libfaketime (Debian: libfaketime)")
def test_a_clock_set_back_delays_no_retry_and_shortens_no_run(shop: Workshop, tmp_path: Path) -> None:
    shown, gate, failed = tmp_path / "clock", tmp_path / "gate", tmp_path / "failed"
    shown.write_text("+0")
    clock = {"LD_PRELOAD": str(FAKE_CLOCK), "FAKETIME_TIMESTAMP_FILE": str(shown), "FAKETIME_NO_CACHE": "1"}
    shop.worker(2, FAKETIME_DONT_FAKE_MONOTONIC="1", **clock)
    retried = shop.enqueue(f"[ -e {failed} ] || {{ touch {failed}; exit 1; }}", backoff_initial=3)
    long = shop.enqueue(gated(gate))
    shop.started(long)
    until(lambda: shop.job(retried).state is JobState.FAILED)
    shown.write_text("-3600")
    assert shop.finished(retried)[0].state is JobState.COMPLETED
    gate.touch()
    (done,) = shop.finished(long)
    assert done.duration is not None
    assert done.duration > 1.0


def test_doctor_names_an_orphan_with_its_commands(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1, "--name", "gone")
    shop.started(job)
    worker.kill()
    said = queuectl(shop, "doctor").stdout
    assert "no live worker" in said
    assert f"worker gone is orphaned: its dispatcher is gone, and it runs {job}" in said


# --- a worker of another PID namespace ----------------------------------------------------------


def test_what_a_dispatcher_of_another_namespace_can_end_runs_nowhere_else(shop: Workshop, tmp_path: Path) -> None:
    try:
        box = Machine("box", 9)
    except PermissionError as refusal:
        pytest.skip(f"needs namespaces: {refusal}")
    diary = tmp_path / "diary"
    try:
        worker = Worker(shop.db, machine=box)
        job = shop.enqueue(diary_command(diary, "test $QUEUECTL_LEASE -gt 1 || sleep 300"))
        shop.started(job)
        (dispatcher,) = box.processes("worker start")
        (supervisor,) = box.processes("supervise.supervisor")
        os.kill(dispatcher, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: shop.supervisors() == [])
        reaper = Reaper(shop.store, Host(shop.store.folder), lambda: Settings({}))
        assert reaper.clean_up(0.0) == []
        os.kill(dispatcher, signal.SIGCONT)
        worker.process.send_signal(signal.SIGCONT)  # what stands before the command stops with it
        (done,) = shop.finished(job)
        assert (done.state, done.starts, done.lost) == (JobState.COMPLETED, 2, 1)
        check(shop, diary, [job])
        assert box.processes("sleep 300") == []
        worker.close()
    finally:
        box.halt()


def test_a_worker_of_another_pid_namespace_is_told_by_its_supervisors_answer(shop: Workshop) -> None:
    try:
        box = Machine("box", 9)
    except PermissionError as refusal:
        pytest.skip(f"needs namespaces: {refusal}")
    try:
        worker = Worker(shop.db, machine=box)
        shop.started(shop.enqueue("sleep 300"))

        def conditions() -> list[Condition]:
            return [each.condition for each in shop.client.workers()]

        assert conditions() == [Condition.DRIVEN]
        worker.kill()
        worker.close()
        until(lambda: conditions() == [Condition.ORPHANED])
        stop = queuectl(shop, "worker", "stop", "--now")
        assert (stop.returncode, stop.stdout) == (0, ""), "from here it can be neither driven nor signalled"
        (supervisor,) = box.processes("supervise.supervisor")
        os.kill(supervisor, signal.SIGSTOP)
        assert conditions() == [Condition.UNKNOWN]
        assert "cannot be checked from here" in queuectl(shop, "worker", "list").stdout
        shutil.rmtree(shop.store.folder / "workers")
        assert conditions() == [Condition.UNKNOWN]
        assert all(job.lost == 0 for job in shop.client.find())
    finally:
        box.halt()
