"""`python -m benchmarks.huge [--store sqlite|postgres] [--rounds 3] [--scale 1.0]`: a store with very many jobs.

10,000,000 that wait and 50,000,000 that have finished. Kept outside CI: of full size, which was not run so far, it
takes many hours and tens of GB; with `--scale 0.02` minutes.

Each figure is a ratio to the same in a store of 1,000 and 1,000, in turns; or bytes of the store for each job, with its
attempt and all indexes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from itertools import count
from pathlib import Path
from typing import TypeVar

from benchmarks import limits, scale
from benchmarks.bench import Figure, Row, Setting, Target, alternating
from benchmarks.stores import HOST, a_grip, finish, multiply, multiply_on_server, one_finished, one_waiting
from queuectl.client.facade import Client
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.sqlite.store import SqliteStore
from queuectl.wire.requests import JobRequest
from tests.server import new_schema

T = TypeVar("T")
FEW, WAITING, FINISHED = 1000, 10_000_000, 50_000_000
TURNS, BATCH, PRUNED = 20, 128, 50
RUNS = 5
"""How often commands run a round."""
SIZE = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'"


class Bench:
    """Both stores on one kind of database, made once. `server`: the URL of a PostgreSQL server, or None for files."""

    def __init__(self, server: str | None) -> None:
        self._server = server
        self._folder = tempfile.TemporaryDirectory(prefix="queuectl-bench-")
        self._below = Path(self._folder.name)
        self._numbers = count()
        self._made: list[str] = []
        self._bytes = 0.0

    def _opened(self, address: str) -> AbstractContextManager[Client]:
        store = PostgresStore(address, self._below) if self._server else SqliteStore(Path(address))
        return closing(Client(store))

    def _make(self, waiting: int, finished: int) -> str:
        """The address of a store with so many jobs."""
        address = new_schema(self._server) if self._server else str(self._below / f"{next(self._numbers)}.db")
        with self._opened(address) as client:
            for one, copies in ((one_finished, finished), (one_waiting, waiting)):
                if self._server:
                    multiply_on_server(address, one(client), copies - 1)
                else:
                    multiply(Path(address), one(client), copies - 1)
        return address

    def _size(self, address: str) -> int:
        if not self._server:
            return Path(address).stat().st_size
        with closing(PostgresStore(address, self._below)) as store:
            ((size,),) = store._select(SIZE.replace("%s", "?"), [parse_address(address).schema])
            return int(size)

    def measure(self, setting: Setting) -> Sequence[float]:
        """Many ÷ few: a claim, its recording, a batch that is pruned, `list`, `status`; bytes a job."""
        waiting, finished = (max(FEW, int(number * setting.scale)) for number in (WAITING, FINISHED))
        if not self._made:
            self._made = [self._make(FEW, FEW), self._make(waiting, finished)]
            few, many = map(self._size, self._made)
            self._bytes = (many - few) / (waiting + finished - 2 * FEW)
        took: list[list[Sequence[float]]] = [[], []]
        for _ in range(TURNS):
            for address, found in zip(self._made, took, strict=True):
                with self._opened(address) as client:
                    found.append(turn(client))
        medians = [[statistics.median(each) for each in zip(*found, strict=True)] for found in took]
        looks = [
            alternating([scale.look(verb, address) for address in self._made], RUNS) for verb in ("list", "status")
        ]
        pairs = [*zip(*medians, strict=True), *looks]
        return [*(many / few for few, many in pairs), self._bytes]


def turn(client: Client) -> Sequence[float]:
    """Seconds of one claim, of recording its results, and of pruning some. The jobs are replaced."""
    with a_grip(client.store) as grip:
        client.store.claim(grip, HOST, 0, ())  # what a new connection does once
        claim_s, jobs = timed(lambda: client.store.claim(grip, HOST, BATCH, ()))
        record_s, _ = timed(lambda: finish(client.store, grip, jobs))
    old = Selector(states=(JobState.COMPLETED,), before=client.store.now(), hooks=None)
    prune_s, gone = timed(lambda: client.store.prune(old, PRUNED))
    assert (len(jobs), gone) == (BATCH, PRUNED)
    client.enqueue([JobRequest(command="true")] * BATCH)
    return claim_s, record_s, prune_s


def timed(what: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    done = what()
    return time.perf_counter() - began, done


def rows_on(bench: Bench, kind: str) -> Sequence[Row]:
    """The one row."""
    ratios = ("claim of 128", "record of 128", "prune of 50", "list --limit 50", "status")
    figures = [
        Figure(f"H{number}", f"{kind}: {what}, 10,000,000 waiting and 50,000,000 finished ÷ 1,000", Target("<=", 1.3))
        for number, what in enumerate(ratios, 1)
    ]
    return [Row(name="H", measure=bench.measure, figures=[*figures, Figure("H6", f"{kind}: bytes a job", None)])]


if __name__ == "__main__":
    limits.run("huge", "H", Bench, rows_on, keeps_all=True)
