"""`python -m benchmarks.postgres_rivals [NAME...] [--rounds 3] [--scale 1.0]`: beside other queues on one server.

All have work that does nothing, done by two worker processes. Theirs is an asynchronous task in the consumer; ours is
claimed and finished through the store, 128 at a time, as a worker does it. A job counts once its end is on record.
Beside it our worker runs real `true` commands, each a process with its output kept. Nobody's enqueueing, starting up
and warming up counts. The server keeps its defaults, `fsync` and `synchronous_commit` on. `--markdown FILE.json` prints
a kept table for docs/fleet.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, LiteralString, NamedTuple
from urllib.parse import urlsplit

import psycopg

from benchmarks import table
from benchmarks.postgres import AS_SHIPPED, Bench, server_version
from benchmarks.rival_runs import Queue, Site
from benchmarks.rival_tools import NotInstalled
from queuectl import __version__, ids
from tests.server import Server, new_database, start_server

PROCESSES = 2
TASK = """
import os

URL = os.environ["DATABASE_URL"]
MARKS = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def nothing(*_, **__):
    os.write(MARKS, b".")
"""
NODE_TASK = """
const fs = require("fs")

const connectionString = process.env.DATABASE_URL
const marks = fs.openSync("marks", "a")

async function nothing() {
  fs.writeSync(marks, ".")
}
"""
"""What stands before each program: `app.fill(jobs)` adds jobs that call `nothing`."""

PROCRASTINATE = Queue(
    packages=["procrastinate==3.10.0"],
    install=["procrastinate", "--app", "app.app", "schema", "--apply"],
    consumer=["procrastinate", "--app", "app.app", "worker", "--concurrency", "10"],
    app="""
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

app = App(connector=PsycopgConnector(conninfo=URL, min_size=4, max_size=12))
task = app.task(name="nothing")(nothing)

def fill(jobs):
    with app.replace_connector(SyncPsycopgConnector(conninfo=URL)) as filling, filling.open():
        for at in range(0, jobs, 1000):
            filling.tasks["nothing"].batch_defer(*[{}] * min(1000, jobs - at))
""",
)

PGQUEUER = Queue(
    packages=["pgqueuer[asyncpg]==1.6.0"],
    install=["pgq", "install"],
    consumer=["python", "-c", "import app; app.consume()"],  # its own command, `pgq run`, fails in 1.6.0
    app="""
import asyncio, asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

async def work():
    pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(URL)))
    pgq.entrypoint("nothing")(nothing)
    await pgq.run(batch_size=100)

def consume():
    asyncio.run(work())

async def enqueue(jobs):
    connection = await asyncpg.connect(URL)
    await Queries(AsyncpgDriver(connection)).enqueue(["nothing"] * jobs, [None] * jobs, [0] * jobs)
    await connection.close()

def fill(jobs):
    asyncio.run(enqueue(jobs))
""",
)


GRAPHILE_WORKER = Queue(
    packages=["graphile-worker@0.18.0"],
    file="app.js",
    install=["node", "-e", "require('./app').install()"],
    fill=["node", "-e", "require('./app').fill(Number(process.argv[1]))"],
    consumer=["node", "-e", "require('./app').consume()"],
    app="""
const { makeWorkerUtils, run, runMigrations } = require("graphile-worker")

// As its page on performance says for many small jobs.
const batching = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
const worker = { connectionString, concurrentJobs: 24, maxPoolSize: 25, ...batching }

exports.install = () => runMigrations({ connectionString })

exports.consume = () => run({ preset: { worker }, taskList: { nothing } })

