"""What jobs still hold on paper whose executions have ended: their results are recorded by a later transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from queuectl.domain.job import Job
from queuectl.domain.limits import Queue, requests_of
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.store.shared.limits import Limits


class Vacated:
    """Places and units that a claim may give out again. To all others they are taken until the ends are recorded, so
    nobody ever counts too few."""

    def __init__(self, store: Limits) -> None:
        self._store = store
        self.jobs: Mapping[int, str] = {}
        """The queues of these jobs, by `seq`."""

    def places(self) -> list[tuple[Queue, int]]:
        """All queues that somebody has set something for, each with how many of its jobs take a place."""
        left = Counter(self.jobs.values())
        return [(queue, running - left[queue.name]) for queue, running in self._store.places()]

    @contextmanager
    def during(self, jobs: Sequence[Job]) -> Iterator[None]:
        """See `GateStore.vacating`. A job that has moved on since it ended counts as the store has it."""
        dialect, leases = self._store._dialect, {job.seq: job.lease for job in jobs}
        text = f"SELECT seq, lease, queue FROM {{schema}}.jobs WHERE seq {dialect.any_of} AND state = 'processing'"
        found = self._store._select(text, [dialect.array(list(leases))])
        self.jobs = {seq: queue for seq, lease, queue in found if leases[seq] == lease}
        try:
            if names := {request.lock for job in jobs for request in requests_of(job.locks)}:
                self._store._free_locks(sorted(names))
            yield
        finally:
            self.jobs = {}
