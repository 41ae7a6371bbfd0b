"""`python -m benchmarks.limits [ROW...] [--store sqlite|postgres] [--rounds 3] [--scale 1.0]`: what limits cost.

Each figure is a ratio to the same measurement without what makes the difference, taken before or after it in the same
minute; or milliseconds, which mean something on an idle machine only. A table of full scale is kept.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

from benchmarks import table
from benchmarks.bench import Figure, Row, Setting, Target, run_all, run_rounds, worker
from benchmarks.idle import cpu_s, supervisors
from benchmarks.postgres import AS_SHIPPED, server_version
from benchmarks.stores import HOST, a_grip, claim_and_finish
from queuectl.client.facade import Client
from queuectl.domain.limits import Pause, Queue, Rate
from queuectl.domain.selector import Selector
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Grip
from queuectl.wire.requests import JobRequest
from tests.server import drop_schema, new_schema, start_server
from tests.workshop import Worker

T = TypeVar("T")
MANY, NEWLY_DUE, CLAIMS, SAMPLES, JOBS = 100_000, 10_000, 50, 200, 1000
WATCHED_S = 60.0
LATER_S = 6.0
ELSEWHERE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""A worker with a process namespace of its own is on another machine, for all that others can tell."""


class Bench(NamedTuple):
    """The rows on one kind of store. `server`: the URL of a PostgreSQL server, or None for files."""

    server: str | None

    @contextmanager
    def store(self) -> Iterator[Client]:
        with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
            url = new_schema(self.server) if self.server else None
            client = Client(PostgresStore(url, Path(folder)) if url else SqliteStore(Path(folder) / "queuectl.db"))
            try:
                yield client
            finally:
                client.close()
                if url:
                    drop_schema(url)

    # --- many that wait ---------------------------------------------------------------------

    def behind(self, close: Callable[[Client, Grip, int], None], setting: Setting) -> Sequence[float]:
        """Seconds of claims of free jobs, and of promotion, beside many that a closed gate keeps ÷ beside few."""
        few, many = (
            self._claims_s(close, int(count * setting.scale), int(NEWLY_DUE * setting.scale)) for count in (1000, MANY)
        )
        return [here / there for here, there in zip(many, few, strict=True)]

    def _claims_s(self, close: Callable[[Client, Grip, int], None], count: int, newly_due: int) -> tuple[float, float]:
        with self.store() as client, a_grip(client.store) as grip:
            close(client, grip, count)
            client.enqueue([JobRequest(command="true", columns={"queue": "other"})] * 10 * CLAIMS)
            while len(claim_and_finish(client.store, grip, 10)) < 10:
                pass  # the first claims park what must wait
            took = []
            for _ in range(CLAIMS - 5):
                began = time.perf_counter()
                claim_and_finish(client.store, grip, 10)
                took.append(time.perf_counter() - began)
            claims_s = statistics.median(took)
            due_at = client.store.now() + LATER_S
            client.enqueue([JobRequest(command="true", run_at=due_at, columns={"queue": "other"})] * newly_due)
            time.sleep(max(0.0, due_at - client.store.now()) + 0.1)
            took = []
            while (due := client.store.next_due()) is not None and due <= client.store.now():
                began = time.perf_counter()
                client.store.claim(grip, HOST, 0, ())
                took.append(time.perf_counter() - began)
            _give_up(client)
            return claims_s, statistics.median(took) * len(took)

    def idle(self, setting: Setting) -> Sequence[float]:
        """CPU of a worker, in percent of a core, while many jobs wait for a lock that one holds which sleeps."""
        watched_s, count = max(3.0, WATCHED_S * setting.scale), int(MANY * setting.scale)
        with self.store() as client:
            (holder,) = client.enqueue([JobRequest(command="sleep 3600", columns={"locks": ("x",), "priority": 1})])
            client.enqueue([JobRequest(command="true", columns={"locks": ("x",)})] * count)
            with worker(client, 4) as process:
                while client.store.waiting_for("x") < count:
                    time.sleep(0.5)
                time.sleep(2)
                pids = [process.pid, *supervisors(client.store)]
                before = sum(map(cpu_s, pids))
                time.sleep(watched_s)
                used = sum(map(cpu_s, pids)) - before
                client.store.set_queue(Queue("default", pause=Pause(client.store.now())))
                client.cancel([holder.id])
            return [100 * used / watched_s]

    # --- freed places -----------------------------------------------------------------------

    def promptness(self, setting: Setting) -> Sequence[float]:
        """Milliseconds, p99, from the end of a command until the next one starts in its place: one worker's, two
        workers', and where there is a server, two machines'."""
        samples = max(20, int(SAMPLES * setting.scale))
        places: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((), ()), (("a",), ("b",))]
        gaps = [self._gaps_ms(samples, [place for place in served if place], ()) for served in places]
        if self.server:
            gaps.append(self._gaps_ms(samples, [("a",), ("b",)], ELSEWHERE))
        return [statistics.quantiles(each, n=100, method="inclusive")[98] for each in gaps]

    def _gaps_ms(self, samples: int, served: Sequence[tuple[str, ...]], elsewhere: Sequence[str]) -> list[float]:
        with self.store() as client:
            url = client.store.url if not self.server else client.store.address
            workers = [
                Worker(url, "--count", "2", *(f"--queue={queue}" for queue in queues), under=elsewhere if at else ())
                for at, queues in enumerate(served or [()])
            ]
            try:
                jobs = [
                    JobRequest(command="sleep 0.03", columns={"queue": "ab"[number % 2], "locks": ("x",)})
                    for number in range(samples)
                ]
                client.enqueue(jobs)
                while not all(job.finished for job in client.find(Selector())):
                    time.sleep(0.2)
                runs = sorted(client.find(Selector()), key=lambda job: job.started_at or 0)
            finally:
                for each in workers:
                    each.close() if elsewhere else each.stop()
            return [1000 * ((b.started_at or 0) - (a.finished_at or 0)) for a, b in pairwise(runs)]

    def one_place(self, setting: Setting) -> Sequence[float]:
        """`true` in a queue of concurrency 1, with a worker of 4 slots: jobs/s ÷ of one slot without a limit, by the
        median time between two starts."""
        jobs = max(50, int(JOBS * setting.scale))
        return [self._cycle_s(jobs, 1, None) / self._cycle_s(jobs, 4, 1)]

    def _cycle_s(self, jobs: int, slots: int, concurrency: int | None) -> float:
        with self.store() as client:
            client.store.set_queue(Queue("default", concurrency=concurrency))
            with worker(client, slots):
                run_all(client, "true", jobs)
            starts = sorted(job.started_at or 0 for job in client.find(Selector()))
            return statistics.median(b - a for a, b in pairwise(starts))


