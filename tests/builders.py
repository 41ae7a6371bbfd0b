"""Small things that tests are made of: a clock that moves by hand, jobs, workers and ends of executions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from queuectl import ids
from queuectl.domain.job import Job, JobState, Spec
from queuectl.domain.lifecycle import Claimed, Ended, Started, apply
from queuectl.store.port import Store
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Change, Grip, WorkerRow

NOON = 1_800_000_000.0
"""When tests begin: some moment with no meaning."""

HOST = "here"


@dataclass
class ManualClock:
    """A `Clock` that stands still until a test moves it."""

    at: float = NOON

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += seconds


def a_job(id: str = "job1", *, at: float = NOON, **fields: Any) -> Job:
    """A new job that is due since `at`."""
    given = {"command": "true", "spec": Spec(), "created_at": at, "run_at": at, "updated_at": at, **fields}
    return Job(id=id, **given)


def in_state(state: JobState, **fields: Any) -> Job:
    """A job as it may stand in `state`; `fields` say what is special about it."""
    usual: dict[str, Any] = {"state": state}
    if state is JobState.PROCESSING:
        usual |= {"worker": "w~1", "host": HOST, "lease": 1}
    if state is JobState.FAILED:
        usual |= {"attempts": 1, "next_retry_at": NOON + 2, "started_at": NOON, "finished_at": NOON}
    return a_job(**{**usual, **fields})


def an_end(at: float = NOON, *, took: float = 1.0, **fields: Any) -> Ended:
    """The end of an execution that was over at `at`; by itself and well unless `fields` say more."""
    if not fields.keys() & {"exit_code", "signal", "error", "cause"}:
        fields["exit_code"] = 0
    return Ended(started_at=at - took, finished_at=at, **fields)


def run(job: Job, at: float, **end: Any) -> Job:
    """The job after one more execution, which ended at `at`."""
    claimed = apply(job, Claimed(worker="w~1", host=HOST), at)
    return apply(apply(claimed, Started(at=at), at), an_end(at, **end), at)


def a_worker(id: str = "w~1", **fields: Any) -> WorkerRow:
    """The row of a supervisor."""
    row = WorkerRow(
        id=id, name=id.partition("~")[0], epoch=1, host=HOST, machine="boot:1", pid=10, dispatcher=11, slots=4,
        queues=(), tag=7, version="1", started_at=NOON,
    )  # fmt: skip
    return row._replace(**fields)


def a_grip(store: Store, id: str = "w~1") -> Grip:
    """The right to write for a supervisor that has just been registered."""
    row = a_worker(id)
    store.register(row)
    return row.grip


def claim_one(store: Store, grip: Grip) -> Job:
    """The one job there is to claim."""
    (job,) = store.claim(grip, HOST, 1, ())
    return job


def record_one(store: Store, grip: Grip, change: Change) -> Job | None:
    """What becomes of one change."""
    (after,) = store.record(grip, [change])
    return after


def finish(store: Store, grip: Grip, job: Job, **end: Any) -> Job | None:
    """Reports the end of a claimed job."""
    return record_one(store, grip, Change(job=job, event=an_end(store.now(), **end)))


def make_sqlite_store(path: Path) -> None:
    """Makes a new store in this file, as `SqliteStore` does, at a tenth of the cost: a copy with an id of its own."""
    content, store_id = _made()
    new = content.replace(store_id, ids.random_id(len(store_id)).encode())
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as file:
        file.write(new)


@cache
def _made() -> tuple[bytes, bytes]:
    """An empty store's file, and the id in it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        store = SqliteStore(path)
        store_id = store.store_id().encode()
        store.close()
        return path.read_bytes(), store_id
