"""Hooks while the processes of workers are killed.

    python -m tests.fault.hooks_chaos [--seconds 60] [--seed N] [--store sqlite|postgres] [--workers 3]

Jobs with hooks of each kind are added all the time. While that lasts, dispatchers and supervisors, those of hooks too,
get SIGKILL at random and workers are started in their place. In the end every attempt that the store counts as
completed, failed or dead must have had each of its hooks, which note themselves down: once at least. Meanwhile a
schedule has runs that fail for a while, and then do not: each streak must have been told once when it began, and once
when it was over, in this order.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from queuectl.domain.job import FINISHED, Job, JobState, Outcome
from queuectl.domain.selector import Selector
from tests.server import new_database, new_schema, start_server
from tests.workshop import Worker, Workshop, open_workshop, until

KILL_EVERY_S = (0.2, 1.5)
IN_STOCK = 30
STREAK_S = (2.0, 6.0)
"""How long runs of the schedule fail, and how long they do not."""
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
        if job.schedule is not None:
            continue
        failed = sum(each.outcome is Outcome.FAILED for each in shop.store.attempts(job))
        due["on_failure", job.id] += failed
        due["on_success", job.id] += job.state is JobState.COMPLETED
        due["on_dead", job.id] += job.state is JobState.DEAD
    return due - ran, (ran - due).total()


class Streaks:
    """A schedule whose runs fail for a while, and then do not, and so on."""

    def __init__(self, shop: Workshop, chance: random.Random) -> None:
        self._shop, self._chance = shop, chance
        self._bad, self._told, self._next = shop.folder / "bad", shop.folder / "told", 0.0
        self._told.touch()
        alert = f"echo $QUEUECTL_STATE $QUEUECTL_JOB_ID >> {self._told}"
        shop.client.add_schedule(
            "streaks", {"command": f"test ! -e {self._bad}", "max_retries": 0}, every="1s", overlap="allow",
            catch_up="all", alert=alert, expect_within="1h",
        )  # fmt: skip

    def go_on(self) -> None:
        """Turns the runs, now and then."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._chance.uniform(*STREAK_S)
            self._bad.unlink() if self._bad.exists() else self._bad.touch()

    def wrong(self) -> list[str]:
        """What was told wrongly, once all is through."""
        hooks = [hook for hook in self._shop.store.find(Selector(hooks=True)) if hook.tags[0] == "alert"]
        said = [_said(self._shop, hook) for hook in hooks]
        heard = list(dict.fromkeys(self._told.read_text().splitlines()))
        found = [f"{one} follows {other}" for other, one in pairwise(said) if one.split()[0] == other.split()[0]]
        if said and not said[0].startswith("failing"):
            found.append(f"the first was {said[0]}")
        if heard != said:
            found.append(f"heard {heard} of {said}")
        print(f"{len(said)} alerts of {(len(said) + 1) // 2} streaks, {len(found)} wrong")
        return found


def _said(shop: Workshop, hook: Job) -> str:
    (kept,) = shop.store.outputs(hook, 0)
    told = json.loads(kept.head + kept.tail)
    return f"{told['state']} {told['job']['id']}"


def play(shop: Workshop, seconds: float, count: int, chance: random.Random) -> int:
    notes = shop.folder / "notes"
    notes.touch()
    shop.client.set_setting("max-lost", "50")
    workers = [shop.worker(2) for _ in range(count)]
    struck: Counter[str] = Counter()
    streaks = Streaks(shop, chance)
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        if shop.store.count(Selector(states=(JobState.PENDING, JobState.FAILED))) < IN_STOCK:
            shop.enqueue_all(jobs_of(notes, number))
            number += IN_STOCK
        struck[strike(shop, workers, chance)] += 1
        streaks.go_on()
        time.sleep(chance.uniform(*KILL_EVERY_S))
    shop.client.pause_schedule("streaks")
    until(lambda: shop.store.next_looks() == (None, None), "all ends were looked at", 60.0)
    unfinished = Selector(states=tuple(state for state in JobState if state not in FINISHED), hooks=None)
    until(lambda: shop.store.count(unfinished) == 0, "all jobs and hooks are through", 180.0)
    lost, again = missing(shop, notes)
    hooks = shop.store.count(Selector(hooks=True))
    print(f"{number} jobs, {hooks} hooks, killed: {dict(struck)}; {lost.total()} missing, {again} run again")
    wrong = streaks.wrong()
    print("".join(f"{line}\n" for line in wrong), end="")
    return lost.total() + len(wrong)


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
