"""Goes through the jobs of a selection, however many they are: each once, in batches, in the order of enqueueing.

What is looked for is the selection as it is when each batch comes up, without jobs enqueued since the beginning. A job
that changes meanwhile does not come twice, since none comes after a later one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from queuectl.client.looking import pages
from queuectl.client.values import BATCH
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.typed import NamedTuple

OTHERS_SHARE, NEWCOMERS_SHARE, PAUSE_MAX_S = 0.5, 0.05, 0.02
"""The pause after a batch, as a share of its time, for others who have written lately, and for those who have not.
Whoever waits for the lock of a file looks for it ever more rarely."""
OTHERS_ARE_SEEN_S = 1.0

Concerns = Callable[[Job], bool]


class Batch(NamedTuple):
    """Some jobs by `seq`, and the last job that was looked at; None if that was all."""

    seqs: list[int]
    last: int | None


class Selected:
    """The jobs of a selection, or those of them that an act `concerns`."""

    def __init__(
        self, store: Store, selector: Selector, concerns: Concerns | None = None, latest: int | None = None
    ) -> None:
        """`latest`: the newest job that is among them, if it is not the newest of all."""
        self._store = store
        self._selector = selector
        self._concerns = concerns
        self.latest = store.latest() if latest is None else latest

    def count(self) -> int:
        """How many they are."""
        return self._store.count(self._selector) if self._concerns is None else sum(map(len, self.pages()))

    def pages(self) -> Iterator[list[Job]]:
        """The jobs, in pages that are not empty."""
        for page in pages(self._store, self._selector):
            if jobs := [job for job in page if self._concerns is None or self._concerns(job)]:
                yield jobs

    def seqs(self) -> Iterator[list[int]]:
        """The jobs by `seq`, in batches that are not empty."""
        after: int | None = 0
        while after is not None:
            seqs, after = self.batch(after, BATCH)
            if seqs:
                yield seqs

    def batches(self) -> Iterator[list[int]]:
        """The same for a caller who changes each batch. In between, others who write to the same file get a turn."""
        seen_at = -OTHERS_ARE_SEEN_S
        for seqs in self.seqs():
            began = time.monotonic()
            yield seqs
            if self._store.shared_by_machines:
                continue  # whoever wants other jobs waits for nobody
            now = time.monotonic()
            seen_at = now if self._store.changed() else seen_at
            share = OTHERS_SHARE if now - seen_at < OTHERS_ARE_SEEN_S else NEWCOMERS_SHARE
            time.sleep(min(PAUSE_MAX_S, share * (now - began)))

    def batch(self, after: int | None, size: int) -> Batch:
        """Those among the next `size` jobs after that one."""
        if self._concerns is None:
            seqs = self._store.seqs(self._selector, limit=size, after_seq=after, up_to_seq=self.latest)
            return Batch(seqs, seqs[-1] if len(seqs) == size else None)
        jobs = self._store.find(self._selector, limit=size, after_seq=after, up_to_seq=self.latest)
        return Batch([job.seq for job in jobs if self._concerns(job)], jobs[-1].seq if len(jobs) == size else None)
