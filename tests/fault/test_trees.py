"""What belongs to an execution is found without its tag, ended where it may be, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.client import doctor, orphaned
from queuectl.domain.job import JobState, Outcome
from queuectl.engine.supervise.roster import ROSTER_NAME
from queuectl.engine.supervise.trees import see
from tests.stores import on_each_store
from tests.workshop import Workshop, until

RESETS_LIMITS = "prlimit --locks=unlimited:unlimited"
"""As sudo, su and PAM do, so that nothing below carries a tag any more."""
ANOTHER_USERS = "setpriv --reuid=65534 --regid=65534 --clear-groups"
WITHOUT_KILL = ("setpriv", "--bounding-set=-kill")
"""Root as this may signal nobody else's processes, just as any user."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run a command as another user")


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """A folder where commands leave their pids, each in a file. Whatever lives of them at the end is ended."""
    folder = tmp_path / "pids"
    folder.mkdir()
    yield folder
    for file in folder.iterdir():
        if file.read_text().strip() and see(int(file.read_text())):
            os.kill(int(file.read_text()), signal.SIGKILL)


def lives(file: Path) -> bool:
    """Whether the process of this pid file lives."""
    return see(int(file.read_text())) is not None


def written(file: Path) -> Path:
    """The file, once a pid is in it."""
    until(lambda: file.exists() and file.read_text().strip(), f"{file.name} is written")
    return file


