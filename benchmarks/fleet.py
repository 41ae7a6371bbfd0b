"""`python -m benchmarks.fleet [ROW...] [--rounds 3] [--scale 1.0]`: many workers on one server, which has its defaults.

Tables of any `--scale` are kept, with it. Nothing is run: F1 claims and finishes through stores, as dispatchers do. F2
has real dispatchers, each with a store, a machine and connections of its own, whose supervisors are hollow: an order
has ended at once. Statements are counted in the server's log, deadlocks and rollbacks in its statistics.
"""

from __future__ import annotations

import random
import selectors
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from benchmarks import postgres
from benchmarks.bench import Figure, Row, Setting, Target
from benchmarks.stores import claim_on_and_on, multiply_on_server, one_waiting
from queuectl.client.facade import Client
from queuectl.store.postgres.store import PostgresStore
from queuectl.wire.requests import JobRequest
from tests.hollow import Member, go_on
from tests.server import Server

FEW, MANY, BATCH, PROCESSES = 4, 64, 16, 4
ENOUGH_A_SECOND = 20_000
IDLE, HALLS, COUNTED_S, SAMPLES = 1000, 8, 20.0, 30
CALM_S, LOOK_S, GIVE_UP_AFTER_S = 0.5, 0.05, 120.0
SETTINGS = {**postgres.AS_SHIPPED, "max_connections": "2200", "log_min_messages": "log"}


class Claimed(NamedTuple):
    """What dispatchers have done together: jobs a second, transactions the store refused, what the server says."""

    jobs_per_s: float
    refused: int
    deadlocks: int
    rollbacks: int


class Fleet(postgres.Bench):
    """The rows: each method measures one."""

    # --- claiming ---------------------------------------------------------------------------

    def claiming(self, setting: Setting) -> Sequence[float]:
        """Jobs/s of many dispatchers ÷ of few, before and after; deadlocks, and refused or rolled back transactions, of
        the many."""
        run_s = max(2.0, 12 * setting.scale)
        before, many, after = (self._claimed(count, run_s) for count in (FEW, MANY, FEW))
        few = (before.jobs_per_s + after.jobs_per_s) / 2
        return many.jobs_per_s / few, many.deadlocks, many.refused + many.rollbacks

    def _claimed(self, dispatchers: int, run_s: float) -> Claimed:
        context, threads = get_context("spawn"), dispatchers // PROCESSES
        with self._store() as (client, url), ProcessPoolExecutor(PROCESSES, context) as pool:
            multiply_on_server(url, one_waiting(client), int(ENOUGH_A_SECOND * run_s))
            earlier = self._troubles()
            ready, go_at = [context.Manager().Barrier(PROCESSES)] * PROCESSES, [run_s] * PROCESSES
            found = list(pool.map(claim_in_threads, [url] * PROCESSES, [threads] * PROCESSES, ready, go_at))
            time.sleep(1.5)  # sessions report to the statistics when they end
            deadlocks, rollbacks = (now - then for now, then in zip(self._troubles(), earlier, strict=True))
        done, refused = (sum(each) for each in zip(*found, strict=True))
        return Claimed(done / run_s, refused, deadlocks, rollbacks)

    def _troubles(self) -> tuple[int, int]:
        with psycopg.connect(self._server.url, autocommit=True) as db:
            text = "SELECT deadlocks, xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            found = db.execute(text).fetchone()
            assert found is not None
            return found[0], found[1]

    # --- idling -----------------------------------------------------------------------------

    def idling(self, setting: Setting) -> Sequence[float]:
        """Statements a second of each idle worker; milliseconds from the commit of a job until one of them
        orders its start, p50 and p99. All hear of it."""
        count = max(HALLS, int(IDLE * setting.scale))
        with self._store() as (client, url), halls(url, count) as doors:
            self._be_calm()
            began = self._server.log.stat().st_size
            self._log_statements("all")
            time.sleep(COUNTED_S)
            self._log_statements("none")
            said = self._server.log.read_bytes()[began:]
            sent = said.count(b"LOG:  execute") + said.count(b"LOG:  statement") - 2
            took = [self._wake_one(client, doors) for _ in range(max(10, int(SAMPLES * setting.scale)))]
        percentiles = statistics.quantiles(took, n=100, method="inclusive")
        return sent / COUNTED_S / count, percentiles[49], percentiles[98]

    def _log_statements(self, which: str) -> None:
        with psycopg.connect(self._server.url, autocommit=True) as db:
            db.execute(f"ALTER SYSTEM SET log_statement = '{which}'".encode())
            db.execute("SELECT pg_reload_conf()")

    def _be_calm(self) -> None:
        """Waits until no session has done anything for a while: a new job wakes all idle workers."""
        busy = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid()"
        calm_since, deadline = time.monotonic(), time.monotonic() + GIVE_UP_AFTER_S
        with psycopg.connect(self._server.url, autocommit=True) as db:
            while time.monotonic() < min(calm_since + CALM_S, deadline):
                ((count,),) = db.execute(busy).fetchall()
                calm_since = time.monotonic() if count > 2 else calm_since
                time.sleep(LOOK_S)

    def _wake_one(self, client: Client, doors: Sequence[Connection]) -> float:
        self._be_calm()
        time.sleep(random.uniform(0, 0.2))
        client.enqueue([JobRequest(command="true")])
        committed = time.perf_counter()
        (door,) = wait(doors, GIVE_UP_AFTER_S)
        assert isinstance(door, Connection)
        return float(1000 * (door.recv() - committed))


