"""Workers that race for places, starts and units while their dispatchers die and freeze.

    python -m tests.fault.limits_chaos [--seconds 60] [--seed N] [--store sqlite|postgres|pooled] [--unit-jobs 1000]

A round has 8 workers with 50 slots in sum, a lock of capacity 2, a queue of concurrency 3 and one with a rate of 50/s.
While it lasts, dispatchers get SIGKILL and SIGSTOP at random. In the end the record of all executions is read: never
more than a limit at any instant, never more starts than a rate in any window, nothing stuck, no place unused for longer
than UNUSED_MAX_S while jobs wait. Then 1,000 jobs of one to three of four named units race in the same way: the
commands themselves write down what they have.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.domain.limits import Lock, Queue, Rate
from queuectl.domain.selector import Selector
from tests.fault.limit_history import (
    CLOCKS_DIFFER_S,
    check_units,
    diary,
    executions,
    longest_unused,
    most_at_once,
    narrowest,
)
from tests.fault.strikes import Strikes
from tests.pooler import pooled_by
from tests.server import new_database, new_schema, start_server
from tests.workshop import Worker, Workshop, open_workshop, until

SLOTS = (7, 7, 6, 6, 6, 6, 6, 6)
CAPACITY, PLACES, RATE = 2, 3, Rate(50, 1.0)
UNITS = ("0", "1", "2", "3")
LIMITS, NO_LIMIT = {"narrow": CAPACITY, "places": PLACES}, {"starts": 1000, "free": 1000}
UNIT_JOBS = 1000
PATIENCE_S = 3.0
FREEZES_S = (0.05, 0.3, 1.0, 3.0)
UNUSED_MAX_S = 20.0
"""A dispatcher that dies or freezes between a claim and its start keeps a place until another takes over."""
IN_STOCK = 60
"""So many jobs of a kind wait at any time."""
NOTE = 'printf "%s %s %s %s\\n" $QUEUECTL_JOB_ID $QUEUECTL_LEASE'


class Limits(NamedTuple):
    """How large a round is."""

    seconds: float
    slots: tuple[int, ...] = SLOTS
    unit_jobs: int = UNIT_JOBS
    stock: int = IN_STOCK
    pause_s: float = 1.0
    """Between two strikes, on average."""


class Round:
    """One store and its workers."""

    def __init__(self, shop: Workshop, seed: int, size: Limits) -> None:
        self._shop = shop
        self._size = size
        self._chance = random.Random(seed)
        self._strikes = Strikes(shop, self._chance, FREEZES_S)
        self._workers: dict[int, Worker] = {}
        self._next_strike = 0.0
        self._doubt_s = CLOCKS_DIFFER_S if shop.store.shared_by_machines else 0.0
        self._is_over = Event()
        self._thawing = Thread(target=self._thaw)
        self._thawing.start()
        self.struck: Counter[str] = Counter()

    def prepare(self) -> None:
        store, client = self._shop.store, self._shop.client
        client.set_setting("max-lost", "1000")
        client.set_setting("lock-patience", f"{PATIENCE_S:g}s")
        store.set_lock(Lock("narrow", tuple(map(str, range(CAPACITY)))))
        store.set_lock(Lock("gpu", UNITS, env="CUDA_VISIBLE_DEVICES", named=True))
        store.set_queue(Queue("places", concurrency=PLACES))
        store.set_queue(Queue("starts", rate=RATE))
        self._man()

    def close(self) -> None:
        self._is_over.set()
        self._thawing.join()
        self._strikes.call_off()

    def _thaw(self) -> None:
        """Whoever is frozen goes on in time, even while we wait for what he has locked."""
        while not self._is_over.wait(0.02):
            self._strikes.thaw(time.monotonic())

    # --- limits -----------------------------------------------------------------------------

    def race(self) -> dict[str, float]:
        """Keeps a stock of jobs of each kind for as long as the round lasts; what the record of it says."""
        over = time.monotonic() + self._size.seconds
        while time.monotonic() < over:
            counts = Counter[str]()
            for (queue, state), jobs in self._shop.store.counts().items():
                counts[queue] += jobs if state in (JobState.PENDING, JobState.FAILED) else 0
            for queue in ("narrow", "places", "starts", "free"):
                self._enqueue(queue, self._size.stock - counts[queue])
            self._go_on()
        self._finish()
        return self.judge()

    def _enqueue(self, queue: str, count: int) -> None:
        def body() -> str:
            nap = self._chance.choice(("true", "sleep 0.02", "sleep 0.1", "sleep 0.3", "test $QUEUECTL_ATTEMPT -gt 1"))
            to = f"{queue} >> {self._shop.folder / 'diary'}"
            return f"{NOTE} start {to}; {nap}; code=$?; {NOTE} end {to}; exit $code"

        locks = ["narrow"] if queue == "narrow" else []
        made = [
            {"command": body(), "queue": queue, "locks": locks, "backoff_initial": 0.1, "max_retries": 2}
            for _ in range(count)
        ]
        if made:
            self._shop.enqueue_all(made)

    def judge(self) -> dict[str, float]:
        """Raises `AssertionError` where more ran or started than may."""
        history = {queue: executions(self._shop.store, self._jobs(queue)) for queue in ("narrow", "places", "starts")}
        shortest = narrowest(history["starts"], RATE.starts)
        found = {
            "ran": float(sum(map(len, history.values()))),
            "held the lock": most_at_once(history["narrow"], self._doubt_s),
            "had a place": most_at_once(history["places"], self._doubt_s),
            f"s for {RATE.starts + 1} starts": shortest,
            "s a unit lay unused": longest_unused(history["narrow"], CAPACITY),
            "s a place lay unused": longest_unused(history["places"], PLACES),
        }  # fmt: skip
        assert found["held the lock"] <= CAPACITY, found
        assert found["had a place"] <= PLACES, found
        assert shortest >= RATE.window_s - self._doubt_s, found
        check_units(diary(self._shop.events(self._shop.folder / "diary")), {**NO_LIMIT, **LIMITS})
        return found

    # --- units ------------------------------------------------------------------------------

    def race_for_units(self) -> dict[str, float]:
        """Jobs of one to three units; no two may have one at the same time."""
        path = self._shop.folder / "units"
        needs = [self._chance.randint(1, 3) for _ in range(self._size.unit_jobs)]
        note = f'"$CUDA_VISIBLE_DEVICES" >> {path}'
        body = f"{NOTE} start {note}; sleep 0.0$QUEUECTL_UNIT_NAP; {NOTE} end {note}"
        made = []
        for need in needs:
            nap = {"QUEUECTL_UNIT_NAP": str(self._chance.randint(0, 9))}
            made.append({"command": body, "queue": f"gpu{need}", "locks": [f"gpu={need}"], "env": nap})
        self._shop.enqueue_all(made)
        while not self._is_done():
            self._go_on()
        self._finish()
        began = check_units(diary(self._shop.events(path)), Counter(UNITS))
        assert began >= len(needs)
        big = executions(self._shop.store, self._jobs("gpu3"))
        starts = [big[0].due_at, *(each.started_at for each in big)] if big else []
        return {"ran": began, "s between two big ones": max((b - a for a, b in pairwise(starts)), default=0.0)}

    # --- faults -----------------------------------------------------------------------------

    def _man(self) -> None:
        """Whoever has died is followed by another."""
        for at, slots in enumerate(self._size.slots):
            worker = self._workers.get(at)
            if worker is None or worker.process.poll() is not None:
                self._workers[at] = self._shop.worker(slots)

    def _go_on(self) -> None:
        time.sleep(0.05)
        now = time.monotonic()
        if now < self._next_strike:
            return
        self._next_strike = now + 2 * self._chance.random() * self._size.pause_s
        worker = self._workers[self._chance.randrange(len(self._workers))]
        kind = self._chance.choice(("kill", "freeze", "freeze"))
        self.struck[kind] += 1
        if kind == "kill":
            worker.kill()
            self._man()
        else:
            self._strikes.freeze(worker.pid)

    # --- the end ----------------------------------------------------------------------------

    def _jobs(self, queue: str) -> list[Job]:
        return self._shop.store.find(Selector(queues=(queue,)))

    def _is_done(self) -> bool:
        return not any(jobs for (_, state), jobs in self._shop.store.counts().items() if state not in FINISHED)

    def _finish(self) -> None:
        """Nothing is struck any more, and nothing is stuck: as long as something ends, it is waited for."""
        self._strikes.call_off()
        self._man()
        left = -1
        while not self._is_done():
            before, left = left, self._left()
            if left == before:
                until(lambda: self._left() != left, f"one of {left} jobs ends")  # noqa: B023

    def _left(self) -> int:
        return sum(jobs for (_, state), jobs in self._shop.store.counts().items() if state not in FINISHED)

    def leave(self) -> None:
        for worker in self._workers.values():
            worker.signal(signal.SIGINT)
        for worker in self._workers.values():
            assert worker.wait() == 0, worker.said()
        held = [self._shop.store.holders(name) for name in ("narrow", "gpu")]
        waiting = [self._shop.store.waiting_for(name) for name in ("narrow", "gpu")]
        assert (held, waiting) == ([[], []], [0, 0]), "units are still held or waited for"


@contextmanager
def _sqlite() -> Iterator[str | None]:
    yield None


@contextmanager
def _postgres() -> Iterator[str | None]:
    server = start_server()
    try:
        yield new_schema(new_database(server.url, "limits"))
    finally:
        server.remove()


@contextmanager
def _pooled() -> Iterator[str | None]:
    with _postgres() as url, pooled_by(str(url)) as address:
        yield address


STORES: dict[str, Callable[[], AbstractContextManager[str | None]]] = {
    "sqlite": _sqlite,
    "postgres": _postgres,
    "pooled": _pooled,
}


def play(url: str | None, folder: Path, seed: int, size: Limits) -> list[dict[str, float]]:
    """A round on one store; what it found."""
    with open_workshop(folder, url) as shop:
        attempt = Round(shop, seed, size)
        try:
            attempt.prepare()
            found = [attempt.race()] if size.seconds else []
            if size.unit_jobs:
                found.append(attempt.race_for_units())
            attempt.leave()
            return [*found, {kind: float(count) for kind, count in attempt.struck.items()}]
        finally:
            attempt.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--store", choices=STORES, action="append")
    parser.add_argument("--unit-jobs", type=int, default=UNIT_JOBS)
    words = parser.parse_args()
    for name in words.store or STORES:
        folder = tempfile.TemporaryDirectory(prefix="queuectl-limits-")
        with STORES[name]() as url, folder as place:
            for found in play(url, Path(place), words.seed, Limits(words.seconds, unit_jobs=words.unit_jobs)):
                told = ", ".join(f"{value:.4g} {what}" for what, value in found.items())
                print(f"seed {words.seed}, {name}: {told}", flush=True)
                unused = [value for what, value in found.items() if "unused" in what or "between" in what]
                assert max(unused, default=0.0) <= UNUSED_MAX_S, f"unused for longer than {UNUSED_MAX_S:g} s: {told}"
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
