"""Rounds of real work under real faults, for as long as one likes.

    python -m tests.fault.chaos --minutes 10 [--seed N]

A round is a store, a few workers and a few dozen jobs of all kinds; while they run, processes of ours get SIGKILL,
SIGSTOP and SIGCONT, the store is locked by a stranger, people cancel and retry, and workers come and go. In the end
one healthy worker brings it all to an end, and the commands' own diary is checked, with what is left behind.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import JobState
from queuectl.store.sqlite import SqliteStore
from tests.fault.history import check, diary_command
from tests.workshop import Worker, Workshop, clean_environment, open_workshop, pids_of, until

JOBS = 50
STRIKES = 30
WORKERS_MAX = 3
BODIES = (
    "true", "true", "sleep 0.02", "sleep 0.3", "sleep 2", "exit 3", "seq 100000", "setsid sleep 0.3",
    "trap '' TERM; sleep 1.5", "sleep 60", "(trap '' TERM HUP; sleep 60) & sleep 60",
    "test $QUEUECTL_ATTEMPT -gt 1",
)  # fmt: skip
LONG_AGO_S = 3600.0
STRIKE_KINDS = (
    "kill", "kill", "kill", "freeze", "freeze", "lock", "start", "stop", "stop now", "cancel", "retry", "kill all",
)  # fmt: skip

LOCKER = """
import sys, time
from queuectl.store.connection import sqlite3
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
db.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
"""


class Round:
    """One round, all of it drawn from its seed but the moments, which the machine makes."""

    def __init__(self, shop: Workshop, seed: int) -> None:
        self._shop = shop
        self._chance = random.Random(seed)
        self._diary = shop.folder / "diary"
        self._workers: list[Worker] = []
        self._frozen: list[tuple[float, int]] = []
        self._lockers: list[subprocess.Popen[bytes]] = []
        self._jobs: list[str] = []
        self.struck: Counter[str] = Counter()

    def run(self) -> None:
        """Raises `AssertionError` where a promise is broken."""
        self._shop.client.set_setting("max-lost", "1000")
        self._shop.client.set_setting("lease-ttl", "2s")
        self._enqueue(JOBS)
        self._start_worker()
        for _ in range(STRIKES):
            time.sleep(self._chance.random() * 0.3)
            self._thaw(time.monotonic())
            self._strike(self._chance.choice(STRIKE_KINDS))
        self._calm()
        self._check()

    def close(self) -> None:
        """Lets nothing of the round go on."""
        self._thaw(float("inf"))
        for locker in self._lockers:
            locker.kill()
            locker.wait()

    # --- work -------------------------------------------------------------------------------

    def _enqueue(self, count: int) -> None:
        self._jobs += self._shop.enqueue_all([self._document() for _ in range(count)])

    def _document(self) -> dict[str, Any]:
        body = self._chance.choice(BODIES)
        command = diary_command(self._diary, f"( {body} ); code=$?") + "; exit $code"
        return {
            "command": command, "max_retries": self._chance.randint(0, 2), "backoff_initial": 0.1, "kill_grace": 0.3,
            "timeout": 0.8 if "sleep 60" in body else 30, "priority": self._chance.randint(0, 1),
        }  # fmt: skip

    def _start_worker(self) -> None:
        """A new worker; while the store is locked it refuses to start, and says why."""
        try:
            self._workers.append(self._shop.worker(self._chance.randint(1, 6)))
        except AssertionError as refusal:
            if "locked" not in str(refusal):
                raise

    def _living(self) -> list[Worker]:
        self._workers = [worker for worker in self._workers if worker.process.poll() is None]
        return self._workers

    # --- faults -----------------------------------------------------------------------------

    def _strike(self, kind: str) -> None:
        self.struck[kind] += 1
        match kind:
            case "kill":
                self._kill(self._chance.choice(self._pids() or [0]))
            case "kill all" if self._chance.random() < 0.3:
                for pid in self._pids():
                    self._kill(pid)
            case "freeze":
                self._freeze(self._chance.choice(self._pids() or [0]))
            case "lock":
                seconds = self._chance.choice((0.1, 0.5, 2.0, 5.0))
                words = [sys.executable, "-c", LOCKER, str(self._shop.db), str(seconds)]
                self._lockers.append(subprocess.Popen(words, env=clean_environment(), stderr=subprocess.DEVNULL))
            case "start" if len(self._living()) < WORKERS_MAX:
                self._start_worker()
            case "stop" | "stop now" if self._living():
                worker = self._chance.choice(self._living())
                for _ in range(2 if kind == "stop now" else 1):
                    worker.signal(signal.SIGINT)
            case "cancel" | "retry":
                with suppress(QueuectlError):
                    self._change(kind)

    def _pids(self) -> list[int]:
        return [worker.pid for worker in self._living()] + [row.pid for row in self._shop.supervisors()]

    def _kill(self, pid: int) -> None:
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _freeze(self, pid: int) -> None:
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                seconds = self._chance.choice((0.05, 0.5, 3.0, 8.0))
                self._frozen.append((time.monotonic() + seconds, pid))

    def _thaw(self, now: float) -> None:
        for due, pid in [entry for entry in self._frozen if entry[0] <= now]:
            self._frozen.remove((due, pid))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _change(self, kind: str) -> None:
        client = self._shop.client
        job = self._chance.choice(self._jobs)
        if kind == "cancel":
            client.cancel([job])
        elif client.job(job).state in (JobState.DEAD, JobState.CANCELLED):
            client.retry([job])

    # --- the end ----------------------------------------------------------------------------

    def _calm(self) -> None:
        """All faults stop; a healthy worker finishes what there is, and all workers leave."""
        self.close()
        healthy = self._shop.worker(8)
        until(lambda: all(self._shop.job(job).finished for job in self._jobs), "all jobs finish")
        until(self._are_dead_forgotten, "the dead are forgotten")
        for worker in self._living():
            worker.signal(signal.SIGTERM)
        for worker in self._workers:
            worker.wait()
        assert healthy.stop() == 0

    def _are_dead_forgotten(self) -> bool:
        """Whether only the living are listed and have a folder."""
        for folder in (self._shop.store.folder / "workers").glob("*"):
            with suppress(FileNotFoundError):  # what nobody knows any more is removed some time later: it is later now
                os.utime(folder, (time.time() - LONG_AGO_S,) * 2)
        alive = sorted(row.id for row in self._shop.supervisors())
        return alive == sorted(row.id for row in self._shop.store.workers()) == self._shop.left_files()

    def _check(self) -> None:
        shop = self._shop
        check(shop, self._diary, self._jobs)
        until(lambda: not list(ours(shop.folder)), "every process has gone")
        assert shop.left_files() == [], f"left behind: {shop.left_files()}"
        assert isinstance(shop.store, SqliteStore)
        assert shop.store.integrity() == []
        assert shop.store.workers() == []
        for log in (shop.store.folder / "logs").glob("*.log"):
            assert "Traceback" not in log.read_text(), f"{log} has a traceback"


def ours(folder: Path) -> Iterator[int]:
    """The processes that belong to a store: workers and supervisors by their words, commands by their environment."""
    yield from pids_of(str(folder))
    mark = f"QUEUECTL_DB={folder}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes():
                yield int(path.parent.name)


def play(seed: int) -> bool:
    """One round, with a line on how it went; whether all was well. What a bad one leaves stays for a look at it."""
    folder = Path(tempfile.mkdtemp(prefix="queuectl-chaos-"))
    began = time.monotonic()
    with open_workshop(folder) as shop:
        attempt = Round(shop, seed)
        try:
            attempt.run()
        except AssertionError as violation:
            print(f"seed {seed}: {violation or 'an assertion failed'}\n  its store is {folder}", flush=True)
            return False
        finally:
            attempt.close()
    shutil.rmtree(folder)
    struck = ", ".join(f"{count} {kind}" for kind, count in sorted(attempt.struck.items()))
    print(f"seed {seed}: {JOBS} jobs in {time.monotonic() - began:.1f} s; {struck}", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    words = parser.parse_args()
    deadline = time.monotonic() + 60 * words.minutes
    rounds = 0
    while rounds == 0 or time.monotonic() < deadline:
        if not play(words.seed + rounds):
            print(
                f"violated in round {rounds + 1}; again with: python -m tests.fault.chaos --seed {words.seed + rounds}"
            )
            return 1
        rounds += 1
    print(f"{rounds} rounds, {rounds * JOBS} jobs: nothing lost, nothing repeated, nothing left behind")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