WAYS = {
    "a child": "sh -c 'echo $$ > $1; exec sleep 300' sh $1",
    "a session of its own": "setsid --wait sh -c 'echo $$ > $1; exec sleep 300' sh $1",
    "left by its parent": "sh -c 'setsid sleep 300 & echo $! > $1' sh $1; sleep 300",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_time_limit_reaches_what_carries_no_tag(shop: Workshop, pids: Path, way: str) -> None:
    file, script = pids / "inner", pids.parent / "script"
    script.write_text(way)
    job = shop.enqueue(f"exec {RESETS_LIMITS} sh {script} {file}", timeout=1.0, max_retries=0)
    beside = shop.enqueue("sleep 3")
    shop.worker(2)
    written(file)
    (ended, completed) = shop.finished(job, beside)
    assert (ended.state, ended.error) == (JobState.DEAD, "timed out after 1s")
    assert not lives(file)
    assert (completed.state, completed.lost) == (JobState.COMPLETED, 0)


@pytest.mark.parametrize("command", ["sudo sleep 300", "su -c 'sleep 300'", "runuser -u nobody -- sleep 300"])
@as_root
def test_sudo_su_and_runuser_are_ended_by_cancel(shop: Workshop, command: str) -> None:
    if shutil.which(command.split()[0]) is None and not os.environ.get("CI"):
        pytest.skip("not installed")
    job = shop.enqueue(command)
    shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    shop.client.cancel([job])
    assert shop.finished(job)[0].state is JobState.CANCELLED
    assert (shop.supervisors(), shop.job(job).lost) == ([row], 0)


@on_each_store
@as_root
def test_what_may_not_be_signalled_is_named_and_its_job_waits(
    shop: Workshop, pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(shop.folder))
    file, count = pids / "inner", pids.parent / "starts"
    body = f"echo >> {count}; {ANOTHER_USERS} sleep 300 & echo $! > {file}; wait"
    job = shop.enqueue(body, timeout=0.5, kill_grace=0.1, max_retries=1, backoff_initial=0.0)
    beside = shop.enqueue("sleep 2")
    shop.worker(2, under=WITHOUT_KILL)
    pid = int(written(file).read_text())
    until(lambda: shop.job(job).error, "what could not be ended is told")
    assert shop.job(job).error == f"could not be ended: sleep (pid {pid}, of nobody)"
    assert shop.job(job).state is JobState.PROCESSING
    codes = {finding.code: finding.message for finding in doctor.examine(shop.address)}
    assert f"sleep (pid {pid}" in codes["process_stuck"]
    assert shop.finished(beside)[0].lost == 0
    assert count.read_text() == "\n"
    file.unlink()
    os.kill(pid, signal.SIGKILL)
    written(file)
    assert shop.store.attempts(shop.job(job))[0].outcome is Outcome.TIMEOUT
    assert count.read_text() == "\n\n", "it runs again once nothing of it lives"


@as_root
def test_stop_now_leaves_unkillable_commands_to_the_next_worker(shop: Workshop, pids: Path) -> None:
    file, count = pids / "inner", pids.parent / "starts"
    job = shop.enqueue(f"echo >> {count}; {ANOTHER_USERS} sleep 300 & echo $! > {file}; wait", kill_grace=0.1)
    worker = shop.worker(1, under=WITHOUT_KILL)
    pid = int(written(file).read_text())
    shop.started(job)
    asked = shop.client.ask_to_stop(None, now=True)
    assert worker.wait() == 0
    assert "could not be ended" in worker.said()
    assert shop.client.still_there(asked) == []
    shop.worker(1)
    until(lambda: shop.supervisors()[0].epoch > 1 or len(shop.supervisors()) > 1, "another takes over")
    assert (shop.job(job).state, count.read_text()) == (JobState.PROCESSING, "\n")
    shop.client.cancel([job])
    os.kill(pid, signal.SIGKILL)
    assert (shop.finished(job)[0].state, shop.job(job).lease) == (JobState.CANCELLED, 1)


@as_root
def test_a_cancel_does_not_wait_for_an_orphans_command_that_cannot_be_ended(
    shop: Workshop, pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pids / "inner"
    job = shop.enqueue(f"{ANOTHER_USERS} sleep 300 & echo $! > {file}; wait", kill_grace=0.1)
    worker = shop.worker(1, under=WITHOUT_KILL)
    pid = int(written(file).read_text())
    shop.started(job)
    worker.kill()
    monkeypatch.setattr(orphaned, "STUCK_AFTER_S", 1.0)
    shop.client.cancel([job])
    assert (shop.job(job).state, shop.job(job).cancel_requested) == (JobState.PROCESSING, True)
    os.kill(pid, signal.SIGKILL)
    shop.worker(1)
    assert shop.finished(job)[0].state is JobState.CANCELLED


@as_root
def test_a_dead_supervisors_job_waits_for_what_cannot_be_ended(shop: Workshop, pids: Path) -> None:
    file, count = pids / "inner", pids.parent / "starts"
    job = shop.enqueue(f"echo >> {count}; {ANOTHER_USERS} sleep 300 & echo $! > {file}; wait")
    worker = shop.worker(1, under=WITHOUT_KILL)
    pid = int(written(file).read_text())
    shop.started(job)
    os.kill(shop.supervisors()[0].pid, signal.SIGKILL)
    until(lambda: shop.job(job).error, "what could not be ended is told")
    assert shop.job(job).error == f"could not be ended: sleep (pid {pid}, of nobody)"
    until(lambda: worker.said().count("lives") == 1)
    assert count.read_text() == "\n"
    file.unlink()
    os.kill(pid, signal.SIGKILL)
    written(file)
    assert (shop.job(job).lost, worker.said().count("could not be ended")) == (1, 1)


def test_a_daemon_of_a_completed_command_outlives_every_clean_up(shop: Workshop, pids: Path) -> None:
    file = pids / "daemon"
    done = shop.enqueue(f"setsid sh -c 'echo $$ > {file}; exec sleep 300' >/dev/null 2>&1 & sleep 0.2")
    worker = shop.worker(1)
    assert shop.finished(done)[0].state is JobState.COMPLETED
    again = pids / "running"
    running = shop.enqueue(f"echo $$ > {again}; exec sleep 300")
    written(again)
    shop.started(running)
    again.unlink()
    os.kill(shop.supervisors()[0].pid, signal.SIGKILL)  # settled by its own dispatcher
    written(again)
    assert lives(file)
    (row,) = shop.supervisors()
    worker.kill()
    os.kill(row.pid, signal.SIGKILL)
    until(lambda: not shop.supervisors())
    found = [finding for finding in doctor.examine(shop.address) if finding.code.startswith("process_left")]
    assert [finding.code for finding in found] == ["process_left"], "only what has to be ended"
    doctor.clean_up(shop.store)
    assert lives(file)


def test_doctor_notes_what_jobs_of_a_living_worker_left_running(shop: Workshop, pids: Path) -> None:
    file, again = pids / "daemon", pids / "running"
    left = shop.enqueue(f"setsid sh -c 'echo $$ > {file}; exec sleep 300' >/dev/null 2>&1 & sleep 0.2")
    worker = shop.worker(2)
    running = shop.enqueue(f"echo $$ > {again}; exec sleep 300")
    shop.finished(left)
    written(again)
    shop.started(running)
    notes = [each.message for each in doctor.examine(shop.address) if each.code == "process_left_by_ended_job"]
    (pid,) = file.read_text().split()
    assert [note.split(" was left running")[0] for note in notes] == [f"sleep (pid {pid})"]
    assert worker.process.poll() is None


@on_each_store
def test_a_daemon_of_the_dead_supervisor_itself_is_noted_and_not_ended(shop: Workshop, pids: Path) -> None:
    file = pids / "daemon"
    done = shop.enqueue(f"setsid sh -c 'echo $$ > {file}; exec sleep 300' >/dev/null 2>&1 & sleep 0.2")
    worker = shop.worker(1)
    assert shop.finished(done)[0].state is JobState.COMPLETED
    again = pids / "running"
    running = shop.enqueue(f"echo $$ > {again}; exec sleep 300")
    written(again)
    shop.started(running)
    (row,) = shop.supervisors()
    worker.kill()
    os.kill(row.pid, signal.SIGKILL)
    until(lambda: see(row.pid) is None)
    if shop.store.shared_by_machines:
        shop.worker(1)
        until(lambda: shop.job(running).lost == 1)
    else:
        notes = {finding.code: finding for finding in doctor.examine(shop.address)}
        assert notes["process_left_by_ended_job"].fix == ""
        assert notes["process_left"].message.startswith("sleep (pid")
        doctor.clean_up(shop.store)
    assert lives(file)


@pytest.mark.parametrize(
    ("resets", "body", "settled_by"),
    [("env -i", "sleep 300", "its dispatcher"), ("", WAYS["left by its parent"], "a stranger")],
)
def test_a_killed_supervisors_tree_is_found_without_limit_and_roster(
    shop: Workshop, pids: Path, resets: str, body: str, settled_by: str
) -> None:
    script = pids.parent / "script"
    script.write_text(f"echo $$ > {pids}/outer; {body}")
    job = shop.enqueue(f"exec {resets} {RESETS_LIMITS} sh {script} {pids}/inner", max_retries=0, priority=1)
    worker = shop.worker(1)
    shop.started(job)
    first = [int(written(pids / name).read_text()) for name in ("outer", "inner")[: 1 + ("$1" in body)]]
    (row,) = shop.supervisors()
    if settled_by == "a stranger":
        worker.kill()
    os.kill(row.pid, signal.SIGSTOP)  # it makes what is removed again
    (shop.store.folder / "workers" / row.id / ROSTER_NAME).unlink()
    os.kill(row.pid, signal.SIGKILL)
    if settled_by == "a stranger":
        shop.worker(1)
    until(lambda: shop.job(job).lost == 1, "its loss is on record")
    assert [pid for pid in first if see(pid)] == []


def test_removing_the_store_leaves_a_completed_commands_daemon_alone(shop: Workshop, pids: Path) -> None:
    file, running = pids / "daemon", pids / "running"
    done = shop.enqueue(f"setsid sh -c 'echo $$ > {file}; exec sleep 300' >/dev/null 2>&1 & sleep 0.2")
    shop.worker(2)
    shop.finished(done)
    shop.enqueue(f"exec {RESETS_LIMITS} sh -c 'echo $$ > {running}; exec sleep 300'")
    written(running)
    for name in ("queuectl.db", "queuectl.db-wal", "queuectl.db-shm"):
        (shop.folder / name).unlink()
    shutil.rmtree(shop.store.folder)
    until(lambda: not lives(running), "the old store's command is ended")
    assert lives(file)


ENDS_ITS_MAIN_THREAD = """
import ctypes, os, sys, threading, time
def go_on():
    while ") Z " not in open("/proc/self/stat").read():
        time.sleep(0.1)
    kept = bytearray(int(sys.argv[2]))
    open(sys.argv[1], "w").write(str(os.getpid()))
    time.sleep(300)
threading.Thread(target=go_on).start()
ctypes.CDLL(None).pthread_exit(None)
"""
"""A program that looks like one that has ended."""


def without_its_main_thread(pids: Path, size: int = 0) -> str:
    script = pids.parent / "script.py"
    script.write_text(ENDS_ITS_MAIN_THREAD)
    return f"exec {sys.executable} {script} {pids / 'it'} {size}"


def test_a_time_limit_ends_a_program_whose_main_thread_has_ended(shop: Workshop, pids: Path) -> None:
    job = shop.enqueue(without_its_main_thread(pids), timeout=2.0, max_retries=0)
    shop.worker(1)
    written(pids / "it")
    (ended,) = shop.finished(job)
    assert (ended.state, ended.error) == (JobState.DEAD, "timed out after 2s")


def test_a_memory_limit_holds_for_a_program_whose_main_thread_has_ended(shop: Workshop, pids: Path) -> None:
    job = shop.enqueue(without_its_main_thread(pids, 200 << 20), memory_max="100m", max_retries=0)
    shop.worker(1)
    (ended,) = shop.finished(job)
    assert str(ended.error).startswith("memory limit 100m exceeded (")
