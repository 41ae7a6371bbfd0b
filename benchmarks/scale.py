"""What many jobs cost: adding them, and working and looking among a million."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.bench import MODULE, SCRIPT, Setting, alternating, fresh_store, seconds, worker
from benchmarks.stores import a_grip, claim_and_finish, opened, prepared
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.store.shared import rows
from queuectl.store.sqlite.connection import connect
from queuectl.wire.requests import JobRequest

BATCH = 128
FEW = 1000
MANY = 1_000_000


# --- adding -----------------------------------------------------------------------------------


def bulk_enqueue(setting: Setting) -> Sequence[float]:
    """Jobs/s of `queuectl enqueue --file` ÷ rows/s of `executemany` of the same rows into the same schema."""
    jobs = int(100_000 * setting.scale)
    with fresh_store() as client, tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(f'{{"command": "echo {number}"}}\n' for number in range(jobs))
        file.flush()
        took = seconds([*MODULE, "--db", client.store.url, "--quiet", "enqueue", "--file", file.name])
        specs, job_rows = rows_of(client.store.url)
    if len(job_rows) != jobs:
        raise RuntimeError(f"{len(job_rows)} of {jobs} jobs were enqueued")
    return [insertion(specs, job_rows) / took]


def rows_of(path: str) -> tuple[list[Any], list[Any]]:
    """The specs and the jobs of a store, as they were inserted."""
    db = connect(path, 10.0)
    try:
        specs = db.execute("SELECT id, body FROM specs").fetchall()
        return specs, db.execute(f"SELECT {', '.join(rows.BORN)} FROM jobs ORDER BY seq").fetchall()
    finally:
        db.close()


def insertion(specs: list[Any], job_rows: list[Any]) -> float:
    """Seconds that one durable transaction with these rows takes in a fresh store."""
    with fresh_store() as client:
        db = connect(client.store.url, 10.0)
        try:
            began = time.perf_counter()
            db.execute("BEGIN")
            db.executemany("INSERT INTO specs (id, body) VALUES (?, ?)", specs)
            marks = ", ".join("?" * len(rows.BORN))
            db.executemany(f"INSERT INTO jobs ({', '.join(rows.BORN)}) VALUES ({marks})", job_rows)
            db.execute("COMMIT")
            return time.perf_counter() - began
        finally:
            db.close()


# --- working ----------------------------------------------------------------------------------


def claims(setting: Setting) -> Sequence[float]:
    """Time of claim and finish among a million waiting jobs, and a million finished ones, ÷ among a thousand."""
    batches = max(5, int(40 * setting.scale))
    few, waiting, finished = (claim_s(path, batches) for path in stores(setting))
    return waiting / few, finished / few


def stores(setting: Setting) -> Sequence[Path]:
    """Stores with few jobs, with many that wait, and with many that have finished."""
    many = max(FEW, int(MANY * setting.scale))
    return [
        prepared(setting.folder, waiting=waiting, finished=finished)
        for waiting, finished in ((FEW, 0), (many, 0), (FEW, many))
    ]


def claim_s(path: Path, batches: int) -> float:
    """Seconds that some batches take, one after the other; those jobs are replaced, so the store stays as large."""
    took = 0.0
    with opened(path) as client, a_grip(client.store) as grip:
        for _ in range(batches):
            began = time.perf_counter()
            jobs = claim_and_finish(client.store, grip, BATCH)
            took += time.perf_counter() - began
            client.enqueue([JobRequest(command="true")] * len(jobs))
    return took


# --- looking ----------------------------------------------------------------------------------


def looks(setting: Setting) -> Sequence[float]:
    """`list` and `show` among a million jobs ÷ among a thousand; milliseconds more that `status` takes.

    The worse of a million that wait and a million that have finished, each with a live worker that is busy: places
    in line are told only where one serves.
    """
    runs = max(3, int(5 * setting.scale))
    with ExitStack() as workers:
        for path in stores(setting):
            workers.enter_context(busy_worker(path))
        listed, shown, status = (
            alternating([look(verb, path) for path in stores(setting)], runs) for verb in ("list", "show", "status")
        )
    return max(listed[1:]) / listed[0], max(shown[1:]) / shown[0], (max(status[1:]) - status[0]) * 1000


@contextmanager
def busy_worker(path: Path) -> Iterator[None]:
    """A worker whose only slot is taken."""
    with opened(path) as client:
        (job,) = client.enqueue([JobRequest(command="sleep 600", columns={"priority": 100})])
        with worker(client, 1):
            try:
                while client.job(job.id).started_at is None:
                    time.sleep(0.01)
                yield
            finally:
                client.cancel([job.id])


def look(verb: str, path: Path) -> Sequence[str]:
    """A command line that looks at the jobs of a store."""
    rest = {"list": ["--limit", "50"], "show": [some_id(path)], "status": []}[verb]
    return [SCRIPT, "--db", str(path), verb, *rest]


def some_id(path: Path) -> str:
    """The id of the last waiting job."""
    with opened(path) as client:
        (job,) = client.find(Selector(states=(JobState.PENDING,)), limit=1, newest_first=True)
        return job.id
