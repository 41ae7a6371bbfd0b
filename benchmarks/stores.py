"""Large stores, made by plain SQL from jobs that the store itself has written; and working on one as a worker does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from queuectl import ids
from queuectl.client.facade import Client
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Job
from queuectl.domain.lifecycle import Ended
from queuectl.store.port import Store
from queuectl.store.postgres.address import parse_address
from queuectl.store.sqlite.connection import connect
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import FIRST_EPOCH, Change, Grip, WorkerRow
from queuectl.wire.requests import JobRequest

HOST = "bench"

SLICE = 500_000
"""Copies of a transaction."""
COPY_JOB = """
WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO jobs (id, run_at, due_at, {columns})
SELECT lower(hex(randomblob(8))), run_at - (:copies - i) / 1e3, due_at - (:copies - i) / 1e3, {columns}
FROM n, jobs WHERE seq = :seq
"""
COPY_JOB_ON_SERVER = """
INSERT INTO {schema}.jobs (id, run_at, due_at, {columns})
SELECT left(md5(seq || 'x' || i), 16), run_at - (%(copies)s::bigint - i) / 1e3, due_at - (%(copies)s::bigint - i) / 1e3,
       {columns}
FROM {schema}.jobs, generate_series(%(first)s::bigint, %(last)s::bigint) AS i WHERE seq = %(seq)s
"""
COPY_ATTEMPT = """
INSERT INTO {schema}attempts (job, {columns})
SELECT jobs.seq, one.* FROM {schema}jobs, (SELECT {columns} FROM {schema}attempts WHERE job = {seq}) AS one
WHERE jobs.seq > {after}
"""
COUNT = "INSERT OR REPLACE INTO counts SELECT queue, state, count(*) FROM jobs GROUP BY queue, state"
COUNT_ON_SERVER = (
    "INSERT INTO {schema}.counts SELECT queue, state, %(copies)s FROM {schema}.jobs WHERE seq = %(seq)s",
    "INSERT INTO {schema}.uses SELECT spec, %(copies)s FROM {schema}.jobs WHERE seq = %(seq)s",
    "VACUUM ANALYZE {schema}.jobs, {schema}.attempts, {schema}.counts, {schema}.uses", "CHECKPOINT",
)  # fmt: skip
OF_JOB, OF_ATTEMPT = {"seq", "id", "run_at", "due_at"}, {"job"}
"""The columns that copies have of their own."""


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
        of_job, of_attempt = (
            ", ".join(name for _, name, *_ in db.execute(f"PRAGMA table_info({table})") if name not in own)
            for table, own in (("jobs", OF_JOB), ("attempts", OF_ATTEMPT))
        )
        for first in range(1, copies + 1, SLICE):
            last = min(copies, first + SLICE - 1)
            ((after,),) = db.execute("SELECT max(seq) FROM jobs")
            db.execute("BEGIN")
            terms = {"seq": seq, "copies": copies, "first": first, "last": last}
            db.execute(COPY_JOB.format(columns=of_job), terms)
            db.execute(COPY_ATTEMPT.format(schema="", columns=of_attempt, seq=seq, after=after))
            db.execute("COMMIT")
        db.execute(COUNT)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    os.sync()  # or the rows that follow would pay for it


def multiply_on_server(url: str, seq: int, copies: int) -> None:
    """The same in a store on PostgreSQL."""
    address = parse_address(url)
    schema = f'"{address.schema}"'
    known = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    with psycopg.connect(address.server, autocommit=True) as db:
        of_job, of_attempt = (
            ", ".join(name for (name,) in db.execute(known, [address.schema, table]) if name not in own)
            for table, own in (("jobs", OF_JOB), ("attempts", OF_ATTEMPT))
        )
        for first in range(1, copies + 1, SLICE):
            found = db.execute(f"SELECT max(seq) FROM {schema}.jobs".encode()).fetchone()
            assert found is not None
            terms = {"seq": seq, "copies": copies, "first": first, "last": min(copies, first + SLICE - 1)}
            db.execute(COPY_JOB_ON_SERVER.format(schema=schema, columns=of_job).encode(), terms)
            rest = {"columns": of_attempt, "seq": seq, "after": found[0]}
            db.execute(COPY_ATTEMPT.format(schema=f"{schema}.", **rest).encode())
        for text in COUNT_ON_SERVER:
            given = {"seq": seq, "copies": copies} if "%(" in text else None
            db.execute(text.format(schema=schema).encode(), given)


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
    finish(store, grip, jobs)
    return jobs


def finish(store: Store, grip: Grip, jobs: Sequence[Job]) -> None:
    """Reports that each has run well."""
    now = store.now()
    end = Ended(started_at=now, finished_at=now, exit_code=0, cpu_time=0.001, max_rss=1 << 20, output_bytes=0)
    store.record(grip, [Change(job=job, event=end) for job in jobs])


def claim_on_and_on(store: Store, batch: int, run_s: float) -> tuple[int, int]:
    """Reports each batch with the next claims, as a dispatcher does, for so long; what is refused is tried again. How
    many jobs were finished, and how many transactions refused."""
    done = refused = 0
    with a_grip(store) as grip:
        held = store.claim(grip, HOST, batch, ())
        end_at = time.perf_counter() + run_s
        while time.perf_counter() < end_at:
            try:
                with store.transaction():
                    finish(store, grip, held)
                    claimed = store.claim(grip, HOST, batch, ())
            except StoreUnavailable:
                refused += 1
                continue
            done += len(held)
            held = claimed
        finish(store, grip, held)
    return done, refused