# --- what closes a gate -----------------------------------------------------------------------


def behind_a_lock(client: Client, grip: Grip, count: int) -> None:
    client.enqueue([JobRequest(command="true", columns={"queue": "other", "locks": ("x",)})] * (count + 1))
    assert client.store.claim(grip, HOST, 1, ())


def in_a_full_queue(client: Client, grip: Grip, count: int) -> None:
    client.store.set_queue(Queue("q", concurrency=1))
    client.enqueue([JobRequest(command="true", columns={"queue": "q"})] * (count + 1))
    assert client.store.claim(grip, HOST, 1, ())


def behind_a_rate(client: Client, grip: Grip, count: int) -> None:
    client.store.set_queue(Queue("q", rate=Rate(1, 86400.0)))
    client.enqueue([JobRequest(command="true", columns={"queue": "q"})] * (count + 1))
    assert client.store.claim(grip, HOST, 1, ())


def in_a_paused_queue(client: Client, grip: Grip, count: int) -> None:
    client.store.set_queue(Queue("q", pause=Pause(client.store.now())))
    client.enqueue([JobRequest(command="true", columns={"queue": "q"})] * count)


def _give_up(client: Client) -> None:
    """What is still in process goes with the store."""
    client.store._execute("UPDATE {schema}.jobs SET state = 'completed' WHERE state = 'processing'")  # type: ignore[attr-defined]


def rows_on(bench: Bench, kind: str) -> Sequence[Row]:
    gates = (
        ("lock", "behind a lock", behind_a_lock), ("full", "in a full queue", in_a_full_queue),
        ("rate", "behind a rate", behind_a_rate), ("pause", "in a paused queue", in_a_paused_queue),
    )  # fmt: skip
    flat = [
        Row(
            name=name, measure=partial(bench.behind, close),
            figures=[
                Figure(name, f"{kind}: claims of free jobs, 100,000 {what} ÷ 1,000", Target("<=", 1.3)),
                Figure(f"{name}+", f"{kind}: promotion of 10,000, 100,000 {what} ÷ 1,000", Target("<=", 1.3)),
            ],
        )
        for name, what, close in gates
    ]  # fmt: skip
    prompt = [("same", "worker", 5), ("other", "another worker", 20), ("host", "another machine", 50)]
    return [
        *flat,
        Row(
            name="idle", measure=bench.idle,
            figures=[Figure("idle", f"{kind}: idle worker, 100,000 behind a lock, % CPU", Target("<=", 0.1))],
        ),
        Row(
            name="prompt", measure=bench.promptness,
            figures=[
                Figure(name, f"{kind}: a freed unit taken by {who}, ms, p99", Target("<=", bound))
                for name, who, bound in prompt[: 3 if bench.server else 2]
            ],
        ),
        Row(
            name="one", measure=bench.one_place,
            figures=[Figure("one", f"{kind}: 1,000 × true, concurrency 1 ÷ one free slot", Target(">=", 0.6))],
        ),
    ]  # fmt: skip


def run(
    name: str, known: str, made: Callable[[str | None], T], rows_on: Callable[[T, str], Sequence[Row]],
    keeps_all: bool = False,
) -> None:  # fmt: skip
    """Runs a benchmark's rows on each kind of store, by the options of its command line. `known`: their names. `made`
    is called with the server's address, or None for a file. `keeps_all`: tables of any scale, not of the full one
    only."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{known} (default: all)")
    parser.add_argument("--store", choices=("sqlite", "postgres"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full size")
    given = parser.parse_args()
    results = []
    print(table.HEADING)
    for kind in (given.store,) if given.store else ("sqlite", "postgres"):
        server = start_server(AS_SHIPPED) if kind == "postgres" else None
        try:
            for row in rows_on(made(server.url if server else None), kind):
                if not given.rows or row.name in given.rows:
                    for result in run_rounds(row, Setting(scale=given.scale, folder=Path()), given.rounds):
                        print(table.line(result), flush=True)
                        results.append(table.to_json(result))
        finally:
            if server:
                server.remove()
    if given.scale == 1 or keeps_all:
        print(f"kept in {table.save(f'-{name}', results, server=server_version(), scale=f'{given.scale:g}')}")


if __name__ == "__main__":
    run("limits", "lock full rate pause idle prompt one", Bench, rows_on)
