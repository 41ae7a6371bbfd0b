"""Large stores, made by plain SQL from jobs that the store itself has written; and working on one as a worker does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from queuectl import ids
from queuectl.client.facade import Client
from queuectl.domain.job import Job
from queuectl.domain.lifecycle import Ended
from queuectl.store.port import Store
from queuectl.store.sqlite.connection import connect
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import FIRST_EPOCH, Change, Grip, WorkerRow
from queuectl.wire.requests import JobRequest

HOST = "bench"

COPY_JOB = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :copies)
INSERT INTO jobs (id, run_at, due_at, {columns})
SELECT lower(hex(randomblob(8))), run_at - (:copies - i) / 1e3, due_at - (:copies - i) / 1e3, {columns}
FROM n, jobs WHERE seq = :seq
"""
COPY_ATTEMPT = """
INSERT INTO attempts (job, {columns})
SELECT jobs.seq, one.* FROM jobs, (SELECT {columns} FROM attempts WHERE job = :seq) AS one WHERE jobs.seq > :seq
"""
COUNT = "INSERT OR REPLACE INTO counts SELECT queue, state, count(*) FROM jobs GROUP BY queue, state"


@contextmanager
def opened(path: Path) -> Iterator[Client]:
    """A client of a store that stays."""
    client = Client(SqliteStore(path))
    try:
        yield client
    finally:
        client.close()


def prepared(folder: Path, *, waiting: int, finished: int) -> Path:
    """A store with about so many jobs, made once for each folder."""
    path = folder / f"waiting-{waiting}-finished-{finished}" / "queuectl.db"
    if not path.exists():
        with opened(path) as client:
            if finished:
                multiply(path, one_finished(client), finished - 1)
            multiply(path, one_waiting(client), waiting - 1)
    return path


def one_waiting(client: Client) -> int:
    """The `seq` of a new job."""
    (job,) = client.enqueue([JobRequest(command="true")])
    return client.job(job.id).seq


def one_finished(client: Client) -> int:
    """The `seq` of a job that has run well."""
    seq = one_waiting(client)
    with a_grip(client.store) as grip:
        claim_and_finish(client.store, grip, 1)
    return seq


def multiply(path: Path, seq: int, copies: int) -> None:
    """Copies a job with its attempts, each copy due a millisecond before the next."""
    db = connect(str(path), 10.0)
    try:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        for query, table, special in (
            (COPY_JOB, "jobs", {"seq", "id", "run_at", "due_at"}), (COPY_ATTEMPT, "attempts", {"job"})
        ):  # fmt: skip
            names = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})") if name not in special]
            db.execute(query.format(columns=", ".join(names)), {"seq": seq, "copies": copies})
        db.execute(COUNT)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    os.sync()  # or the rows that follow would pay for it


@contextmanager
def a_grip(store: Store) -> Iterator[Grip]:
    """The right to write for a worker that is only a row."""
    row = WorkerRow(
        id=f"bench~{ids.random_id(4)}", name="bench", epoch=FIRST_EPOCH, host=HOST, machine="none", pid=0, dispatcher=0,
        slots=1, queues=(), tag=0, version="0", started_at=store.now(),
    )  # fmt: skip
    store.register(row)
    try:
        yield row.grip
    finally:
        store.deregister(row.grip)


def claim_and_finish(store: Store, grip: Grip, limit: int) -> Sequence[Job]:
    """Takes up to `limit` jobs and reports that each has run well."""
    jobs = store.claim(grip, HOST, limit, ())
    now = store.now()
    end = Ended(started_at=now, finished_at=now, exit_code=0, cpu_time=0.001, max_rss=1 << 20, output_bytes=0)
    store.record(grip, [Change(job=job, event=end) for job in jobs])
    return jobs