exports.fill = async (jobs) => {
  const utils = await makeWorkerUtils({ connectionString })
  for (let at = 0; at < jobs; at += 10000) {
    await utils.addJobs(Array(Math.min(10000, jobs - at)).fill({ identifier: "nothing" }))
  }
  await utils.release()
}
""",
)


class Rival(NamedTuple):
    """A queue on PostgreSQL, how many jobs take it some seconds, which jobs are not on record as done, and what is left
    when all of it is killed."""

    name: str
    queue: Queue
    jobs: int
    left: LiteralString
    survives: str


RIVALS = (
    Rival(
        "procrastinate", PROCRASTINATE, 3000,
        "SELECT 1 FROM procrastinate_jobs WHERE status <> 'succeeded' LIMIT 1",
        "what waits; what ran stays `doing` until a program of yours retries it",
    ),
    Rival(
        "pgqueuer", PGQUEUER, 60_000, "SELECT 1 FROM pgqueuer LIMIT 1",
        "all; what ran runs again after 30 s",
    ),
    Rival(
        "graphile-worker", GRAPHILE_WORKER, 150_000, "SELECT 1 FROM graphile_worker.jobs LIMIT 1",
        "all; what was fetched, up to 500 jobs a worker, runs after 4 hours",
    ),
)  # fmt: skip
"""`python -m benchmarks.rival_kills` shows what they keep."""


def measured(rival: Rival, server: Server, scale: float) -> float:
    """Jobs/s of a queue, in a database of its own."""
    jobs = max(100, round(rival.jobs * scale))
    with ready(rival.queue, server) as (site, url), ExitStack() as consumers:
        site.fill(jobs)
        for _ in range(PROCESSES):
            consumers.enter_context(site.consuming())
        return site.rate(jobs, partial(until_none_is_left, url, rival.left))


@contextmanager
def ready(queue: Queue, server: Server) -> Iterator[tuple[Site, str]]:
    """A queue in a database of its own, and the URL of that."""
    url = new_database(server.url, f"rival_{ids.random_id(8)}")
    given = TASK if queue.file.endswith(".py") else NODE_TASK
    with tempfile.TemporaryDirectory(prefix="queuectl-rival-") as folder:
        yield Site(queue, Path(folder), given, variables(url)), url


def variables(url: str) -> dict[str, str]:
    """By which all of them find a database."""
    at = urlsplit(url)
    return {
        "DATABASE_URL": url, "PGHOST": at.hostname or "", "PGPORT": str(at.port), "PGUSER": at.username or "",
        "PGPASSWORD": "", "PGDATABASE": at.path.removeprefix("/"),
    }  # fmt: skip


def until_none_is_left(url: str, left: LiteralString) -> None:
    """Waits for the ends that a consumer has not recorded yet."""
    with psycopg.connect(url, autocommit=True) as db:
        while db.execute(left).fetchone():
            time.sleep(0.02)


def ours(server: Server, scale: float) -> float:
    """Jobs/s claimed and finished through the store."""
    return Bench(server).no_ops(PROCESSES, max(1.0, 8 * scale))


def ours_with_commands(server: Server, scale: float) -> float:
    """Jobs/s of a worker that runs `true`."""
    return Bench(server).commands(max(100, round(5000 * scale)))


class Contestant(NamedTuple):
    """Something measured: its name, jobs/s, version, and what is left when all of it is killed."""

    name: str
    jobs_per_s: Callable[[Server, float], float]
    version: str
    survives: str


OUR_VERSION, OURS_SURVIVES = f"queuectl {__version__}", "all; what ran is ended and runs again"
CONTESTANTS = (
    Contestant("queuectl, no-op", ours, OUR_VERSION, OURS_SURVIVES),
    Contestant("queuectl, true", ours_with_commands, OUR_VERSION, OURS_SURVIVES),
    *(Contestant(each.name, partial(measured, each), each.queue.version, each.survives) for each in RIVALS),
)


def measure(server: Server, wanted: Sequence[str], rounds: int, scale: float) -> list[dict[str, Any]]:
    """A row for each contestant, measured in turns: jobs/s, and ours without a command ÷ that; None where it is not
    installed."""
    entered = [each for each in CONTESTANTS if not wanted or each.name.startswith(tuple(wanted))]
    figures: dict[str, list[float]] = {each.name: [] for each in entered}
    for _ in range(rounds):
        for contestant in entered:
            try:
                figures[contestant.name].append(contestant.jobs_per_s(server, scale))
            except NotInstalled:
                pass
    first = figures[entered[0].name]
    return [
        {"name": each.name, "version": each.version, "survives": each.survives, **summed(figures[each.name], first)}
        for each in entered
    ]


def summed(figures: Sequence[float], first: Sequence[float]) -> dict[str, Any]:
    """The figures of a row; no key has a value where there are none."""
    if not figures:
        return dict.fromkeys(("jobs/s", "min", "max", "ours ÷ it"))
    ratios = [one / other for one, other in zip(first, figures, strict=True)]
    return {
        "jobs/s": round(statistics.median(figures)), "min": round(min(figures)), "max": round(max(figures)),
        "ours ÷ it": round(statistics.median(ratios), 2),
    }  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """One contestant in at most 100 columns."""
    if row["jobs/s"] is None:
        return f"{row['name']:<18}{'not installed':>15}"
    return f"{row['name']:<18}{row['jobs/s']:>8,} jobs/s  ({row['min']:,}-{row['max']:,})  {row['ours ÷ it']:>7} x"


def markdown(path: Path) -> Iterator[str]:
    """The lines of a kept table as Markdown, its date and machine below."""
    kept = json.loads(path.read_text())
    yield "| | version | jobs/s | min to max | queuectl, no-op ÷ it | survives `kill -9` |"
    yield "|---|---|---|---|---|---|"
    for row in kept["rows"]:
        cells = ("not installed", "", "")
        if row["jobs/s"] is not None:
            cells = (f"{row['jobs/s']:,}", f"{row['min']:,} to {row['max']:,}", f"{row['ours ÷ it']}")
        yield f"| {row['name']} | {row['version']} | {' | '.join(cells)} | {row['survives']} |"
    yield ""
    yield f"{table.below(kept['machine'])[:-1]}, {kept['machine']['server']}."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres_rivals")
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of names, the first to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full size")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="print a kept table instead")
    arguments = parser.parse_args()
    if arguments.markdown:
        print("\n".join(markdown(arguments.markdown)))
        return
    server = start_server(AS_SHIPPED)
    try:
        found = measure(server, arguments.names, arguments.rounds, arguments.scale)
    finally:
        server.remove()
    print("\n".join(line(row) for row in found))
    if arguments.scale == 1:
        print(f"kept in {table.save('-postgres-rivals', found, server=server_version())}")


if __name__ == "__main__":
    main()
