"""`python -m benchmarks.postgres [ROW...] [--rounds 3] [--scale 1.0]`: the PostgreSQL store on a server of its own.

The server keeps its defaults, `fsync` and `synchronous_commit` on. Each figure is a ratio to a reference that runs on
the same server in the same minute, or milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks import bulk, idle, table
from benchmarks.bench import Figure, Row, Setting, Target, fresh_store, run_all, run_rounds, worker
from benchmarks.stores import a_grip, claim_and_finish, claim_on_and_on, multiply_on_server, one_waiting
from queuectl.client.facade import Client
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.shared import rows
from queuectl.wire.requests import JobRequest
from tests.server import Server, binaries, drop_schema, new_schema, start_server

PROCESSES, BATCH = 4, 128
AS_SHIPPED = {
    "fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_wal_size": "1GB",
    "autovacuum_naptime": "1min",
}  # fmt: skip
FEW, MANY = 1000, 1_000_000


class Bench:
    """The rows that need a server: each method measures one."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @contextmanager
    def _store(self) -> Iterator[tuple[Client, str]]:
        """A client of a new store, and where that is."""
        url = new_schema(self._server.url)
        with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
            client = Client(PostgresStore(url, Path(folder)))
            try:
                yield client, url
            finally:
                client.close()
                drop_schema(url)

    # --- claim and finish -------------------------------------------------------------------

    def claims(self, setting: Setting) -> Sequence[float]:
        """Jobs/s through four processes ÷ pgbench's transactions/s, measured before and after."""
        run_s = max(2.0, 15 * setting.scale)
        self._pgbench("-i", "-s", "10")
        before = self._pgbench_tps(run_s / 2)
        jobs_per_s = self.no_ops(PROCESSES, run_s)
        return [jobs_per_s / ((before + self._pgbench_tps(run_s / 2)) / 2)]

    def no_ops(self, processes: int, run_s: float) -> float:
        """Jobs/s that so many processes claim and finish, a batch at a time."""
        with self._store() as (client, url), ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            for _ in range(max(1, round(1.5 * run_s))):
                client.enqueue([JobRequest(command="true")] * 25_000)
            return sum(pool.map(work_through, [url] * processes, [run_s] * processes)) / run_s

    def commands(self, jobs: int) -> float:
        """Jobs/s of a worker that runs `true`."""
        with self._store() as (client, _), worker(client, 4):
            return jobs / run_all(client, "true", jobs)

    def _pgbench_tps(self, run_s: float) -> float:
        said = self._pgbench("-N", "-c", str(PROCESSES), "-j", "2", "-T", str(round(run_s)))
        return next(float(line.split()[2]) for line in said.splitlines() if line.startswith("tps"))

    def _pgbench(self, *words: str) -> str:
        command = [
            str(binaries() / "pgbench"),
            "-h",
            "127.0.0.1",
            "-p",
            str(self._server.port),
            "-U",
            "postgres",
            *words,
        ]
        return subprocess.run([*command, "postgres"], check=True, capture_output=True, text=True).stdout

    def backlog(self, setting: Setting) -> Sequence[float]:
        """Seconds of claims and finishes among a million waiting jobs ÷ among a thousand."""
        few, many = (self._claim_s(copies) for copies in (FEW, max(FEW, int(MANY * setting.scale))))
        return [many / few]

    def _claim_s(self, copies: int) -> float:
        with self._store() as (client, url):
            multiply_on_server(url, one_waiting(client), copies)
            with a_grip(client.store) as grip:
                claim_and_finish(client.store, grip, 10)
                began = time.perf_counter()
                for _ in range(50):
                    claim_and_finish(client.store, grip, 10)
                return time.perf_counter() - began

    # --- workers ----------------------------------------------------------------------------

    def of_true(self, setting: Setting) -> Sequence[float]:
        """`true` through a worker: jobs/s here ÷ on SQLite."""
        jobs = int(5000 * setting.scale)
        with fresh_store() as client, worker(client, 4):
            on_sqlite = run_all(client, "true", jobs)
        return [on_sqlite * self.commands(jobs) / jobs]

    def wake_up(self, setting: Setting) -> Sequence[float]:
        """Milliseconds from the commit of an enqueue until its command runs: p50 and p99."""
        with self._store() as (client, _), worker(client, 4):
            took = idle.wake_ups(client, max(20, int(200 * setting.scale)))
        percentiles = statistics.quantiles(took, n=100, method="inclusive")
        return percentiles[49], percentiles[98]

    # --- adding -----------------------------------------------------------------------------

    def bulk_enqueue(self, setting: Setting) -> Sequence[float]:
        """Jobs/s of `queuectl enqueue --file` ÷ rows/s of COPY of the same rows into the same table; MB at its peak."""
        lines = bulk.lines_of_json(int(bulk.MANY * setting.scale))
        with self._store() as (client, url), bulk.written(lines) as file:
            took = bulk.process(["--db", client.store.url, "--quiet", "enqueue", "--file", file.name])
            return [self._copy_s(url) / took.seconds, took.peak_mb]

    def _copy_s(self, url: str) -> float:
        """Seconds that COPY takes to put a store's jobs into a table like theirs."""
        jobs, other = (sql.Identifier(parse_address(url).schema, name) for name in ("jobs", "copied"))
        columns = sql.SQL(", ").join(map(sql.Identifier, rows.BORN))
        with psycopg.connect(self._server.url, autocommit=True) as db, db.cursor() as cursor:
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(other, jobs))
            with cursor.copy(sql.SQL("COPY {} ({}) TO STDOUT").format(jobs, columns)) as reading:
                data = b"".join(map(bytes, reading))
            began = time.perf_counter()
            with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(other, columns)) as writing:
                writing.write(data)
            return time.perf_counter() - began


