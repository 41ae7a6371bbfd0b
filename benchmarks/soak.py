"""`python -m benchmarks.soak [--minutes 20] [--rate 60]`: a busy PostgreSQL store beside a transaction left open.

One process adds, claims and finishes jobs at a steady rate on a server with its defaults; finished ones are pruned.
From the 5th to the 15th of 20 minutes another session stands idle in a transaction, so that nothing which dies can be
cleaned away. Every half minute a row is printed: how long claims took, how many dead rows there are, how large the
table of jobs and the index of claimable ones are. It uses a fraction of a core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from benchmarks.postgres import AS_SHIPPED
from benchmarks.stores import HOST, a_grip
from queuectl.client.facade import Client
from queuectl.domain.job import FINISHED
from queuectl.domain.lifecycle import Ended
from queuectl.domain.selector import Selector
from queuectl.engine.dispatch.upkeep import BATCH_JOBS
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import Change, Grip
from queuectl.wire.requests import JobRequest
from tests.server import Server, new_schema, start_server

WAITING, BATCH, KEPT_S = 1000, 10, 120.0
IDLE_FROM, IDLE_TO = 0.25, 0.75
ROWS_A_RUN = 40
RESULTS = Path(__file__).parent / "results"
STATE = """
SELECT n_live_tup, n_dead_tup, autovacuum_count, pg_table_size(relid),
       pg_relation_size((quote_ident(schemaname) || '.jobs_ready')::regclass)
FROM pg_stat_user_tables WHERE schemaname = %s AND relname = 'jobs'
"""


class Sample(NamedTuple):
    """One row. `claim_*_ms`: of a transaction that claims a batch; `record_p50_ms`: of the one that records its
    results. Sizes in KiB."""

    minute: float
    idle_transaction: bool
    jobs_per_s: float
    claim_p50_ms: float
    claim_p99_ms: float
    record_p50_ms: float
    live_rows: int
    dead_rows: int
    autovacuums: int
    table_kib: int
    ready_index_kib: int


class Soak:
    """One run on a store of its own."""

    def __init__(self, server: Server, folder: Path, rate: float) -> None:
        url = new_schema(server.url)
        self._client = Client(PostgresStore(url, folder))
        self._schema = parse_address(url).schema
        self._watcher = psycopg.connect(server.url, autocommit=True)
        self._server = server
        self._every_s = BATCH / rate
        self._claims: list[float] = []
        self._records: list[float] = []

    def run(self, minutes: float) -> list[Sample]:
        """Works at the rate; a sample each 40th of the time."""
        self._add(WAITING)
        samples: list[Sample] = []
        idler: psycopg.Connection[Any] | None = None
        with a_grip(self._client.store) as grip:
            began = due = time.monotonic()
            while (passed := (time.monotonic() - began) / 60) < minutes:
                if idler is None and IDLE_FROM <= passed / minutes < IDLE_TO:
                    idler = self._stand_idle()
                if idler is not None and passed / minutes >= IDLE_TO:
                    idler.close()
                    idler = None
                self._cycle(grip)
                if passed >= (len(samples) + 1) * minutes / ROWS_A_RUN:
                    samples.append(self._sample(passed, minutes * 60 / ROWS_A_RUN, idler is not None))
                    print(_line(samples[-1]), flush=True)
                    self._prune()
                due += self._every_s
                time.sleep(max(0.0, due - time.monotonic()))
        return samples

    def _stand_idle(self) -> psycopg.Connection[Any]:
        """A session that has read something and never ends its transaction."""
        idler = psycopg.connect(self._server.url)
        idler.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        idler.execute("SELECT count(*) FROM pg_class")
        return idler

    def _add(self, count: int) -> None:
        self._client.enqueue([JobRequest(command="true")] * count)

    def _prune(self) -> None:
        """Removes what finished some time ago, in a worker's batches."""
        old = Selector(states=tuple(FINISHED), before=self._client.store.now() - KEPT_S)
        while self._client.store.prune(old, BATCH_JOBS) == BATCH_JOBS:
            pass

    def _cycle(self, grip: Grip) -> None:
        store = self._client.store
        began = time.perf_counter()
        jobs = store.claim(grip, HOST, BATCH, ())
        claimed = time.perf_counter()
        now = store.now()
        store.record(grip, [Change(job=job, event=Ended(started_at=now, finished_at=now, exit_code=0)) for job in jobs])
        self._records.append(time.perf_counter() - claimed)
        self._claims.append(claimed - began)
        self._add(len(jobs))

    def _sample(self, minute: float, seconds: float, is_idle: bool) -> Sample:
        found = self._watcher.execute(STATE, [self._schema]).fetchone()
        assert found is not None
        live, dead, vacuums, table, index = found
        claims, records = [1000 * each for each in self._claims], [1000 * each for each in self._records]
        self._claims, self._records = [], []
        return Sample(
            minute=round(minute, 1), idle_transaction=is_idle, jobs_per_s=round(BATCH * len(claims) / seconds, 1),
            claim_p50_ms=round(statistics.median(claims), 2),
            claim_p99_ms=round(statistics.quantiles(claims, n=100)[98], 2),
            record_p50_ms=round(statistics.median(records), 2), live_rows=live, dead_rows=dead, autovacuums=vacuums,
            table_kib=table // 1024, ready_index_kib=index // 1024,
        )  # fmt: skip

    def close(self) -> None:
        self._watcher.close()
        self._client.close()


def _line(sample: Sample) -> str:
    return "".join(f"{'yes' if value is True else '' if value is False else value:>17}" for value in sample)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=60.0, help="jobs a second")
    words = parser.parse_args()
    print("".join(f"{name:>17}" for name in Sample._fields), flush=True)
    server = start_server(AS_SHIPPED)
    try:
        with tempfile.TemporaryDirectory(prefix="queuectl-soak-") as folder:
            soak = Soak(server, Path(folder), words.rate)
            try:
                samples = soak.run(words.minutes)
            finally:
                soak.close()
    finally:
        server.remove()
    path = RESULTS / f"soak-{datetime.now(UTC):%Y-%m-%d-%H%M}.json"
    found = {"minutes": words.minutes, "rate": words.rate, "samples": [sample._asdict() for sample in samples]}
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
