"""Many processes race on unique keys, with all rules, while jobs run, are cancelled, retried and deleted.

    python -m tests.fault.unique_race [--seconds 20] [--processes 8] [--threads 50] [--keys 5] [--store sqlite|postgres]

The judge is the database itself: an index has each key once among the unfinished jobs that wait for no other, and
another one has it once among those that do. So a second unfinished job with a key, at any instant, is refused, and the
statement that makes it fails. In the end all is let run out: nothing is stuck, and each key can be taken again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, suppress
from threading import Thread

from queuectl import places
from queuectl.client.conflicts import add
from queuectl.domain.errors import Conflict, NotFound, StoreBusy
from queuectl.domain.job import FINISHED, Job, JobState, Spec
from queuectl.domain.lifecycle import CancelRequested, Ended, Retried
from queuectl.domain.selector import Selector
from queuectl.domain.unique import Rule
from queuectl.ids import job_id
from queuectl.store.arrivals import Arrival
from queuectl.store.port import Store
from queuectl.store.values import Change
from tests.builders import a_worker

PATIENCE_S = 60.0
JUDGES = ("holders", "'pending', 'processing', 'failed'"), ("successors", "'blocked'")


def judged(store: Store) -> None:
    """Has the database refuse a second unfinished job with a key."""
    for name, states in JUDGES:
        text = f"CREATE UNIQUE INDEX judge_of_{name} ON {{schema}}.jobs (unique_key) WHERE state IN ({states})"
        with store.transaction():
            store._execute(text)  # type: ignore[attr-defined]


def play(url: str, seconds: float, threads: int, keys: int, seed: int) -> Counter[str]:
    """Races with this many threads, on a slow machine until a job has run. Returns how often what happened. Raises what
    the first thread raises."""
    told: Counter[str] = Counter()
    failed: list[Exception] = []
    until = time.monotonic() + seconds

    def one(number: int) -> None:
        try:
            with closing(places.open_store(url)) as store:
                race = None
                while race is None:
                    with suppress(StoreBusy):
                        race = _Race(store, random.Random(seed * 1000 + number), keys, f"w{seed}-{number}~1")
                while not failed and time.monotonic() < until + (0 if told["ran"] else PATIENCE_S):
                    with suppress(StoreBusy):  # so many wait for one file
                        told[race.step()] += 1
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    racing = [Thread(target=one, args=(number,)) for number in range(threads)]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    if failed:
        raise failed[0]
    return told


class _Race:
    """What one thread does: enqueues, and does to other jobs whatever can be done to a job."""

    def __init__(self, store: Store, chance: random.Random, keys: int, worker: str) -> None:
        self._store = store
        self._chance = chance
        self._keys = keys
        row = a_worker(worker)
        store.register(row)
        self._grip = row.grip

    def step(self) -> str:
        doing = self._chance.choices(
            (self.enqueue, self.run, self.cancel, self.retry, self.delete), (10, 6, 1, 2, 1)
        )[0]  # fmt: skip
        return doing()

    def enqueue(self) -> str:
        chance = self._chance
        arrivals = []
        for _ in range(chance.choice((1, 1, 1, 3))):
            key, rule = f"k{chance.randrange(self._keys)}", chance.choice(list(Rule))
            delay, now = chance.choice((None, None, 0.05)), self._store.now()
            job = Job(
                id=job_id(), generated_id=True, command="true", spec=Spec(max_retries=1), created_at=now,
                run_at=now + (delay or 0.0), updated_at=now, unique_key=key,
                unique_until=chance.choice((None, None, now + 0.05)),
            )  # fmt: skip
            arrivals.append(Arrival(job, rule, delay))
        try:
            return ", ".join(sorted({fate.value for _, fate in add(self._store, arrivals)}))
        except Conflict:
            return "refused"

    def run(self) -> str:
        claimed = self._store.claim(self._grip, "here", 1, ())
        time.sleep(self._chance.random() * 0.01)
        now = self._store.now()
        ends = [Ended(now, now, exit_code=self._chance.choice((0, 0, 1))) for _ in claimed]
        done = [Change(job, end) for job, end in zip(claimed, ends, strict=True)]
        if done:
            self._store.record(self._grip, done)
        return "ran" if done else "nothing to run"

    def _act(self, states: frozenset[JobState]) -> list[str]:
        found = self._store.find(Selector(states=tuple(sorted(states))), limit=50, newest_first=True)
        return [job.id for job in self._chance.sample(found, min(len(found), self._chance.choice((1, 2))))]

    def cancel(self) -> str:
        self._store.change(self._act(frozenset(JobState) - FINISHED), CancelRequested(), "me")
        return "cancelled"

    def retry(self) -> str:
        results = self._store.change(self._act(FINISHED), Retried(), "me")
        assert all(isinstance(each, (Job, Conflict, NotFound)) for each in results), results
        return "retried" if any(isinstance(each, Job) for each in results) else "retry refused"

    def delete(self) -> str:
        self._store.delete(self._act(FINISHED | {JobState.PENDING, JobState.BLOCKED}))
        return "deleted"


def run_out(store: Store, keys: int) -> None:
    """Lets everything end, then takes each key again: nothing is stuck."""
    row = a_worker("last~1")
    store.register(row)
    deadline = time.monotonic() + 60
    while waiting := [job for job in store.find(Selector()) if not job.finished]:
        assert time.monotonic() < deadline, waiting
        for job in store.find(Selector(states=(JobState.PROCESSING,))):  # a thread stopped between claim and end
            owner = next(each for each in store.workers() if each.id == job.worker)
            store.record(owner.grip, [Change(job, Ended(store.now(), store.now(), exit_code=0))])
        now = store.now()
        done = [Change(job, Ended(now, now, exit_code=0)) for job in store.claim(row.grip, "here", 50, ())]
        if done:
            store.record(row.grip, done)
    time.sleep(0.06)  # the longest that a key is held after its job has finished
    for number in range(keys):
        now = store.now()
        new = Job(
            id=job_id(), generated_id=True, command="true", spec=Spec(), created_at=now, run_at=now, updated_at=now,
            unique_key=f"k{number}",
        )  # fmt: skip
        ((job, _),) = add(store, [Arrival(new, Rule.ERROR)])
        assert job.id == new.id


def race(url: str, seconds: float, processes: int, threads: int, keys: int) -> Counter[str]:
    """Races with this many processes. Returns how often what happened."""
    with closing(places.open_store(url)) as store:
        judged(store)
    words = [sys.executable, "-m", "tests.fault.unique_race", "--child", url, str(seconds), str(threads), str(keys)]
    racing = [subprocess.Popen([*words, str(seed)], stdout=subprocess.PIPE, text=True) for seed in range(processes)]
    told: Counter[str] = Counter()
    for each in racing:
        out, _ = each.communicate()
        assert each.returncode == 0, out
        told.update(json.loads(out))
    with closing(places.open_store(url)) as store:
        run_out(store, keys)
    return told


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        url, seconds, threads, keys, seed = sys.argv[2:]
        print(json.dumps(play(url, float(seconds), int(threads), int(keys), int(seed))))
        return
    from tests.server import new_schema, start_server

    parser = argparse.ArgumentParser(description="Races on unique keys.")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--keys", type=int, default=5)
    parser.add_argument("--store", choices=("sqlite", "postgres"), action="append")
    args = parser.parse_args()
    for kind in args.store or ("sqlite", "postgres"):
        with tempfile.TemporaryDirectory() as folder:
            if kind == "sqlite":
                print(kind, dict(race(f"{folder}/q.db", args.seconds, args.processes, args.threads, args.keys)))
                continue
            server = start_server({"max_connections": str(args.processes * args.threads + 50)})
            try:
                url = new_schema(server.url)
                print(kind, dict(race(url, args.seconds, args.processes, args.threads, args.keys)))
            finally:
                server.remove()


if __name__ == "__main__":
    main()
