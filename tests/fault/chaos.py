"""Rounds of real work under real faults, for as long as one likes.

    python -m tests.fault.chaos --minutes 10 [--seed N]

A round is a store, a few workers and a few dozen jobs of all kinds; while they run, strikes hit them (strikes.py),
people cancel and retry, and workers come and go. In the end one healthy worker brings it all to an end, and the
commands' own diary is checked, with what is left behind. There are three kinds of rounds:

- *anything*: processes of ours also get SIGKILL one by one, so jobs lose workers by the dozen.
- *stops*: nothing points to a job: machines lose power, services are stopped, files are removed. No job may be dead
  for that.
- *removed*: the store itself is removed: all old commands end, and a new store works under the same workers. Or only
  its log is: no job is lost and no command ends.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job, JobState, Outcome
from queuectl.store.sqlite.store import SqliteStore
from tests.fault.history import check, diary_command
from tests.fault.strikes import Strikes
from tests.workshop import Worker, Workshop, open_workshop, pids_of, until

JOBS = 50
STRIKES = 30
WORKERS_MAX = 3
COPIES_MAX = 2
HUNG_JOBS = 2
"""Jobs of a round whose output goes to a file that nobody can open for now."""
SUDO = (
    "import os, resource, signal, sys; resource.setrlimit(10, (resource.RLIM_INFINITY,) * 2); "
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"
)
"""Like sudo: resets its limits, and with them the mark of its job, and ignores SIGTERM."""
ESCAPED = f"{sys.executable} -S -c '{SUDO}' sleep 60"
BODIES = (
    "true", "true", "sleep 0.02", "sleep 0.3", "sleep 2", "exit 3", "seq 100000", "setsid sleep 0.3",
    "trap '' TERM; sleep 1.5", "sleep 60", "(trap '' TERM HUP; sleep 60) & sleep 60",
    "test $QUEUECTL_ATTEMPT -gt 1", ESCAPED,
)  # fmt: skip
LONG_AGO_S = 3600.0


class Kind(NamedTuple):
    """What befalls a round."""

    strikes: tuple[str, ...]
    freezes_s: tuple[float, ...]
    settings: dict[str, str]


COMMON = ("lock", "start", "start", "stop", "stop now", "cancel", "retry", "unlink", "unlink", "copy", "terminate")
KINDS = {
    "anything": Kind(
        strikes=(*COMMON, "kill", "kill", "kill", "kill", "freeze", "freeze", "kill all"),
        freezes_s=(0.05, 0.5, 3.0, 8.0), settings={"max-lost": "1000", "lease-ttl": "2s"},
    ),
    "stops": Kind(
        strikes=(*COMMON, "cut power", "cut power", "terminate", "freeze", "freeze"),
        freezes_s=(0.05, 0.5, 3.0), settings={},
    ),
    "removed": Kind(
        strikes=(*COMMON, "kill", "cut power", "freeze"), freezes_s=(0.05, 0.5, 3.0), settings={"max-lost": "1000"},
    ),
}  # fmt: skip


class Round:
    """One round, all of it drawn from its seed but the moments, which the machine makes."""

    def __init__(self, shop: Workshop, seed: int) -> None:
        self._shop = shop
        self._chance = random.Random(seed)
        self._diary = shop.folder / "diary"
        self.kind = self._chance.choice(sorted(KINDS))
        self._plan = KINDS[self.kind]
        self._strikes = Strikes(shop, self._chance, self._plan.freezes_s)
        self._workers: list[Worker] = []
        self._jobs: list[str] = []
        self.struck: Counter[str] = Counter()

    def run(self) -> None:
        """Raises `AssertionError` where a promise is broken."""
        for key, value in self._plan.settings.items():
            self._shop.client.set_setting(key, value)
        self._enqueue(JOBS)
        self._hang()
        self._start_worker()
        for _ in range(STRIKES):
            time.sleep(self._chance.random() * 0.3)
            self._strikes.thaw(time.monotonic())
            self._strike(self._chance.choice(self._plan.strikes))
        self._strikes.call_off(hung=self._chance.random() < 0.7)
        if self.kind == "removed":
            self._chance.choice((self._remove_store, self._remove_log))()
        self._calm()
        self._check()

    def close(self) -> None:
        """Lets nothing of the round go on."""
        self._strikes.call_off()

    # --- work -------------------------------------------------------------------------------

    def _enqueue(self, count: int) -> None:
        self._jobs += self._shop.enqueue_all([self._document() for _ in range(count)])

    def _document(self) -> dict[str, Any]:
        body = self._chance.choice(BODIES)
        command = diary_command(self._diary, f"( {body} ); code=$?") + "; exit $code"
        return {
            "command": command, "max_retries": self._chance.randint(0, 2), "backoff_initial": 0.1, "kill_grace": 0.3,
            "timeout": 0.8 if "sleep 60" in body else 60, "priority": self._chance.randint(0, 1),
        }  # fmt: skip

    def _hang(self) -> None:
        """Jobs that nobody can start for now, or not before they have failed for that. They alone suffer from it."""
        for _ in range(HUNG_JOBS):
            path = self._strikes.leased_file()
            self._jobs.append(
                self._shop.enqueue(diary_command(self._diary, "true"), output_path=str(path), max_retries=0)
            )

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
        strikes, workers = self._strikes, self._living()
        free = [worker for worker in workers if worker.pid not in strikes.termed]
        self.struck[kind] += 1
        match kind:
            case "kill" if pids := self._pids():
                strikes.kill(self._chance.choice(pids))
            case "kill all" if self._chance.random() < 0.3:
                for pid in self._pids():
                    strikes.kill(pid)
            case "freeze" if pids := self._pids():
                strikes.freeze(self._chance.choice(pids))
            case "cut power" if free:
                strikes.cut_power(self._chance.choice(free))
            case "terminate" if free:
                strikes.terminate(self._chance.choice(free))
            case "start" if len(workers) < WORKERS_MAX:
                self._start_worker()
            case "stop" | "stop now" if workers:
                worker = self._chance.choice(workers)
                for _ in range(2 if kind == "stop now" else 1):
                    worker.signal(signal.SIGINT)
            case "lock":
                strikes.lock()
            case "unlink":
                strikes.unlink()
            case "copy" if self.struck[kind] <= COPIES_MAX:
                strikes.copy()
            case "cancel" | "retry":
                with suppress(QueuectlError):
                    self._change(kind)

    def _pids(self) -> list[int]:
        """The processes of ours that may be struck."""
        pids = [worker.pid for worker in self._living()] + [row.pid for row in self._shop.supervisors()]
        return [pid for pid in pids if pid not in self._strikes.termed]

    def _change(self, kind: str) -> None:
        client = self._shop.client
        job = self._chance.choice(self._jobs)
        if kind == "cancel":
            client.cancel([job])
        elif client.job(job).state in (JobState.DEAD, JobState.CANCELLED):
            client.retry([job])

    def _remove_store(self) -> None:
        """Somebody removes the store under its workers. The rest of the round is a new store's."""
        self._workers.append(self._shop.worker(2))
        self._shop.started(*self._shop.enqueue_all([{"command": "sleep 300", "priority": 9}] * 2))
        until(self._are_all_driven, "every supervisor is driven")
        before = set(self._shop.commands())
        self._unlink_files("", *self._chance.choice((("-wal", "-shm"), ())))
        if self._chance.random() < 0.3:
            shutil.rmtree(self._shop.store.folder, ignore_errors=True)
        self._shop.reopen()
        self._jobs = []
        self._enqueue(JOBS // 5)
        until(lambda: before.isdisjoint(self._shop.commands()), "the old store's commands have ended")

    def _remove_log(self) -> None:
        """Somebody removes the store's log under its workers. What runs goes on, and all jobs are still there."""
        self._workers.append(self._shop.worker(2))
        gate = self._shop.folder / "gate"
        long = self._shop.enqueue_all([{"command": f"until [ -e {gate} ]; do sleep 0.1; done", "priority": 9}] * 2)
        self._shop.started(*long)
        until(self._are_all_driven, "every supervisor is driven")
        self._shop.client.close()  # or nobody would know which of two logs is the right one
        self._unlink_files("-wal", "-shm")
        log = self._shop.db.with_name(f"{self._shop.db.name}-wal")
        until(log.exists, "a worker has saved the log and made a new one")
        self._shop.reopen()
        gate.touch()
        assert {(job.state, job.lost) for job in self._shop.finished(*long)} == {(JobState.COMPLETED, 0)}

    def _unlink_files(self, *suffixes: str) -> None:
        for suffix in suffixes:
            self._shop.db.with_name(f"{self._shop.db.name}{suffix}").unlink(missing_ok=True)

    def _are_all_driven(self) -> bool:
        dispatchers = {worker.pid for worker in self._living()}
        return all(row.dispatcher in dispatchers for row in self._shop.supervisors())

    # --- the end ----------------------------------------------------------------------------

    def _calm(self) -> None:
        """All faults are over (paths may hang on); a healthy worker finishes what there is, and all workers leave."""
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
        for job in map(shop.job, self._jobs):
            if job.state is JobState.DEAD:
                self._check_guilt(job)
        with suppress(AssertionError):
            until(lambda: not list(ours(shop.folder)))
        assert not (left := [words_of(pid) for pid in ours(shop.folder)]), f"still run: {left}"
        assert shop.left_files() == [], f"left behind: {shop.left_files()}"
        assert isinstance(shop.store, SqliteStore)
        assert shop.store.integrity() == []
        assert shop.store.workers() == []
        for log in (shop.store.folder / "logs").glob("*.log"):
            assert "Traceback" not in log.read_text(), f"{log} has a traceback"

    def _check_guilt(self, job: Job) -> None:
        """A dead job has failed by itself, or took too long."""
        last = self._shop.store.attempts(job)[-1]
        told = f"{job.id} is dead: {job.error}"
        assert last.outcome in (Outcome.FAILED, Outcome.TIMEOUT), f"{told}, but its last attempt was {last.outcome}"
        by_stop = last.outcome is Outcome.FAILED and last.signal == signal.SIGTERM
        assert not by_stop, f"{told}, but its worker was stopped with it"


def ours(folder: Path) -> Iterator[int]:
    """The processes that belong to a store: workers and supervisors by their words, commands by their environment."""
    yield from pids_of(str(folder))
    mark = f"QUEUECTL_DB={folder}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes():
                yield int(path.parent.name)


def words_of(pid: int) -> str:
    """A process for whoever looks for it."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        words = []
    return " ".join([str(pid), *(os.fsdecode(word)[-200:] for word in words if word)])


def play(seed: int) -> bool:
    """One round, with a line on how it went; whether all was well. What a bad one leaves stays for a look at it."""
    folder = Path(tempfile.mkdtemp(prefix="queuectl-chaos-"))
    began = time.monotonic()
    with open_workshop(folder) as shop:
        attempt = Round(shop, seed)
        try:
            attempt.run()
        except AssertionError as violation:
            what = f"{violation or 'an assertion failed'}\n  its store is {folder}; {told(attempt.struck)}"
            print(f"seed {seed}, {attempt.kind}: {what}", flush=True)
            return False
        finally:
            attempt.close()
    shutil.rmtree(folder)
    seconds = time.monotonic() - began
    print(f"seed {seed}, {attempt.kind}: {JOBS} jobs in {seconds:.1f} s; {told(attempt.struck)}", flush=True)
    return True


def told(struck: Counter[str]) -> str:
    """The strikes of a round for people."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(struck.items()))


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
