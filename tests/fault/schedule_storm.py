"""Schedules in a storm: 8 workers that are killed at random, a clock that jumps by hours, a server that is restarted.

Run for a while:

    python -m tests.fault.schedule_storm [--postgres] [--seconds 60] [--seed N]

Each fire makes one job, whose command runs once. No fire is missing, but those that a line says were missed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from queuectl.domain.schedule import ON_TIME_S, fire_id
from queuectl.domain.scheduled import Fire
from queuectl.domain.selector import ALL_JOBS
from queuectl.places import open_store
from queuectl.store.port import Store
from tests.machines import FAKE_CLOCK
from tests.server import new_schema, start_server
from tests.workshop import clean_environment

WORKERS, SLOTS = 8, 4
HOUR = 3600
OFFSETS = (-2 * HOUR, -HOUR, 0, HOUR)
"""The clock steps by one hour or by three, from one of these to another."""
KILL_EVERY_S, STEP_EVERY_S, PG_STEP_EVERY_S = 0.7, 6.0, 12.0
RESTART_EVERY_S = 20.0
"""How often the server is restarted, if there is one."""
SCHEDULES = {"second": ("--every", "1s"), "minute": ("--cron", "* * * * *", "--tz", "UTC")}
FULL = 10**6


class Storm:
    """Workers on one store, and the clock that they see."""

    def __init__(self, address: str, folder: Path, clock: Path, chance: random.Random) -> None:
        self._address, self._folder, self._clock, self._chance = address, folder, clock, chance
        self._env = {**clean_environment(), **faked(clock)}
        self._workers: list[subprocess.Popen[bytes]] = []
        self.offset = 0

    def run(self, *words: str) -> str:
        """A command by that clock."""
        line = [sys.executable, "-m", "queuectl", "--db", self._address, *words]
        done = subprocess.run(line, env=self._env, cwd=self._folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        """One more worker."""
        line = [sys.executable, "-m", "queuectl", "--db", self._address, "worker", "start", "--count", str(SLOTS)]
        with (self._folder / "workers.log").open("ab") as log:
            self._workers.append(
                subprocess.Popen(line, env=self._env, cwd=self._folder, stdout=log, stderr=log, start_new_session=True)
            )

    def kill_one(self) -> None:
        """Kills a worker; another one comes in its place."""
        worker = self._workers.pop(self._chance.randrange(len(self._workers)))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        self.start()

    def step(self) -> None:
        """Sets the clock, by one hour or by three."""
        self._show(self._chance.choice([each for each in OFFSETS if abs(each - self.offset) in (HOUR, 3 * HOUR)]))

    def _show(self, offset: int) -> None:
        self.offset = offset
        shown = self._clock.with_name("next")
        shown.write_text(f"{self.offset:+d}\n")
        shown.chmod(0o644)
        shown.rename(self._clock)

    def stop(self) -> None:
        """Lets all finish."""
        for worker in self._workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(60)
        self._show(max(OFFSETS))  # a job that was added by a clock which has gone back since is due by that time only
        with suppress(AssertionError, subprocess.TimeoutExpired):
            self.run("worker", "start", "--drain", "--count", "8")


def faked(clock: Path) -> dict[str, str]:
    """What shows a process the time in this file; a clock that never jumps stays as it is."""
    return {
        "LD_PRELOAD": str(FAKE_CLOCK), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip


@contextmanager
def surrounded(variables: dict[str, str]) -> Iterator[None]:
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


def storm(seconds: float, seed: int, on_server: bool) -> list[str]:
    """Plays it. Returns what is wrong."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        clock = folder / "clock"
        clock.write_text("+0\n")
        clock.chmod(0o644)
        address = str(folder / "queuectl.db")
        if on_server:
            with surrounded(faked(clock)):
                server = start_server()
            stack.callback(server.remove)
            address = new_schema(server.url)
        restart_at = time.monotonic() + RESTART_EVERY_S if on_server else float("inf")
        it = Storm(address, folder, clock, chance)
        for name, rule in SCHEDULES.items():
            echo = ["sh", "-c", f'echo "$QUEUECTL_JOB_ID" >> {folder}/ran']
            it.run("schedule", "add", name, *rule, "--overlap", "allow", "--catch-up", "all", "--", *echo)
        for _ in range(WORKERS):
            it.start()
        ends, next_step = time.monotonic() + seconds, time.monotonic() + STEP_EVERY_S
        while time.monotonic() < ends:
            time.sleep(KILL_EVERY_S * chance.uniform(0.5, 1.5))
            it.kill_one()
            if time.monotonic() >= restart_at:
                server.stop()
                with surrounded(faked(clock)):
                    server.start()
                restart_at = time.monotonic() + RESTART_EVERY_S
            if time.monotonic() >= next_step:
                it.step()
                next_step = time.monotonic() + (PG_STEP_EVERY_S if on_server else STEP_EVERY_S)
        it.stop()
        ran = Counter((folder / "ran").read_text().split())
        with closing(open_store(address)) as store:
            return [wrong for name in SCHEDULES for wrong in judged(store, name, ran)]


def judged(store: Store, name: str, ran: Counter[str]) -> list[str]:
    """What is wrong with the fires of a schedule."""
    each = 1 if name == "second" else 60
    jobs = {job.id: job for job in store.find(ALL_JOBS) if job.schedule == name}
    lines = store.fires(name, FULL)
    wrong = [f"{job_id} ran {times} times" for job_id, times in ran.items() if times > 1 and job_id in jobs]
    wrong += [f"{job.id} is {job.state}" for job in jobs.values() if not job.finished]
    wrong += [f"{job.id} has another id" for job in jobs.values() if job.id != fire_id(name, job.scheduled_at or 0)]
    wrong += [f"{line.job} of a fire is not there" for line in lines if line.job and line.job not in jobs]
    decided = {line.at for line in lines if line.job}
    for line in (each_line for each_line in lines if each_line.fires and not each_line.job):
        if line.decided_at - line.at <= ON_TIME_S and "already" not in (line.reason or ""):
            wrong.append(f"a fire was passed over that was not missed: {line}")
        decided.update(range(int(line.at), int(line.until) + 1, each))
    first, last = min(decided), max(decided)
    missing = sorted(set(range(int(first), int(last) + 1, each)) - {int(at) for at in decided})
    wrong += [f"{len(missing)} fires of {name} are missing, from {missing[0]}"] if missing else []
    print(f"{name}: {len(jobs)} jobs, {sum(map(_missed, lines))} fires missed as told, over {int(last - first)}s")
    return wrong


def _missed(line: Fire) -> int:
    return 0 if line.job else line.fires


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = parser.parse_args()
    if FAKE_CLOCK is None:
        print("needs libfaketime (Debian: libfaketime)")
        return 2
    print(f"seed {args.seed}, {'PostgreSQL' if args.postgres else 'SQLite'}, {args.seconds:g}s")
    wrong = storm(args.seconds, args.seed, args.postgres)
    print("\n".join(wrong) or "each fire made one job, or a line says why not")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
