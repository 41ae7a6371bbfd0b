"""Schedules on live workers."""

from __future__ import annotations

from itertools import pairwise

from queuectl.domain.job import JobState
from tests.stores import on_each_store
from tests.workshop import Workshop, until


@on_each_store
def test_what_replaces_a_run_starts_once_that_is_gone(shop: Workshop) -> None:
    job = {"command": "trap '' TERM; while :; do sleep 0.1; done", "kill_grace": 0.2, "max_retries": 0}
    shop.client.add_schedule("tick", job, every="1s", overlap="replace")  # type: ignore[arg-type]
    shop.worker(3)
    until(lambda: len(_in(shop, JobState.CANCELLED)) >= 2, "two runs were replaced")
    shop.client.pause_schedule("tick")
    runs = [attempt for job in shop.client.find() for attempt in shop.store.attempts(job)]
    runs.sort(key=lambda each: each.started_at)
    assert all(later.started_at >= (run.finished_at or 0.0) for run, later in pairwise(runs))


def _in(shop: Workshop, state: JobState) -> list[str]:
    return [job.id for job in shop.client.find() if job.state is state and job.starts]
