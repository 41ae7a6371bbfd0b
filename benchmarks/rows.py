"""The rows of the table: each measures queuectl and its reference one after the other, and gives the ratio."""

from __future__ import annotations

from benchmarks.bench import Row, fresh_store, run_all, worker, xargs


def throughput(scale: float) -> float:
    """W1: jobs/s of `true` through a running worker ÷ xargs."""
    jobs = int(5000 * scale)
    reference = xargs(["sh", "-c", "true"], jobs, 2)
    with fresh_store() as client, worker(client, 4):
        return reference / run_all(client, "true", jobs)


ROWS = [
    Row(
        name="W1",
        what="5,000 x true, durable, output captured, jobs/s / xargs -P2 -n1 sh -c true",
        target=">= 1.2",
        measure=throughput,
    )
]