def claim_in_threads(url: str, threads: int, ready: Any, run_s: float) -> tuple[int, int]:
    """Jobs finished and transactions refused by some dispatchers, once all processes are ready."""
    with ThreadPoolExecutor(threads) as pool, tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        stores = list(pool.map(lambda _: PostgresStore(url, Path(folder)), range(threads)))
        ready.wait()
        found = list(pool.map(lambda store: claim_on_and_on(store, BATCH, run_s), stores))
        for store in stores:
            store.close()
    done, refused = (sum(each) for each in zip(*found, strict=True))
    return done, refused


# --- dispatchers without commands -------------------------------------------------------------


def hall(url: str, numbers: Sequence[int], door: Connection) -> None:
    """A process that goes on with some dispatchers until it is ended. It tells when all have started, and of each
    order when it came."""
    selector = selectors.DefaultSelector()
    with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        members = []
        for number in numbers:
            members.append(Member(url, number, Path(folder), door.send))
            go_on(members, selector, 0.0)
        door.send(None)
        while True:
            go_on(members, selector, min(member.due for member in members) - time.monotonic())


@contextmanager
def halls(url: str, count: int) -> Iterator[Sequence[Connection]]:
    """So many idle dispatchers in a few processes; where each process tells of orders."""
    context = get_context("spawn")
    doors, processes = [], []
    try:
        for number in range(HALLS):
            ours, theirs = context.Pipe()
            process = context.Process(target=hall, args=(url, range(number, count, HALLS), theirs), daemon=True)
            process.start()
            doors.append(ours)
            processes.append(process)
        for door in doors:
            door.recv()
        yield doors
    finally:
        for process in processes:
            process.kill()
            process.join()


def rows_on(server: Server) -> Sequence[Row]:
    """The rows of the table."""
    fleet = Fleet(server)
    return (
        Row(
            name="F1", measure=fleet.claiming,
            figures=[
                Figure("F1a", "claim + finish of 16, 64 dispatchers / 4, jobs/s", Target(">=", 0.9)),
                Figure("F1b", "  deadlocks of the 64", Target("<=", 0)),
                Figure("F1c", "  transactions refused or rolled back, of the 64", None),
            ],
        ),
        Row(
            name="F2", measure=fleet.idling,
            figures=[
                Figure("F2a", "1,000 idle workers, statements/s each", Target("<=", 0.5)),
                Figure("F2b", "  a job committed to one of them ordering its start, ms, p50", None),
                Figure("F2c", "    p99", Target("<=", 50)),
            ],
        ),
    )  # fmt: skip


if __name__ == "__main__":
    postgres.run("fleet", "F1 F2", rows_on, SETTINGS, keeps_all=True)
