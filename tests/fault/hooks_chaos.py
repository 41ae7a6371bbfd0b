"""Hooks while the processes of workers are killed.

    python -m tests.fault.hooks_chaos [--seconds 60] [--seed N] [--store sqlite|postgres] [--workers 3]

Jobs with hooks of each kind are added all the time. While that lasts, dispatchers and supervisors, those of hooks too,
get SIGKILL at random and workers are started in their place. In the end every attempt that the store counts as
completed, failed or dead must have had each of its hooks, which note themselves down: once at least.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from queuectl.domain.job import FINISHED, JobState, Outcome
from queuectl.domain.selector import Selector
from tests.server import new_database, new_schema, start_server
from tests.workshop import Worker, Workshop, open_workshop, until

KILL_EVERY_S = (0.2, 1.5)
IN_STOCK = 30
HOOKS = ("on_success", "on_failure", "on_dead")


def jobs_of(notes: Path, number: int) -> list[dict[str, object]]:
    hooks = {key: f"echo {key} $QUEUECTL_JOB_ID >> {notes}" for key in HOOKS}
    usual = {"max_retries": 1, "backoff_initial": 0.1, **hooks}
    return [
        {"command": "sleep 0.02", **usual} if (number + at) % 3 else {"command": "sleep 0.02; exit 3", **usual}
        for at in range(IN_STOCK)
    ]


def strike(shop: Workshop, workers: list[Worker], chance: random.Random) -> str:
    """Kills one process, and starts a worker in the place of a dead one."""
    rows = shop.supervisors()
    if rows and chance.random() < 0.4:
        row = chance.choice(rows)
        with suppress(ProcessLookupError):
            os.kill(row.pid, signal.SIGKILL)
        return "supervisor of hooks" if row.slots == 0 else "supervisor"
    at = chance.randrange(len(workers))
    workers[at].kill()
    workers[at] = shop.worker(2)
    return "dispatcher"


def missing(shop: Workshop, notes: Path) -> tuple[Counter[tuple[str, str]], int]:
    """The hooks that should have run and did not; how many ran more often than they were due."""
    ran = Counter((key, job) for key, job in (line.split() for line in notes.read_text().splitlines()))
    due: Counter[tuple[str, str]] = Counter()
    for job in shop.store.find(Selector()):
        failed = sum(each.outcome is Outcome.FAILED for each in shop.store.attempts(job))
        due["on_failure", job.id] += failed
        due["on_success", job.id] += job.state is JobState.COMPLETED
        due["on_dead", job.id] += job.state is JobState.DEAD
    return due - ran, (ran - due).total()


def play(shop: Workshop, seconds: float, count: int, chance: random.Random) -> int:
    notes = shop.folder / "notes"
    notes.touch()
    shop.client.set_setting("max-lost", "50")
    workers = [shop.worker(2) for _ in range(count)]
    struck: Counter[str] = Counter()
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        if shop.store.count(Selector(states=(JobState.PENDING, JobState.FAILED))) < IN_STOCK:
            shop.enqueue_all(jobs_of(notes, number))
            number += IN_STOCK
        struck[strike(shop, workers, chance)] += 1
        time.sleep(chance.uniform(*KILL_EVERY_S))
    unfinished = Selector(states=tuple(state for state in JobState if state not in FINISHED), hooks=None)
    until(lambda: shop.store.count(unfinished) == 0, "all jobs and hooks are through", 180.0)
    lost, again = missing(shop, notes)
    hooks = shop.store.count(Selector(hooks=True))
    print(f"{number} jobs, {hooks} hooks, killed: {dict(struck)}; {lost.total()} missing, {again} run again")
    return lost.total()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--workers", type=int, default=3)
    args = parser.parse_args()
    print(f"seed {args.seed}")
    server = start_server() if args.store == "postgres" else None
    try:
        with tempfile.TemporaryDirectory() as folder:
            url = None if server is None else new_schema(new_database(server.url, "hooks"))
            with open_workshop(Path(folder), url) as shop:
                raise SystemExit(min(1, play(shop, args.seconds, args.workers, random.Random(args.seed))))
    finally:
        if server is not None:
            server.remove()


if __name__ == "__main__":
    main()