def work_through(url: str, run_s: float) -> int:
    """How many jobs one process finishes."""
    with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        store = PostgresStore(url, Path(folder))
        done, refused = claim_on_and_on(store, BATCH, run_s)
        store.close()
    assert not refused
    return done


def rows_on(server: Server) -> Sequence[Row]:
    """The rows of the table."""
    bench = Bench(server)
    return (
        Row(
            name="P1", measure=bench.claims,
            figures=[Figure("P1", "claim + finish, 4 processes, jobs/s / pgbench -N tps", Target(">=", 6))],
        ),
        Row(
            name="P2", measure=bench.of_true,
            figures=[Figure("P2", "5,000 x true, jobs/s / on SQLite", Target(">=", 0.95))],
        ),
        Row(
            name="P3", measure=bench.wake_up,
            figures=[
                Figure("P3a", "enqueue committed to command running, ms, p50", Target("<=", 3)),
                Figure("P3b", "  p99", Target("<=", 5)),
            ],
        ),
        Row(
            name="P4", measure=bench.backlog,
            figures=[Figure("P4", "claim + finish, 1,000,000 waiting / 1,000", Target("<=", 1.5))],
        ),
        Row(
            name="P5", measure=bench.bulk_enqueue,
            figures=[
                Figure("P5a", "enqueue of 1,000,000 lines, jobs/s / COPY", Target(">=", 0.6)),
                Figure("P5b", "enqueue of 1,000,000 lines, memory at its peak, MB", Target("<=", 64)),
            ],
        ),
    )  # fmt: skip


def server_version() -> str:
    """What the server calls itself."""
    said = subprocess.run(
        [str(binaries() / "postgres"), "--version"], check=True, capture_output=True, text=True
    ).stdout
    return said.strip()


def run(
    name: str, known: str, rows_on: Callable[[Server], Sequence[Row]], settings: dict[str, str],
    keeps_all: bool = False,
) -> None:  # fmt: skip
    """Runs a benchmark's rows on a server with these settings, by the options of its command line. `known`: their
    names. `keeps_all`: tables of any scale, not of the full one only."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{known} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full size")
    given = parser.parse_args()
    server = start_server(settings)
    results = []
    try:
        print(table.HEADING)
        with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
            for row in rows_on(server):
                if not given.rows or row.name in given.rows:
                    for result in run_rounds(row, Setting(scale=given.scale, folder=Path(folder)), given.rounds):
                        print(table.line(result), flush=True)
                        results.append(table.to_json(result))
    finally:
        server.remove()
    if given.scale == 1 or keeps_all:
        print(f"kept in {table.save(f'-{name}', results, server=server_version(), scale=f'{given.scale:g}')}")


if __name__ == "__main__":
    run("postgres", "P1 P2 P3 P4 P5", rows_on, AS_SHIPPED)
