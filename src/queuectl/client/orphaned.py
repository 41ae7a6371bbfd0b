"""Ends cancelled jobs of workers whose dispatcher is gone: this process drives supervisors that are left, and cleans up
after workers of which nothing is left."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.job import Job, JobState
from queuectl.store.port import Store

LOOK_AGAIN_S = 0.05


def end(store: Store, jobs: Sequence[Job]) -> set[str]:
    """Ends those of the jobs. Returns the ids of those that it ended."""
    running = {job.id: job.worker for job in jobs if job.state is JobState.PROCESSING}
    if not running:
        return set()
    from queuectl.engine.dispatch.guardian import guarding, orphans, settle_dead

    workers = {row.id: store.alive(row) for row in store.workers() if row.id in running.values()}
    if not all(workers.values()):
        settle_dead(store)
    wards = orphans(store, workers)
    ended = {job.id for row in wards for job in store.running(row.id)} & running.keys()
    if ended:
        with guarding(store, wards) as guardian:
            while any(_runs(store, each) for each in ended):
                guardian.turn(LOOK_AGAIN_S)
    of_dead = {id for id, worker in running.items() if worker and not workers.get(worker, True)}
    return ended | {id for id in of_dead if not _runs(store, id)}


def _runs(store: Store, id: str) -> bool:
    return store.get(id).state is JobState.PROCESSING
