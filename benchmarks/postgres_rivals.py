"""`python -m benchmarks.postgres_rivals [NAME...] [--rounds 3] [--scale 1.0]`: beside other queues on one server.

All have work that does nothing, done by two worker processes. Theirs is an asynchronous task in the consumer; ours is
claimed and finished through the store, 128 at a time, as a worker does it. A job counts once its end is on record.
Beside it our worker runs real `true` commands, each a process with its output kept. Nobody's enqueueing and starting up
counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from benchmarks import table
from benchmarks.bench import environment
from benchmarks.postgres import AS_SHIPPED, Bench, server_version
from benchmarks.rival_queues import installed, rate, running
from benchmarks.rival_tools import NotInstalled
from queuectl import ids
from tests.server import Server, start_server

PROCESSES = 2
TASK = """
import os

URL = os.environ["DATABASE_URL"]
MARKS = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def nothing(*_, **__):
    os.write(MARKS, b".")
"""


class Queue(NamedTuple):
    """A queue on PostgreSQL: its package, how many jobs take it some seconds, how its tables are made and jobs
    consumed, which jobs are not on record as done, its part of the module `app`.

    `app.fill(jobs)` enqueues.
    """

    package: str
    jobs: int
    install: Sequence[str]
    consumer: Sequence[str]
    left: LiteralString
    app: str


PROCRASTINATE = Queue(
    package="procrastinate",
    jobs=3000,
    install=["procrastinate", "--app", "app.app", "schema", "--apply"],
    consumer=["procrastinate", "--app", "app.app", "worker", "--concurrency", "10"],
    left="SELECT 1 FROM procrastinate_jobs WHERE status <> 'succeeded' LIMIT 1",
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
    package="pgqueuer[asyncpg]",
    jobs=60_000,
    install=["pgq", "install"],
    consumer=["python", "-c", "import app; app.consume()"],  # its own command, `pgq run`, fails in 1.6.0
    left="SELECT 1 FROM pgqueuer LIMIT 1",
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


def rival(queue: Queue, server: Server, scale: float) -> float:
    """Jobs/s of a queue, in a database of its own."""
    jobs = max(100, round(queue.jobs * scale))
    programs = installed(queue.package)
    name = f"rival_{ids.random_id(8)}"
    with psycopg.connect(server.url, autocommit=True) as db:
        db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with tempfile.TemporaryDirectory(prefix="queuectl-rival-") as folder, ExitStack() as consumers:
        where = Path(folder)
        (where / "app.py").write_text(TASK + queue.app)
        (where / "marks").touch()
        own = {
            **environment(), "PYTHONPATH": folder, "PATH": f"{programs}:{os.environ['PATH']}",
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{server.port}/{name}", "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": "", "PGDATABASE": name,
        }  # fmt: skip
        for command in ([*queue.install], ["python", "-c", f"import app; app.fill({jobs})"]):
            words = [str(programs / command[0]), *command[1:]]
            subprocess.run(words, cwd=where, env=own, check=True, capture_output=True)
        for _ in range(PROCESSES):
            consumers.enter_context(running([str(programs / queue.consumer[0]), *queue.consumer[1:]], where, own))
        return rate(where / "marks", jobs, partial(until_none_is_left, own["DATABASE_URL"], queue.left))


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


CONTESTANTS: Sequence[tuple[str, Callable[[Server, float], float]]] = (
    ("queuectl, no-op", ours),
    ("queuectl, true", ours_with_commands),
    ("procrastinate", partial(rival, PROCRASTINATE)),
    ("pgqueuer", partial(rival, PGQUEUER)),
)


def measure(server: Server, wanted: Sequence[str], rounds: int, scale: float) -> list[dict[str, Any]]:
    """A row for each contestant, measured in turns: jobs/s, and ours without a command ÷ that."""
    names = [name for name, _ in CONTESTANTS if not wanted or name.startswith(tuple(wanted))]
    figures: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, jobs_per_s in CONTESTANTS:
            try:
                if name in figures:
                    figures[name].append(jobs_per_s(server, scale))
            except NotInstalled:
                figures.pop(name)
    first = figures[names[0]]
    return [
        {"name": name, "jobs/s": round(statistics.median(each)), "min": round(min(each)), "max": round(max(each)),
         "ours ÷ it": round(statistics.median(one / other for one, other in zip(first, each, strict=True)), 2)}
        for name, each in figures.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.postgres_rivals")
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of names, the first to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full size")
    arguments = parser.parse_args()
    server = start_server(AS_SHIPPED)
    try:
        found = measure(server, arguments.names, arguments.rounds, arguments.scale)
    finally:
        server.remove()
    for row in found:
        print(f"{row['name']:<18}{row['jobs/s']:>8,} jobs/s  ({row['min']:,}-{row['max']:,})  {row['ours ÷ it']:>7} x")
    if arguments.scale == 1:
        print(f"kept in {table.save('-postgres-rivals', found, server=server_version())}")


if __name__ == "__main__":
    main()
