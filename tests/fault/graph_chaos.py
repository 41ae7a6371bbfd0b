"""Random graphs of jobs, run by workers that get SIGKILL at random, end as a reference says; so do retries.

    python -m tests.fault.graph_chaos [--size 10000] [--pairs 10000] [--seed N] [--store sqlite|postgres]

On PostgreSQL also: pairs of jobs whose last ends meet, each recorded by another connection at the same moment.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from threading import Barrier, Thread

from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.domain.lifecycle import begun
from queuectl.domain.selector import Selector
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import Change
from tests.builders import HOST, a_grip, a_job, an_end
from tests.fault.limits_chaos import STORES
from tests.model.graph import Node, drawn, ends, ends_again
from tests.workshop import Worker, Workshop, open_workshop

SLOTS = (6, 6, 5)
FILE_JOBS = 2000
PAUSE_S = 0.7
"""Between two kills, on average."""
STUCK_S = 60.0


def race_of_two(url: str, folder: Path, pairs: int, at_once: int = 20) -> int:
    """Two connections record the last two ends that dependents wait for, in the same moment. Returns how often one of
    them left a dependent on the work list. Raises `AssertionError` if one is stranded."""
    with closing(PostgresStore(url, folder)) as store, closing(PostgresStore(url, folder)) as other:
        hosts = [(each, a_grip(each, f"w{number}~1")) for number, each in enumerate((store, other))]
        left = 0
        for first in range(0, pairs, at_once):
            numbers = range(first, min(pairs, first + at_once))
            for side in "ab":
                store.insert([a_job(f"{side}{number}", at=store.now(), queue=side) for number in numbers])
            dependents = [
                begun(a_job(f"c{number}", at=store.now(), queue="c", depends_on=(f"a{number}", f"b{number}")))
                for number in numbers
            ]
            store.insert(dependents)
            both = Barrier(2)
            threads = [
                Thread(target=_end_all, args=(host, grip, side, both))
                for (host, grip), side in zip(hosts, "ab", strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            left += len(store._select("SELECT DISTINCT job FROM {schema}.settlements"))
            store.settle()
            released = store.claim(hosts[0][1], HOST, at_once, ("c",))
            assert len(released) == len(numbers), f"stranded: {len(numbers) - len(released)} of {len(numbers)}"
        return left


def _end_all(store: PostgresStore, grip: object, side: str, both: Barrier) -> None:
    jobs = sorted(store.claim(grip, HOST, 1000, (side,)), key=lambda job: int(job.id[1:]))  # type: ignore[arg-type]
    both.wait()
    for job in jobs:
        store.record(grip, [Change(job, an_end(store.now()))])  # type: ignore[arg-type]


class Round:
    """One graph on one store."""

    def __init__(self, shop: Workshop, nodes: Sequence[Node], seed: int) -> None:
        self._shop = shop
        self._nodes = nodes
        self._chance = random.Random(seed)
        self._workers: dict[int, Worker] = {}
        self.struck: Counter[str] = Counter()

    def play(self) -> None:
        self._shop.client.set_setting("max-lost", "1000")
        retried = self._shop.folder / "retried"
        for first in range(0, len(self._nodes), FILE_JOBS):
            some = list(self._nodes[first : first + FILE_JOBS])
            self._chance.shuffle(some)
            self._shop.enqueue_all([self._document(node, retried) for node in some])
        self._run()
        first_ends = ends(self._nodes)
        self._compare(first_ends)
        retried.touch()
        self._shop.client.retry([id for id, state in first_ends.items() if state is JobState.DEAD])
        self._run()
        self._compare(ends_again(self._nodes, first_ends))

    def _document(self, node: Node, retried: Path) -> dict[str, object]:
        command = f"test -e {retried}" if node.fails else "true"
        return {"id": node.id, "command": command, "max_retries": 0, "depends_on": list(node.depends_on)}

    def _run(self) -> None:
        """Until every job has ended, with kills."""
        left, since = -1, time.monotonic()
        strike_at = since
        while (now_left := self._left()) > 0:
            for at, slots in enumerate(SLOTS):
                if at not in self._workers or self._workers[at].process.poll() is not None:
                    self._workers[at] = self._shop.worker(slots)
            now = time.monotonic()
            if now_left != left:
                left, since = now_left, now
            assert now - since < STUCK_S, f"{left} jobs are stuck"
            if now >= strike_at:
                strike_at = now + 2 * self._chance.random() * PAUSE_S
                self._workers[self._chance.randrange(len(SLOTS))].kill()
                self.struck["kill"] += 1
            time.sleep(0.05)
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()

    def _left(self) -> int:
        return sum(jobs for (_, state), jobs in self._shop.store.counts().items() if state not in FINISHED)

    def _compare(self, wanted: dict[str, JobState]) -> None:
        found = {job.id: job for job in self._shop.store.find(Selector())}
        wrong = [_told(found[id], state) for id, state in wanted.items() if found[id].state is not state]
        assert not wrong, f"{len(wrong)} of {len(wanted)} ended otherwise: {'; '.join(wrong[:5])}"


def _told(job: Job, wanted: JobState) -> str:
    return f"{job.id} after {', '.join(job.depends_on)} is {job.state} ({job.error}), not {wanted}"


def play(url: str | None, folder: Path, seed: int, size: int) -> Counter[str]:
    """A graph on one store; how often a worker was struck."""
    with open_workshop(folder, url) as shop:
        attempt = Round(shop, drawn(random.Random(seed), size), seed)
        attempt.play()
        return attempt.struck


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--store", choices=("sqlite", "postgres"), action="append")
    words = parser.parse_args()
    for name in words.store or ("sqlite", "postgres"):
        folder = tempfile.TemporaryDirectory(prefix="queuectl-graph-")
        with STORES[name]() as url, folder as place:
            if url is not None and words.pairs:
                left = race_of_two(url, Path(place), words.pairs)
                print(f"{name}: {words.pairs:,} pairs, none stranded; {left} were left to others", flush=True)
                PostgresStore(url, Path(place)).reset()
            if words.size:
                struck = play(url, Path(place), words.seed, words.size)
                print(f"seed {words.seed}, {name}: {words.size:,} jobs ended as they should, {struck['kill']} kills")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
