"""A fleet under fire: 2,000 jobs on three hosts, while the server restarts, processes die and hosts are cut off.

    python -m tests.fault.fleet_chaos [--rounds N] [--seed N]

A round makes its machines (root; see tests/machines.py), plays five restarts of the server, ten SIGKILLs and two
partitions in an order drawn from the seed, then lets the fleet finish. The commands' own diary is checked: every job
has ended, no two executions of one overlapped, no recorded result was repeated; and nothing is left on the hosts.
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
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from queuectl.domain.job import FINISHED, JobState
from tests.fault.fleet import SUPERVISOR, Fleet, open_fleet
from tests.fault.history import LINE, check, diary_command
from tests.machines import Machine, why_none
from tests.workshop import Worker, until

JOBS, SLOTS, LEASE_S = 2000, 6, 10.0
STRIKES = ("fast restart",) * 3 + ("immediate restart",) * 2 + ("kill",) * 10 + ("cut off",) * 2
PAUSE_S_MAX = 4.0
CUT_OFF_S = (3.0, 12.0, 25.0)
NAPS_S = (0, 0, 0, 0.05, 0.1, 0.3, 0.3, 1.0, 1.0, 4.0)
STALLED_AFTER_S = 60.0
STARTS_MAX = 20


class Round:
    """One round. What is struck, and in which order, is drawn from its seed; the moments are the machine's."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        self._shop = fleet.shop
        self._chance = random.Random(seed)
        self._diary = fleet.shop.folder / "diary"
        self._workers: dict[Machine, Worker] = {}
        self._away: dict[Machine, float] = {}
        self.jobs: list[str] = []
        self.struck: Counter[str] = Counter()

    def run(self) -> None:
        """Raises `AssertionError` where a promise is broken."""
        self._shop.client.set_setting("max-lost", "1000")
        self._shop.client.set_setting("lease-ttl", f"{LEASE_S:g}s")
        self._man()
        self.jobs = self._shop.enqueue_all([self._document() for _ in range(JOBS)])
        strikes = list(STRIKES)
        self._chance.shuffle(strikes)
        for strike in strikes:
            self._pass_time(self._chance.random() * PAUSE_S_MAX)
            self._strike(strike)
            self.struck[strike] += 1
            self._man()
        while self._away:
            self._pass_time(0.5)
        self._finish()
        check(self._shop, self._diary, self.jobs)
        self._leave()

    def _document(self) -> dict[str, Any]:
        nap = self._chance.choice(NAPS_S)
        body = f"sleep {nap}" if nap < 1 else f"for beat in {'x ' * round(2 * nap)}; do {self._beat()}; sleep 0.5; done"
        ending = self._chance.choice(("true", "true", "true", "test $QUEUECTL_ATTEMPT -gt 1", "false"))
        command = diary_command(self._diary, f"{body}; {ending}; code=$?") + "; exit $code"
        return {"command": command, "max_retries": self._chance.randint(0, 2), "backoff_initial": 0.5}

    def _beat(self) -> str:
        return f"{LINE} beat $up >> {self._diary}"

    # --- faults -----------------------------------------------------------------------------

    def _pass_time(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            for host in [host for host, until_ in self._away.items() if until_ <= now]:
                self._fleet.heal(host)
                del self._away[host]
            time.sleep(0.05)

    def _strike(self, kind: str) -> None:
        match kind:
            case "fast restart" | "immediate restart":
                self._fleet.server.stop(signal.SIGINT if kind == "fast restart" else signal.SIGQUIT)
                self._pass_time(self._chance.random() * 2)
                self._fleet.server.start()
            case "kill":
                self._kill(self._chance.choice(list(self._victims())))
            case _:
                host = self._chance.choice([host for host in self._fleet.hosts if host not in self._away])
                self._fleet.cut_off(host)
                self._away[host] = time.monotonic() + self._chance.choice(CUT_OFF_S)

    def _victims(self) -> Iterator[int]:
        """Every dispatcher and every supervisor."""
        for host in self._fleet.hosts:
            yield from host.processes(f"{SUPERVISOR}|-m queuectl worker start")

    def _kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _man(self) -> None:
        """Gives every host that can reach the server a worker."""
        for host in self._fleet.hosts:
            worker = self._workers.get(host)
            if host not in self._away and (worker is None or worker.process.poll() is not None):
                self._workers[host] = self._start(host)

    def _start(self, host: Machine) -> Worker:
        """A new worker, which may need to be asked again while the server is coming up."""
        for _ in range(STARTS_MAX):
            try:
                return self._fleet.worker(host, SLOTS)
            except AssertionError as refusal:
                if "the store" not in str(refusal):
                    raise
        raise AssertionError(f"no worker starts on {host.name}")

    # --- the end ----------------------------------------------------------------------------

    def _finish(self) -> None:
        """Waits for all jobs, as long as there is progress."""
        left, since = JOBS + 1, time.monotonic()
        while left:
            self._man()
            counts = self._shop.store.counts()
            now = sum(jobs for (_, state), jobs in counts.items() if state not in FINISHED)
            if now < left:
                left, since = now, time.monotonic()
            assert time.monotonic() - since < STALLED_AFTER_S, f"no progress any more: {counts}"
            time.sleep(0.2)

    def _leave(self) -> None:
        """All workers stop, and nothing of them is left."""
        until(lambda: all(self._shop.store.alive(row) for row in self._shop.store.workers()), "the dead are forgotten")
        for host, worker in self._workers.items():
            code = worker.stop()
            assert code == 0, f"the worker of {host.name} ended with {code}: {worker.said()}"
        until(lambda: not list(self._victims()), "every process has gone")
        for host in self._fleet.hosts:
            assert "Traceback" not in self._fleet.log_of(host), f"{host.name}'s log has a traceback"
        left = self._shop.store.workers()
        assert left == [], f"still known: {left}"

    def told(self) -> str:
        """What the round came to."""
        found = [self._shop.job(job) for job in self.jobs]
        states = Counter(job.state for job in found)
        again = sum(job.lease - job.attempts for job in found)
        lost = sum(job.lost for job in found)
        return (
            f"{states[JobState.COMPLETED]} completed, {states[JobState.DEAD]} dead; "
            f"{again} claims ended without a result, {lost} of them counted as lost"
        )


def play(seed: int) -> bool:
    """One round, with a line on how it went; whether all was well. What a bad one leaves stays for a look at it."""
    folder = Path(tempfile.mkdtemp(prefix="queuectl-fleet-"))
    began = time.monotonic()
    with open_fleet(folder) as fleet:
        attempt = Round(fleet, seed)
        try:
            attempt.run()
            told = attempt.told()
        except AssertionError as violation:
            print(f"seed {seed}: {violation}\n  after {attempt.struck}\n  its files are in {folder}", flush=True)
            traceback.print_exc()
            return False
    shutil.rmtree(folder)
    struck = ", ".join(f"{count} × {kind}" for kind, count in sorted(attempt.struck.items()))
    print(f"seed {seed}: {JOBS} jobs in {time.monotonic() - began:.0f} s; {struck}; {told}", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    words = parser.parse_args()
    if missing := why_none():
        print(f"no machines can be made here (root?): {missing}", file=sys.stderr)
        return 1
    for seed in range(words.seed, words.seed + words.rounds):
        if not play(seed):
            return 1
    print(f"{words.rounds} rounds: every job ended, no two executions of one overlapped, no recorded result repeated")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
