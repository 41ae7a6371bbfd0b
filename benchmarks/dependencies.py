"""`python -m benchmarks.dependencies [ROW...] [--store sqlite|postgres] [--rounds 3] [--scale 1.0]`: their cost.

Ratios are to the same measurement without dependencies, taken just before it. A table of full scale is kept.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from benchmarks.bench import Figure, Row, Setting, Target, completed, run_all, worker
from benchmarks.limits import Bench, run
from benchmarks.stores import HOST, a_grip
from queuectl.client.facade import Client
from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import Ended
from queuectl.domain.limits import Pause, Queue
from queuectl.store.values import Change, Grip
from queuectl.wire.requests import JobRequest

MANY, SAMPLES, JOBS = 100_000, 200, 1000


class Waiting(Bench):
    """The rows on one kind of store."""

    def fan(self, setting: Setting) -> Sequence[float]:
        """Seconds until all dependents of one job are ready, and claims by the same worker meanwhile ÷ before."""
        many = int(MANY * setting.scale)
        with self.store() as client, a_grip(client.store) as grip:
            client.store.set_queue(Queue("after", pause=Pause(client.store.now())))
            client.enqueue([JobRequest(command="true", id="root", columns={"queue": "root"})])
            dependent = JobRequest(command="true", columns={"queue": "after", "depends_on": ("root",)})
            client.enqueue([dependent] * many)
            client.enqueue([JobRequest(command="true", columns={"queue": "free"})] * (SAMPLES * 100))
            before = [_claim_s(client, grip, "free") for _ in range(SAMPLES)]
            began = time.perf_counter()
            _claim_s(client, grip, "root")
            during = list[float]()
            while client.store.counts().get(("after", JobState.BLOCKED)):
                during += [_claim_s(client, grip, "free") for _ in range(10)]
            ready_s = time.perf_counter() - began
            return ready_s, statistics.median(during) / statistics.median(before)

    def chain(self, setting: Setting) -> Sequence[float]:
        """Jobs a second of a chain, each after the last ÷ of independent jobs, with one slot."""
        jobs = max(20, int(JOBS * setting.scale))
        with self.store() as client, worker(client, 1):
            apart_s = run_all(client, "true", jobs)
            chain = [
                JobRequest(command="true", id=f"c{n}", columns={"depends_on": (f"c{n - 1}",) if n else ()})
                for n in range(jobs)
            ]
            client.enqueue(chain)
            began = time.perf_counter()
            while completed(client) < 2 * jobs:
                time.sleep(0.002)
            return (apart_s / (time.perf_counter() - began),)


def _claim_s(client: Client, grip: Grip, queue: str) -> float:
    """Seconds to claim a job of this queue and to record its end."""
    store, began = client.store, time.perf_counter()
    (job,) = store.claim(grip, HOST, 1, (queue,))
    now = store.now()
    store.record(grip, [Change(job, Ended(started_at=now, finished_at=now, exit_code=0))])
    return time.perf_counter() - began


def rows_on(bench: Waiting, kind: str) -> Sequence[Row]:
    return [
        Row(
            name="fan", measure=bench.fan,
            figures=[
                Figure("fan", f"{kind}: 100,000 dependents of one job ready, s", Target("<=", 5)),
                Figure("fan+", f"{kind}: other claims meanwhile ÷ before", Target("<=", 1.3)),
            ],
        ),
        Row(
            name="chain", measure=bench.chain,
            figures=[Figure("chain", f"{kind}: 1,000 × true, each after the last ÷ one free slot", Target(">=", 0.5))],
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    run("dependencies", "fan chain", Waiting, rows_on)
