"""Faults of the machine and of queuectl itself: a worker says what is wrong, burns no job, and can be stopped."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from queuectl.client import doctor
from queuectl.domain.condition import Condition
from queuectl.domain.job import JobState
from queuectl.engine.dispatch.reaper import LOOK_EVERY_S
from queuectl.places import log_path
from queuectl.store.sqlite.connection import folder_of
from tests.engine.test_capabilities import Handicapped, interpreter_without
from tests.stores import on_each_store
from tests.workshop import Workshop, clean_environment, until


def test_a_worker_whose_interpreter_is_gone_is_listed_and_stops_when_asked(shop: Workshop, tmp_path: Path) -> None:
    program = interpreter_without(tmp_path, "")
    job = shop.enqueue("sleep 300", max_retries=0)
    worker = Handicapped(shop, program)
    shop.started(job)
    moved = program.rename(program.with_name("moved"))
    os.kill(shop.supervisors()[0].pid, signal.SIGKILL)
    until(lambda: [view.condition for view in shop.client.workers()] == [Condition.UNABLE])
    (view,) = shop.client.workers()
    assert (view.pid, view.slots, shop.job(job).state) == (worker.process.pid, 0, JobState.PENDING)
    wrong = {finding.code: finding.message for finding in doctor.examine(shop.address)}
    assert f"{program} is gone" in wrong["worker_unable"]
    moved.rename(program)
    until(lambda: shop.client.workers()[0].condition is Condition.DRIVEN, "it goes on by itself")
    until(lambda: shop.job(job).state is JobState.PROCESSING)
    program.rename(moved)
    os.kill(shop.supervisors()[0].pid, signal.SIGKILL)
    until(lambda: [view.condition for view in shop.client.workers()] == [Condition.UNABLE])
    asked = shop.client.ask_to_stop(None, now=True)
    said = worker.end()
    assert f"{program} is gone" in said
    assert (shop.client.still_there(asked), shop.client.workers()) == ([], [])


def test_a_supervisors_last_words_are_in_the_workers_log(shop: Workshop, tmp_path: Path) -> None:
    breaks = "import os\ndef wait4(*_):\n    raise ValueError('broken here')\nos.wait4 = wait4"
    job = shop.enqueue("true", max_retries=0)
    worker = Handicapped(shop, interpreter_without(tmp_path, breaks))
    shop.finished(job)
    until(lambda: "said last" in "".join(path.read_text() for path in (shop.store.folder / "logs").glob("*.log")))
    worker.process.send_signal(signal.SIGINT)
    said = worker.end()
    assert "ValueError: broken here (File" in said


@pytest.mark.parametrize("new", ["garbage", "a folder"])
def test_a_detached_worker_whose_store_is_spoiled_leaves_its_error_in_its_log(tmp_path: Path, new: str) -> None:
    db = tmp_path / "jobs.db"
    command = [sys.executable, "-m", "queuectl", "--db", str(db), "worker", "start", "--detach", "--name", "w"]
    subprocess.run(command, check=True, capture_output=True, env=clean_environment(), timeout=60)
    if new == "garbage":
        spoilt = tmp_path / "spoilt"
        spoilt.write_bytes(b"not a database" * 1000)
        spoilt.rename(db)
    else:
        db.unlink()
        db.mkdir()
    log = Path(folder_of(str(db))) / "logs" / "w.log"
    until(lambda: "the worker ends: " in log.read_text())
    assert str(db) in log.read_text().splitlines()[-1]


def test_a_detached_worker_that_crashes_leaves_its_error_in_its_log(shop: Workshop) -> None:
    program = (
        "from queuectl import detaching; from queuectl.wire.workers import WorkerOptions\n"
        "from queuectl.engine.dispatch.dispatcher import Dispatcher\n"
        "def step(self, heard): raise KeyError('surprise')\n"
        "Dispatcher.step = step\n"
        f"print(detaching.start_detached({str(shop.db)!r}, WorkerOptions(name='w')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, env=clean_environment())
    log = log_path(shop.store, "w")
    until(lambda: log.exists() and "crashed" in log.read_text())
    assert "KeyError: 'surprise' (<string>, line 3, in step)" in log.read_text()


@on_each_store
def test_a_worker_that_can_open_no_file_goes_on_once_it_can(shop: Workshop, tmp_path: Path) -> None:
    worker, other = shop.worker(2), shop.worker(2)
    diary = tmp_path / "diary"
    jobs = shop.enqueue_all([{"command": f"echo $QUEUECTL_JOB_ID >> {diary}; sleep 0.3"}] * 8)
    shop.started(jobs[0])
    before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    opened = {int(name) for name in os.listdir(f"/proc/{worker.pid}/fd")}
    lowest_free = min(set(range(len(opened) + 1)) - opened)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    other.kill()  # of which it has to look at files
    looked_by = time.monotonic() + 2 * LOOK_EVERY_S
    until(lambda: worker.process.poll() is not None or time.monotonic() > looked_by)
    assert worker.process.poll() is None, worker.said()
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
    assert {(job.state, job.attempts, job.lost) for job in shop.finished(*jobs)} == {(JobState.COMPLETED, 1, 0)}
    assert sorted(shop.events(diary)) == sorted([job] for job in jobs)
    assert worker.stop() == 0
