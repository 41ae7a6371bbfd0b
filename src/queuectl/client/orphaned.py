"""Ends cancelled jobs of workers whose dispatcher is gone: this process drives supervisors that are left, and cleans up
after workers of which nothing is left."""

from __future__ import annotations

import time
from collections.abc import Collection

from queuectl.domain.job import JobState
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.client.values import Changed
    from queuectl.store.port import Store

LOOK_AGAIN_S = 0.05
STUCK_AFTER_S = 10.0
"""How long after a command's grace it counts as one that cannot be ended: it goes on, and its cancel stands."""


def settled(store: Store, changed: Changed) -> Changed:
    """Ends what is being cancelled, if any of the jobs is. Returns the jobs as they are then."""
    workers = {job.worker for job in changed.jobs if job.cancel_requested and job.state is JobState.PROCESSING}
    if not workers:
        return changed
    ended = end(store, workers)
    return changed._replace(jobs=[store.get(job.id) if job.id in ended else job for job in changed.jobs])


def end(store: Store, among: Collection[str | None] | None = None) -> set[str]:
    """Ends what is being cancelled, on these workers or on all. Returns the ids of the jobs that it ended."""
    rows = [row for row in store.workers() if among is None or row.id in among]
    workers = [row for row in rows if store.cancel_requests(row.id)]
    if not workers:
        return set()
    from queuectl.engine.dispatch.guardian import guarding, orphans, settle_dead

    alive = {row.id for row in store.living(workers)}
    running = [job for job in store.running(*(row.id for row in workers)) if job.cancel_requested]
    asked = {job.id: job.worker for job in running}
    if len(alive) < len(workers):
        settle_dead(store)
    wards = orphans(store, alive)
    ids = {row.id for row in wards}
    driven = [job for job in running if job.worker in ids]
    if driven:
        until = time.monotonic() + max(job.spec.kill_grace for job in driven) + STUCK_AFTER_S
        with guarding(store, wards) as guardian:
            while not guardian.is_over and time.monotonic() < until and any(_runs(store, job.id) for job in driven):
                guardian.turn(LOOK_AGAIN_S)
    return {job for job, worker in asked.items() if (worker in ids or worker not in alive) and not _runs(store, job)}


def _runs(store: Store, id: str) -> bool:
    return store.get(id).state is JobState.PROCESSING
