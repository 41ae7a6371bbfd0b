"""Ends cancelled jobs whose worker has lost its dispatcher: this process drives their supervisors."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.job import Job, JobState
from queuectl.store.port import Store

LOOK_AGAIN_S = 0.05


def end(store: Store, jobs: Sequence[Job]) -> set[str]:
    """Ends those of the jobs of whose worker only supervisors are left. Returns their ids."""
    running = {job.id for job in jobs if job.state is JobState.PROCESSING}
    if not running:
        return set()
    from queuectl.engine.dispatch.guardian import guarding, orphans

    wards = orphans(store, {job.worker for job in jobs if job.id in running and job.worker})
    ended = {job.id for row in wards for job in store.running(row.id)} & running
    if ended:
        with guarding(store, wards) as guardian:
            while any(store.get(each).state is JobState.PROCESSING for each in ended):
                guardian.turn(LOOK_AGAIN_S)
    return ended
