"""Measures the recovery times that `docs/guarantees.md` states. Prints a row for each case:

python -m tests.docs.recovery_times [ROUNDS]

Real workers, real signals. The fault comes at a random moment of the other worker's rounds, so that the longest of
some ten rounds is near the worst case. Takes some minutes.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from queuectl.store.sqlite.connection import sqlite3
from queuectl.store.values import WorkerRow
from tests.workshop import Workshop, open_workshop, until

ROUND_OF_LOOKS_S = 2.0
"""How often a worker looks after others; the fault comes anywhere within."""


def some_moment() -> None:
    time.sleep(random.random() * ROUND_OF_LOOKS_S)


def since(began: float) -> float:
    return time.monotonic() - began


def of_job(shop: Workshop, job: str) -> WorkerRow:
    """The supervisor that holds a job."""
    holder = shop.job(job).worker
    return next(row for row in shop.supervisors() if row.id == holder)


def dispatcher_killed_another_there(shop: Workshop) -> float:
    """From SIGKILL of a dispatcher until another live worker drives its supervisor; the command goes on."""
    first = shop.worker(1)
    job = shop.enqueue("sleep 300")
    shop.started(job)
    shop.worker(1)
    some_moment()
    began = time.monotonic()
    first.kill()
    until(lambda: of_job(shop, job).epoch == 2)
    return since(began)


def dispatcher_killed_another_started(shop: Workshop) -> float:
    """The same with no other worker: from the moment that a new one serves."""
    first = shop.worker(1)
    job = shop.enqueue("sleep 300")
    shop.started(job)
    first.kill()
    shop.worker(1)
    began = time.monotonic()
    until(lambda: of_job(shop, job).epoch == 2)
    return since(began)


def supervisor_killed(shop: Workshop) -> float:
    """From SIGKILL of a supervisor until its job runs again."""
    shop.worker(1)
    job = shop.enqueue("sleep 300")
    shop.started(job)
    began = time.monotonic()
    os.kill(of_job(shop, job).pid, signal.SIGKILL)
    until(lambda: shop.job(job).lease == 2 and shop.job(job).started_at)
    return since(began)


def all_of_a_worker_killed(shop: Workshop) -> float:
    """From SIGKILL of dispatcher and supervisor until another live worker runs the job again."""
    first = shop.worker(1)
    job = shop.enqueue("sleep 300")
    shop.started(job)
    shop.worker(1)
    some_moment()
    row = of_job(shop, job)
    began = time.monotonic()
    first.kill()
    os.kill(row.pid, signal.SIGKILL)
    until(lambda: shop.job(job).lease == 2 and shop.job(job).started_at)
    return since(began)


def supervisor_frozen(shop: Workshop) -> float:
    """From SIGSTOP of a supervisor until its job runs again (the frozen one is ended first)."""
    shop.worker(1)
    job = shop.enqueue("sleep 300")
    shop.started(job)
    some_moment()
    began = time.monotonic()
    os.kill(of_job(shop, job).pid, signal.SIGSTOP)
    until(lambda: shop.job(job).lease == 2 and shop.job(job).started_at)
    return since(began)


def dispatcher_frozen(shop: Workshop) -> float:
    """From SIGSTOP of a dispatcher until another worker drives its supervisor (lease-ttl 15 s)."""
    first = shop.worker(1)
    job = shop.enqueue("sleep 300")
    shop.started(job)
    shop.worker(1)
    some_moment()
    began = time.monotonic()
    first.signal(signal.SIGSTOP)
    until(lambda: of_job(shop, job).epoch == 2)
    return since(began)


def store_locked(shop: Workshop) -> float:
    """From the end of a 10 s lock by another process until a result that waited for it is recorded."""
    shop.worker(1)
    job = shop.enqueue("sleep 1")
    shop.started(job)
    other = sqlite3.connect(shop.db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(8 + random.random() * 2)
    other.execute("ROLLBACK")
    other.close()
    began = time.monotonic()
    shop.finished(job)
    return since(began)


def store_removed(shop: Workshop) -> float:
    """From `rm queuectl.db` until every command of the old store is ended."""
    shop.worker(1)
    job = shop.enqueue("sleep 300")
    shop.started(job)
    assert shop.commands()
    some_moment()
    began = time.monotonic()
    shop.db.unlink()
    until(lambda: not shop.commands())
    return since(began)


def running_job_cancelled(shop: Workshop) -> float:
    """From `cancel` until the command is gone."""
    shop.worker(1)
    job = shop.enqueue("sleep 300")
    shop.started(job)
    assert shop.commands()
    began = time.monotonic()
    shop.client.cancel([job])
    until(lambda: not shop.commands())
    return since(began)


CASES: tuple[tuple[Callable[[Workshop], float], int], ...] = (
    (dispatcher_killed_another_there, 12),
    (dispatcher_killed_another_started, 8),
    (supervisor_killed, 8),
    (all_of_a_worker_killed, 12),
    (supervisor_frozen, 8),
    (dispatcher_frozen, 4),
    (store_locked, 4),
    (store_removed, 8),
    (running_job_cancelled, 8),
)


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] else None
    print(f"{'case':<36}{'rounds':>7}{'median':>9}{'longest':>9}", flush=True)
    for case, usual in CASES:
        times = []
        for _ in range(rounds or usual):
            with tempfile.TemporaryDirectory() as folder, open_workshop(Path(folder)) as shop:
                times.append(case(shop))
        print(f"{case.__name__:<36}{len(times):>7}{median(times):>8.2f}s{max(times):>8.2f}s", flush=True)


if __name__ == "__main__":
    main()
